# A2: the worker never takes the number of a writer in flight for a hole, at
# whatever moment of the writer's life it looks.
#
# If it did, it would wait for the writer's row, or the writer for its one,
# and one of them would find a duplicate key.

use strict;
use warnings;

use DBD::Pg ':async';
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

# Replication, so that commits can be made to wait for a standby.
my $node = store_node('main', init => [ allows_streaming => 1 ]);
my $slow = session($node);
my $quick = session($node);
my $ghost = session($node);
my $reader = session($node);

sub put
{
	my ($session, $key) = @_;

	return value($session, q{SELECT store_put(?, 'value')}, $key);
}

sub start_put
{
	my ($session, $key) = @_;

	$session->do("SELECT store_put('$key', 'value')", { pg_async => PG_ASYNC });
	return;
}

sub wait_event
{
	my ($session) = @_;

	return value($reader, 'SELECT wait_event FROM pg_stat_activity WHERE pid = ?', $session->{pg_pid}) // '';
}

# Have the worker look for holes, and wait until it has done so, or is stuck.
sub have_worker_look
{
	for (1 .. 2)    # the first time, it may just have been finishing
	{
		$ghost->do('BEGIN');
		put($ghost, 'ghost');
		my $before = value($reader, 'SELECT clock_timestamp()');
		$ghost->do('ROLLBACK');
		wait_until('the worker has looked', sub {
			value($reader,
				q{SELECT true FROM pg_stat_activity WHERE backend_type = 'storeengine worker'
				  AND (wait_event_type = 'Lock' OR state = 'idle' AND state_change > ?)}, $before);
		});
	}
	return;
}

my $log_checked = 0;

# Whatever has happened, it must have left no trace of a mistake.
sub check
{
	my ($name) = @_;
	my $log;

	put($quick, 'after');
	wait_complete($reader);
	is(join("\n", problems(snapshot($reader))), '', "$name: all is well");
	$log = slurp_file($node->logfile, $log_checked);
	$log_checked += length $log;
	unlike($log, qr/duplicate key value/, "$name: no two batches had the same number");
	return;
}

put($quick, 'first');

# Its row is there, but not committed.
$slow->do('BEGIN');
put($slow, 'slow');
put($quick, 'quick');
have_worker_look();
$slow->do('COMMIT');
check('before the commit');

# It has taken its number, and there is no row yet.
$slow->do('SET storeengine.debug_allocation_delay = 3000');
start_put($slow, 'slow');
wait_until('the writer sleeps', sub { wait_event($slow) eq 'PgSleep' });
put($quick, 'quick');
have_worker_look();
ok(eval { $slow->pg_result }, 'the writer can write its row');
$slow->do('RESET storeengine.debug_allocation_delay');
check('before the row');

# It has rolled back to a savepoint, in which it may have written.
for my $in_savepoint ('SELECT 1', q{SELECT store_put('undone', 'undone')},
	q{SAVEPOINT t; SELECT store_put('undone', 'undone'); RELEASE SAVEPOINT t})
{
	$slow->do('BEGIN');
	put($slow, 'slow');
	$slow->do('SAVEPOINT s');
	$slow->do($in_savepoint);
	$slow->do('ROLLBACK TO SAVEPOINT s');
	put($quick, 'quick');
	have_worker_look();
	$slow->do('COMMIT');
	check("after a savepoint with $in_savepoint");
}

# A savepoint has been released, and another one rolled back.
$slow->do('BEGIN; SAVEPOINT s');
put($slow, 'slow');
$slow->do('RELEASE SAVEPOINT s; SAVEPOINT s');
put($slow, 'undone');
$slow->do('ROLLBACK TO SAVEPOINT s');
put($quick, 'quick');
have_worker_look();
$slow->do('COMMIT');
check('after two savepoints');

# Its commit is in the WAL and waits for a standby that does not exist, so it
# is in the proc array still.
$quick->do('SET synchronous_commit = local');
$reader->do('SET synchronous_commit = local');
$reader->do(q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
$node->reload;
commit_hangs($slow, q{SELECT store_put('slow', 'value')}, $reader);
put($quick, 'quick');
have_worker_look();
$reader->do('ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;
ok($slow->pg_result, 'the commit is done');
check('within the commit');

# The worker has taken a snapshot in which the writer is in flight, and does
# not get to look at the log, as somebody has locked its index, until the
# writer is gone.  Who walks the log has locked the index, too: try again.
my $locker = session($node);
wait_until(
	'the index is locked',
	sub {
		$_->do('BEGIN') for $slow, $ghost;
		put($slow, 'slow');
		put($quick, 'quick');
		put($ghost, 'ghost');
		$locker->do(q{BEGIN; SET LOCAL lock_timeout = '1s'});
		return 1 if !failure($locker, 'ALTER INDEX store_batch_log_pkey SET TABLESPACE pg_default');
		$_->do('ROLLBACK') for $slow, $ghost, $locker;
		return 0;
	});
$ghost->do('ROLLBACK');
wait_until('the worker waits for the index', sub {
	value($reader, q{SELECT true FROM pg_stat_activity
					 WHERE backend_type = 'storeengine worker' AND wait_event_type = 'Lock'});
});
$slow->do('COMMIT');
$locker->do('ROLLBACK');
check('after the first snapshot');
is_deeply([ verify($reader) ], [], 'store_verify() finds nothing');

done_testing();
