# The worker's memory does not grow with its rounds, with what it fills, tells
# and prunes, and with what fails; nor the launcher's with the workers that it
# starts.  STORE_TEST_LONG makes more of all that.

use strict;
use warnings;

use DBD::Pg ':async';
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $rounds = $ENV{STORE_TEST_LONG} ? 5_000 : 100;
my $failures = $ENV{STORE_TEST_LONG} ? 100 : 10;
my $launches = $ENV{STORE_TEST_LONG} ? 100 : 3;
# Caches have filled up after as much before; some of the worker's come and go.
my %most = (worker => 1024, launcher => 400);

my $node = store_node('main', conf => "autovacuum = off\nstoreengine.notify_interval = 1ms\n");
my $session = session($node);
my $rule = '{"keepLatest": {"count": 10}, "maxAge": "1 day", "maxBytes": 1000000}';

# How many bytes a process uses in its memory contexts.  Only it can tell, and
# tells the log.
sub memory_of
{
	my ($pid) = @_;
	my $offset = -s $node->logfile;
	my $used;

	value($session, 'SELECT pg_log_backend_memory_contexts(?)', $pid) or die "cannot ask process $pid";
	wait_until("process $pid tells of its memory",
		sub { ($used) = slurp_file($node->logfile, $offset) =~ /\[$pid\].*Grand total: .* (\d+) used/ });
	return $used;
}

# Have the worker fill a hole, tell listeners and prune.
sub have_worker_work
{
	my $hole = leave_hole($session);

	wait_until('the hole is filled', sub { value($session, 'SELECT store_current_sequence()') > $hole });
	value($session, 'SELECT store_set_retention(?)', $rule);
	1 while $session->pg_notifies;
}

# Have the worker fail to prune.  It once kept parts of every error.
sub have_worker_fail
{
	my $offset = -s $node->logfile;

	$session->do(q{UPDATE store_retention SET rule = '{"unknown": 1}'});
	$session->do(q{SELECT store_put('k', 'v')});
	wait_until('the worker has failed',
		sub { slurp_file($node->logfile, $offset) =~ /\] ERROR:  invalid retention rule/ });
	value($session, 'SELECT store_set_retention(?)', $rule);
	# Or the time until it tries again would double.
	value($session, q{SELECT count(store_put('k', 'v')) FROM generate_series(1, 20)});
	wait_until('the worker has pruned',
		sub { value($session, 'SELECT store_current_sequence() - store_oldest_retained_batch() = 9') });
}

# A session that waits keeps the worker from leaving.
my $waiter = session($node);
$waiter->do('CALL store_wait_for_sequence(1000000000)', { pg_async => PG_ASYNC });
$session->do('LISTEN storeengine');
wait_until('there is a worker', sub { worker_pid($session) });
my $worker = worker_pid($session);
my @used;
for my $part (1 .. 2)
{
	have_worker_work() for 1 .. $rounds;
	have_worker_fail() for 1 .. $failures;
	push @used, memory_of($worker);
}
is(worker_pid($session), $worker, 'it is the same worker');
cmp_ok($used[1] - $used[0], '<=', $most{worker}, "the worker's memory does not grow")
  or diag "$used[0] bytes became $used[1]";
note "the worker: $used[0] bytes, $used[1] after $rounds rounds and $failures failures";
$waiter->pg_cancel;

# Have the launcher start workers: for what there is to do, and in place of
# those that were killed.
my @others = map { $node->safe_psql('postgres', "CREATE DATABASE other$_"); session($node, "other$_") } 1 .. 3;
$_->do('CREATE EXTENSION storeengine') for @others;
my $launcher = launcher_pid($session);

sub have_launcher_work
{
	for my $other (@others)
	{
		my $hole = leave_hole($other);
		wait_until('the hole is filled', sub { value($other, 'SELECT store_current_sequence()') > $hole });
	}
	my $pid = wait_until('there is a worker',
		sub { value($others[0], q{SELECT store_put('a', '1')}); worker_pid($others[0]) });
	value($others[0], 'SELECT pg_terminate_backend(?)', $pid) or die 'the worker was not there';
	wait_until('the workers have left', sub { !grep { worker_pid($_) } @others[1, 2] });
}

@used = ();
for my $part (1 .. 2)
{
	have_launcher_work() for 1 .. $launches;
	push @used, memory_of($launcher);
}
is(launcher_pid($session), $launcher, 'it is the same launcher');
cmp_ok($used[1] - $used[0], '<=', $most{launcher}, "the launcher's memory does not grow")
  or diag "$used[0] bytes became $used[1]";
note "the launcher: $used[0] bytes, $used[1] after ", 4 * $launches, ' workers';

done_testing();
