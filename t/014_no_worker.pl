# With no process left for a worker, writers go on and the current number
# waits; one warning and store_status say why.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

# Logical replication's launcher and ours take two.
my $node = store_node('main', conf => "max_worker_processes = 2\n");
my $session = session($node);

my $hole = leave_hole($session);
is(value($session, 'SELECT store_current_sequence()'), $hole - 1, 'the current number waits');
ok($node->wait_for_log(qr/WARNING:  storeengine could not start a worker/), 'there is a warning');
ok(wait_until(
		'store_status says so',
		sub { value($session, q{SELECT worker_state NOT IN ('idle', 'running') FROM store_status}) }),
	'store_status says so');

my $last;
# A10
$last = leave_hole($session) + 1 for 1 .. 20;
is(value($session, q{SELECT store_get('done', ?)}, 0), 'done', 'writers go on');
is(value($session, 'SELECT store_current_sequence()'), $hole - 1, 'the current number still waits');
my @warnings = slurp_file($node->logfile) =~ /WARNING:  storeengine could not start a worker/g;
is(scalar @warnings, 1, 'there is one warning, not more');

$node->adjust_conf('postgresql.conf', 'max_worker_processes', 8);
$node->restart;
$session = session($node);
# A2
ok(wait_until('the holes are filled', sub { is_logged($session, $last - 1) }),
	'with a process to be had, the holes are filled');
is(value($session, 'SELECT store_current_sequence()'), $last, 'the current number has caught up');

done_testing();
