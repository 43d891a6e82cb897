# store_wait_for_sequence() returns when the number is there, and not before;
# it is woken, holds nothing while it waits, and ends whatever happens.

use strict;
use warnings;

use DBD::Pg ':async';
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;
use Time::HiRes qw(time);

# A waiter that nobody wakes looks after ten seconds, or when its time is over.
my $soon = 5;

my $node = store_node('main',
	init => [ allows_streaming => 1 ],
	conf => "max_connections = 50\n");
my $session = session($node);
my $other = session($node);
my $waiter = session($node);

sub put
{
	my $who = shift // $session;

	return value($who, q{SELECT store_put(?, 'value')}, "key of $who->{pg_pid}");
}

# Statements of those who wait, by process ID.  Each has to be gone before the
# next begins: its end would wait for that one's.
my %calls;

# Begin to wait, and wait until it sleeps.
sub start_waiting
{
	my ($who, $number, $timeout, $watch) = @_;
	my $call = $calls{ $who->{pg_pid} } = $who->prepare(
		"CALL store_wait_for_sequence($number, '" . ($timeout // '10 min') . q{')},
		{ pg_async => PG_ASYNC });

	$call->execute;
	return wait_until('it sleeps', sub { asleep($who, $watch) });
}

sub asleep
{
	my ($who, $watch) = @_;

	return value($watch // $session,
		q{SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = ?}, $who->{pg_pid});
}

# What it returns, when it does.
sub reached
{
	my ($who) = @_;
	my $call = delete $calls{ $who->{pg_pid} };

	$who->pg_result;
	return ($call->fetchrow_array)[0];
}

sub is_in
{
	my ($began, $name) = @_;

	return cmp_ok(time - $began, '<', $soon, "$name: soon");
}

# --- Wake-ups.

# F5
my $number = put();
is(value($waiter, "CALL store_wait_for_sequence($number)"), $number, 'a number that is there');
is(value($waiter, 'CALL store_wait_for_sequence(1)'), $number, 'a lower one: it tells the current');
is(value($waiter, q{CALL store_wait_for_sequence(1000, '0 s')}), $number, 'no time');
my $began = time;
is(value($waiter, q{CALL store_wait_for_sequence(1000, '200 ms')}), $number, 'a timeout');
cmp_ok(time - $began, '>=', 0.2, 'which it waits for');

# With a worker it does not look by itself.
start_waiting($waiter, $number + 1);
wait_until('there is a worker', sub { worker_pid($session) });
$began = time;
$number = put();
is(reached($waiter), $number, 'the next number wakes it');
is_in($began, 'the next number');

# Others, until the worker has gone and after it has.
for my $turn (1 .. 3)
{
	wait_until('there is no worker', sub { !worker_pid($session) });
	start_waiting($waiter, $number + 2);
	wait_until('there is a worker', sub { worker_pid($session) });
	put();
	ok(asleep($waiter), 'a lower number does not end it');
	$began = time;
	$number = put();
	is(reached($waiter), $number, "without a worker at first, $turn");
	is_in($began, 'without a worker at first');
}

# A7
$other->do('BEGIN');
my $slow = put($other);
$number = put();
start_waiting($waiter, $number);
put() for 1 .. 10;
ok(!$waiter->pg_ready, 'it waits for a writer in flight');
$began = time;
$other->do('COMMIT');
is(reached($waiter), $number + 10, 'whose end wakes it');
is_in($began, 'the end of a writer');

$other->do('BEGIN');
$slow = put($other);
$number = put();
start_waiting($waiter, $slow);
$began = time;
$other->do('ROLLBACK');
cmp_ok(reached($waiter), '>=', $slow, 'a number rolled back counts, too');
is_in($began, 'a number rolled back');

# Many at once, for different numbers.
$number = value($session, 'SELECT store_current_sequence()');
my @waiters = map { session($node) } 1 .. 20;
start_waiting($waiters[ $_ - 1 ], $number + $_) for 1 .. 20;
$began = time;
put() for 1 .. 20;
my @early = grep { reached($waiters[ $_ - 1 ]) < $number + $_ } 1 .. 20;
is("@early", '', 'each of many gets its number');
is_in($began, 'many');
$_->disconnect for @waiters;
$number += 20;

# --- What it holds.

# F7
start_waiting($waiter, $number + 1);
is_deeply(
	$session->selectrow_arrayref(
		'SELECT backend_xmin, backend_xid FROM pg_stat_activity WHERE pid = ?',
		undef, $waiter->{pg_pid}),
	[ undef, undef ],
	'it holds no snapshot');
is(value($session, q{SELECT count(*) FROM pg_locks WHERE pid = ? AND locktype <> 'virtualxid'},
		$waiter->{pg_pid}),
	0, 'and no lock');
is(value($session, 'SELECT pg_cancel_backend(?)', $waiter->{pg_pid}), 1, 'it can be cancelled');
ok(!eval { reached($waiter); 1 }, 'it ends with an error');
is($waiter->state, '57014', 'of being cancelled');
is(value($waiter, 'CALL store_wait_for_sequence(1)'), $number, 'and can wait again');

start_waiting($waiter, $number + 1);
is(value($session, 'SELECT pg_terminate_backend(?, 10000)', $waiter->{pg_pid}), 1,
	'it can be terminated');
$waiter = session($node);

# --- Where it can be called.

for (
	[ 'CALL store_wait_for_sequence(NULL)', '22004' ],
	[ 'CALL store_wait_for_sequence(-1)', '22023' ],
	[ q{CALL store_wait_for_sequence(1, '-1 s')}, '22023' ],
	[ 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; CALL store_wait_for_sequence(1)', '25001' ],
	[ 'BEGIN; CREATE TEMP TABLE t (); CALL store_wait_for_sequence(1)', '25001' ],
	[ 'BEGIN; DECLARE c CURSOR FOR SELECT 1; CALL store_wait_for_sequence(1)', '25001' ],
	[ q{DO $$DECLARE n bigint; r record; BEGIN
	       FOR r IN SELECT 1 LOOP CALL store_wait_for_sequence(1, '1 s', n); END LOOP; END$$},
		'25001' ])
{
	my ($sql, $state) = @$_;

	is(failure($waiter, $sql), $state, $sql =~ s/\s+/ /gr);
	$waiter->do('ROLLBACK');
}
$waiter->do(q{CREATE FUNCTION wait() RETURNS bigint LANGUAGE plpgsql AS
			  $$DECLARE n bigint; BEGIN CALL store_wait_for_sequence(1, '1 s', n); RETURN n; END$$});
is(failure($waiter, 'SELECT wait()'), '25001', 'in a function');
is(failure($waiter, q{DO $$DECLARE n bigint; BEGIN CALL store_wait_for_sequence(1, '1 s', n);
					  ASSERT n = (SELECT store_current_sequence()); END$$}),
	'', 'in a DO block')
  or diag $waiter->errstr;
$waiter->do('BEGIN');
is(value($waiter, 'CALL store_wait_for_sequence(1)'), $number, 'in a transaction');
$session->do(q{SELECT store_put('seen', '1')});
$number++;
is(value($waiter, "CALL store_wait_for_sequence($number, '1 min')"), $number, 'again in it');
is(value($waiter, q{SELECT store_get('seen')}), '1', 'what it waited for can be seen');
$waiter->do('COMMIT');
$waiter->disconnect;

# --- On a standby.

# F7
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
my $reader = session($standby);
my $watch = session($standby);

start_waiting($reader, $number + 1, undef, $watch);
is(value($watch, 'SELECT backend_xmin FROM pg_stat_activity WHERE pid = ?', $reader->{pg_pid}),
	undef, 'on a standby it holds no snapshot');
$began = time;
$number = put();
is(reached($reader), $number, 'it waits for what is replayed');
is_in($began, 'replay');
is(value($reader, q{CALL store_wait_for_sequence(1000, '100 ms')}), $number, 'a timeout');

start_waiting($reader, $number + 1, undef, $watch);
$node->stop('immediate');
$standby->promote;
$began = time;
$number = put($watch);
cmp_ok(reached($reader), '>=', $number, 'it waits across a promotion');
is_in($began, 'after promotion');

# --- Where no one can wake it.

$reader->disconnect;
$standby->adjust_conf('postgresql.conf', 'shared_preload_libraries', q{''});
$standby->restart;
$session = session($standby);
$waiter = session($standby);
start_waiting($waiter, $number + 1);
$began = time;
$session->do(qq{INSERT INTO store_batch_log (sequence_number, stable, written_at, payload)
				VALUES ($number + 1, $number, now(), '')});
is(reached($waiter), $number + 1, 'without the library preloaded');
is_in($began, 'without the library preloaded');

# Logical replication's launcher and ours take two.
$standby->adjust_conf('postgresql.conf', 'shared_preload_libraries', 'storeengine');
$standby->adjust_conf('postgresql.conf', 'max_worker_processes', 2);
$standby->restart;
$session = session($standby);
$session->do(q{SELECT setval('store_sequence', max(sequence_number)) FROM store_batch_log});
$waiter = session($standby);
$number = value($session, 'SELECT store_current_sequence()');
start_waiting($waiter, $number + 1);
$began = time;
$number = put();
is(reached($waiter), $number, 'with no process left for a worker');
is_in($began, 'with no process left for a worker');

# --- When the store goes.

$standby->adjust_conf('postgresql.conf', 'max_worker_processes', 8);
$standby->restart;
$session = session($standby);
$waiter = session($standby);
start_waiting($waiter, $number + 1);
wait_until('there is a worker', sub { worker_pid($session) });
$session->do(q{SET lock_timeout = '1min'});
$began = time;
$session->do('DROP EXTENSION storeengine');
ok(!eval { reached($waiter); 1 }, 'DROP EXTENSION ends it');
is($waiter->state, '55000', 'there is no store');
# Nobody wakes it then; it looks every ten seconds.
cmp_ok(time - $began, '<', 30, 'DROP EXTENSION: before long');

done_testing();
