# A store with nothing to do costs nothing: no worker, and a launcher that is
# not woken; nor does a session that waits for a number that is far away, while
# others write.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs /proc' unless -r "/proc/$$/status";

my $node = store_node('main');
my $session = session($node);

# How often a process has gone to sleep.
sub sleeps
{
	my ($pid) = @_;
	my ($count) = slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m;

	return $count;
}

# How often it does so during a statement.
sub sleeps_during
{
	my ($pid, $sql) = @_;
	my $before = sleeps($pid);

	$session->do($sql);
	return sleeps($pid) - $before;
}

# A rule that has nothing to do keeps nobody awake either.
$session->do(q{SELECT store_put('k', 'v') FROM generate_series(1, 10)});
$session->do(q{SELECT store_set_retention('{"keepLatest": {"count": 5}, "maxAge": "1 hour"}')});
wait_until('there is no worker', sub { !worker_pid($session) });
my $launcher = launcher_pid($session);
wait_until('the launcher has noticed', sub { sleeps_during($launcher, 'SELECT pg_sleep(1)') == 0 });
cmp_ok(sleeps_during($launcher, 'SELECT pg_sleep(3)'), '<=', 1, 'an idle launcher sleeps');
is(worker_pid($session), undef, 'without a worker');

# The waiter itself looks once in ten seconds; the worker that stays for it
# has nothing to do.
my $waiter = fork_client(sub { session($node)->do(q{CALL store_wait_for_sequence(1000000)}) });
my $pid = wait_until('somebody waits', sub {
	value($session, q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL%' AND wait_event = 'Extension'});
});
my $worker = wait_until('there is a worker', sub { worker_pid($session) });
wait_until('it sleeps', sub { sleeps_during($worker, 'SELECT pg_sleep(1)') == 0 });
cmp_ok(sleeps_during($worker, 'SELECT pg_sleep(3)'), '<=', 1, 'the worker sleeps while somebody waits');
my $begin = time;
my $woke = sleeps_during($pid, q{SELECT count(store_put('k', 'v')) FROM generate_series(1, 20000)});
# It looks once in ten seconds, and writing may take longer than that.
cmp_ok($woke, '<=', 2 + (time - $begin) / 5, 'a waiter sleeps through what it does not wait for');
is(worker_pid($session), $worker, 'the worker is still there');

$session->do('SELECT pg_terminate_backend(?)', undef, $pid);
wait_clients($waiter);
ok(wait_until('there is no worker', sub { !worker_pid($session) }), 'it leaves when nobody waits');

done_testing();
