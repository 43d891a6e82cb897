# A worker on the launcher's first visit, to a store of which nobody has written
# since the start, meets its first writer: it serves the store from then on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $session = session($node);
$session->do(q{SELECT store_put('a', '1')});
$node->restart;

# A writer that knows the store needs no look at pg_extension any more; the
# worker does, and looks for an entry in shared memory before.
$session = session($node);
value($session, 'SELECT store_current_sequence()');
wait_until('there is no worker', sub { !worker_pid($session) });
my $launcher = launcher_pid($session);
my $locker = session($node);
$locker->do('BEGIN; LOCK TABLE pg_extension IN ACCESS EXCLUSIVE MODE');
$session->do('SELECT pg_terminate_backend(?)', undef, $launcher);
wait_until('the worker of another launcher waits', sub {
	value($session, q{SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
		WHERE NOT granted AND backend_type = 'storeengine worker' AND datname = 'postgres'});
});
$session->do(q{SELECT store_put('a', '2')});
$locker->do('COMMIT');
wait_until('it has been there', sub {
	value($session, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'storeengine worker'
		AND datname = 'postgres' AND (state IS DISTINCT FROM 'idle')});
});
my $hole = leave_hole($session);

# A2
ok(wait_until('the hole is filled', sub { is_logged($session, $hole) }), 'the hole is filled');
is(wait_complete($session), $hole + 1, 'the log is complete');
$session->do('LISTEN storeengine');
my $number = value($session, q{SELECT store_put('b', '1')});
# F5
ok(wait_until('it is told', sub { my $told = $session->pg_notifies; $told && $told->[2] >= $number }), 'listeners are told');
ok(wait_until('there is no worker', sub { !worker_pid($session) }), 'it leaves as any other');

done_testing();
