# Holes from before a crash are filled after it, though nobody reads or writes.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $session = session($node);

# Without a launcher there will be no worker after the one that is there now, and
# the hole lives to see the crash.
wait_until('there is a worker', sub { leave_hole($session); worker_pid($session) });
my $launcher = launcher_pid($session);
kill 'STOP', $launcher;
wait_until('there is no worker', sub { !worker_pid($session) });
my $hole = leave_hole($session);
ok(!is_logged($session, $hole), 'there is a hole');

crash($node, $launcher);
$session = session($node);

# A2
ok(wait_until('the hole is filled', sub { is_logged($session, $hole) }),
	'the launcher has it filled by itself');
# A3
is(value($session, 'SELECT cardinality(store_get_batch(?))', $hole), 0,
	'with an empty batch');
is(value($session, 'SELECT store_current_sequence()'), $hole + 1, 'and the log is complete');
is_deeply([ verify($session) ], [], 'store_verify() finds nothing');

done_testing();
