# Numbers that the sequence skips in a crash become holes only when something
# is written above them.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main', conf => "log_min_messages = debug1\n");
my $session = session($node);
$session->do(q{SELECT store_put('a', '1')}) for 1 .. 3;
wait_until('there is no worker', sub { !worker_pid($session) });

my $log_size = -s $node->logfile;
crash($node);
$session = session($node);
wait_until('a worker has been here', sub { worker_has_left($node, $session, $log_size) });
# A5
is(value($session, 'SELECT store_current_sequence()'), 3,
	'the current number is what it was before the crash');
is(value($session, 'SELECT max(sequence_number) FROM store_batch_log'), 3,
	'the log is what it was before the crash');

# The rollback calls the worker.
$log_size = -s $node->logfile;
$session->do('BEGIN');
my $undone = value($session, q{SELECT store_put('b', '1')});
$session->do('ROLLBACK');
cmp_ok($undone, '>', 4, 'the crash has skipped numbers');
wait_until('a worker has been here', sub { worker_has_left($node, $session, $log_size) });
# A3
is(value($session, 'SELECT store_current_sequence()'), 3,
	'nothing is filled below a number that was rolled back');

my $next = value($session, q{SELECT store_put('b', '2')});
# A2 A4
is($next, $undone + 1, 'a write takes the next number');
is(wait_complete($session), $next, 'all numbers below are in the log then');
is(value(
		$session,
		'SELECT count(*) FROM generate_series(4, ?::bigint - 1) AS n
		 WHERE cardinality(store_get_batch(n)) = 0', $next),
	$next - 4, 'as empty batches');
is_deeply([ verify($session) ], [], 'store_verify() finds nothing');

done_testing();
