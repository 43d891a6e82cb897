# The launcher: what it does about the workers of the launcher before it, about
# databases that are dropped while it is at work or have been dropped in part,
# about reloads; and another library that wants shared memory, too.

use strict;
use warnings;

use DBD::Pg ':async';
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $node = store_node('main', conf => "log_min_messages = debug1\nstoreengine.max_databases = 2\n");
my $session = session($node);

# How often a worker of a database has been started.
sub starts
{
	my ($database) = @_;

	return scalar(() = slurp_file($node->logfile) =~
		  /starting background worker process "storeengine worker for database $database"/g);
}

sub oid_of
{
	return value($session, 'SELECT oid FROM pg_database WHERE datname = ?', $_[0]);
}

# A database is dropped while its worker is due again, after a few that were
# killed: the next one cannot start, and its place is free for another database.
$node->safe_psql('postgres', 'CREATE DATABASE dropped');
my $dropped = oid_of('dropped');
$node->safe_psql('dropped', 'CREATE EXTENSION storeengine');
my $other = session($node, 'dropped');
leave_hole($other);
for (1 .. 8)
{
	my $pid = wait_until('there is a worker', sub { worker_pid($other) });
	$session->do('SELECT pg_terminate_backend(?)', undef, $pid);
	wait_until('it is dead', sub { !kill 0, $pid });
}
$other->disconnect;
$session->do('DROP DATABASE dropped');
ok($node->wait_for_log(qr/FATAL:  database $dropped does not exist/), 'a worker is sent in vain');
my $starts = starts($dropped);

# A2: a worker outlives its launcher.  The next one's, on the first visit, finds
# it there and leaves.
my $waiter = session($node);
$waiter->do('CALL store_wait_for_sequence(1000000)', { pg_async => PG_ASYNC });
wait_until('there is a worker', sub { worker_pid($session) });
my $worker = worker_pid($session);
my $launcher = launcher_pid($session);
my $before = starts(oid_of('postgres'));
$session->do('SELECT pg_terminate_backend(?)', undef, $launcher);
wait_until('there is another launcher', sub { (launcher_pid($session) // $launcher) != $launcher });
wait_until('it has sent a worker', sub { starts(oid_of('postgres')) > $before });
my $hole = leave_hole($session);
ok(wait_until('the hole is filled', sub { is_logged($session, $hole) }), 'the old worker fills holes');
is(value($session, 'SELECT worker_pid FROM store_status'), $worker, 'it is still the one');
$waiter->pg_cancel;
ok(wait_until('there is no worker', sub { !worker_pid($session) }), 'it leaves as any other');
$hole = leave_hole($session);
ok(wait_until('the hole is filled', sub { is_logged($session, $hole) }), 'the new launcher has workers started');

# A reload is heeded, and nothing else changes.
$launcher = launcher_pid($session);
$node->reload;
$hole = leave_hole($session);
wait_until('the hole is filled', sub { is_logged($session, $hole) });
is(launcher_pid($session), $launcher, 'the launcher goes on after a reload');

# By now it would have been tried again.
is(starts($dropped), $starts, 'it is not tried again');
$node->safe_psql('postgres', 'CREATE DATABASE next');
$node->safe_psql('next', 'CREATE EXTENSION storeengine');
$other = session($node, 'next');
$hole = leave_hole($other);
ok(wait_until('the hole is filled', sub { is_logged($other, $hole) }), 'another database takes its place');
$other->disconnect;

# A database that DROP DATABASE left behind, interrupted, is not visited.
my $invalid = oid_of('next');
wait_until('the worker has left', sub {
	value($session, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'storeengine worker'});
});
$session->do(q{UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'next'});
$starts = starts($invalid);
my $visits = starts(oid_of('postgres'));
my $library = $node->config_data('--pkglibdir') . '/pg_stat_statements.so';
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "'pg_stat_statements,storeengine'")
  if -e $library;
$node->restart;
$session = session($node);
wait_until('the first database is visited', sub { starts(oid_of('postgres')) > $visits });
$hole = leave_hole($session);
ok(wait_until('the hole is filled', sub { is_logged($session, $hole) }), 'workers are started');
is(starts($invalid), $starts, 'but not in an invalid database');

SKIP:
{
	skip 'there is no other library', 1 unless -e $library;
	$session->do('CREATE EXTENSION pg_stat_statements');
	cmp_ok(value($session, 'SELECT count(*) FROM pg_stat_statements'), '>', 0, 'another library has its memory, too');
}

done_testing();
