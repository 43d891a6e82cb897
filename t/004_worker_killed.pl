# The worker and the launcher come back when somebody terminates them, and
# nothing of what they had to do is forgotten.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main', conf => "max_prepared_transactions = 5\n");
my $session = session($node);
my $other = session($node);

# Have the worker wait in the middle of its transaction.
$session->do(
	q{CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
	  $$BEGIN PERFORM pg_catalog.pg_advisory_xact_lock_shared(1); RETURN NEW; END$$;
	  CREATE TRIGGER wait BEFORE INSERT ON store_batch_log
	  FOR EACH ROW WHEN (new.payload = '') EXECUTE FUNCTION wait()});
$other->do('SELECT pg_advisory_lock(1)');
my $hole = leave_hole($session);
my $worker = wait_until(
	'the worker waits',
	sub {
		value($session,
			q{SELECT pid FROM pg_stat_activity
			  WHERE backend_type = 'storeengine worker' AND wait_event_type = 'Lock'});
	});
ok(value($session, 'SELECT pg_terminate_backend(?)', $worker), 'terminate the worker at work');
my $next = wait_until('there is another worker',
	sub { my $pid = worker_pid($session); $pid && $pid != $worker && $pid });
$other->do('SELECT pg_advisory_unlock(1)');
# A2
ok(wait_until('the hole is filled', sub { is_logged($session, $hole) }), 'another one fills the hole');

# Have it wait for the table, before it has served anything.
wait_until('there is no worker', sub { !worker_pid($session) });
my $launcher = launcher_pid($session);
kill 'STOP', $launcher;
$hole = leave_hole($session);
$other->do('BEGIN; LOCK TABLE store_batch_log IN SHARE MODE');
kill 'CONT', $launcher;
$worker = wait_until('there is a worker', sub { worker_pid($session) });
ok(value($session, 'SELECT pg_terminate_backend(?)', $worker), 'terminate the worker that waits');
$other->do('COMMIT');
ok(wait_until('the hole is filled', sub { is_logged($session, $hole) }), 'another one fills the hole');

ok(value($session, 'SELECT pg_terminate_backend(?)', $launcher), 'terminate the launcher');
$hole = leave_hole($session);
wait_until('there is another launcher',
	sub { my $pid = launcher_pid($session); $pid && $pid != $launcher });
ok(wait_until('the hole is filled', sub { is_logged($session, $hole) }),
	'a hole from the time without a launcher is filled');

# Have the first worker after a crash wait for the table; nobody has written
# since, so that only the launcher knows that it was to look for holes.
wait_until('there is no worker', sub { !worker_pid($session) });
$launcher = launcher_pid($session);
kill 'STOP', $launcher;
$hole = leave_hole($session);
$session->do(q{BEGIN; LOCK TABLE store_batch_log IN SHARE MODE; PREPARE TRANSACTION 'lock'});
crash($node, $launcher);
$session = session($node);
$worker = wait_until('there is a worker', sub { worker_pid($session) });
ok(value($session, 'SELECT pg_terminate_backend(?)', $worker),
	'terminate the first worker after a crash');
wait_until('it is gone', sub { (worker_pid($session) // 0) != $worker });
$session->do(q{COMMIT PREPARED 'lock'});
ok(wait_until('the hole is filled', sub { is_logged($session, $hole) }), 'another one fills the hole');
is(join("\n", problems(snapshot($session))), '', 'all is well');
is_deeply([ verify($session) ], [], 'store_verify() finds nothing');

done_testing();
