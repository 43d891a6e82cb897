# The worker does not go round and round over what it cannot bring to an end,
# be it a rule that counts in months, notifications that cannot be sent, or a
# store that was there for a moment.

use strict;
use warnings;

use DBD::Pg ':async';
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $session = session($node);
my $reader = session($node);
my $database = value($reader, 'SELECT oid FROM pg_database WHERE datname = current_database()');

# A worker stays as long as somebody waits; so whatever it does, it is there to
# do it.
my $waiter = fork_client(sub { session($node)->do('CALL store_wait_for_sequence(1000000)') });
my $waiting = wait_until('somebody waits', sub {
	value($reader, q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL%' AND wait_event = 'Extension'});
});
wait_until('there is a worker', sub { worker_pid($reader) });

sub put { return value($session, q{SELECT store_put('key', 'value')}) }

# How many transactions there are in a second, after what has been going on is
# done.  A worker that is busy for nothing makes hundreds, and would do so on
# a slow machine.
sub transactions
{
	my $sql = "SELECT pg_stat_get_db_xact_commit($database) + pg_stat_get_db_xact_rollback($database)";
	my $before;

	$reader->do('SELECT pg_sleep(0.5)');
	$before = value($reader, $sql);
	$reader->do('SELECT pg_sleep(1)');
	return value($reader, $sql) - $before;
}

put() for 1 .. 3;
cmp_ok(transactions(), '<', 30, 'a worker with nothing to do does nothing');

# --- Ages in months.  A day plus a month, minus a month, need not be that day.
# Of all days and rules the one that differs most: by adding the age, the batch
# is just too old; counted back from now, it is not, except in March.
my ($day, $age) = $session->selectrow_array(
	q{SELECT day, age FROM generate_series(date_trunc('day', now()) - interval '1 year',
			now() - interval '2 months', '1 day') AS day,
		LATERAL (SELECT make_interval(months => 1,
			days => (extract(epoch FROM now() - (day + interval '1 month')) / 86400)::integer - 1) AS age) AS a
	  WHERE day + age <= now()
	  ORDER BY now() - age - day LIMIT 1});
note "a batch of $day, and a rule of $age";
$session->do('SELECT store_set_retention(jsonb_build_object(?::text, ?::text))', undef, 'maxAge', $age);
my $old = value($session, 'SELECT store_oldest_retained_batch()');
$session->do('UPDATE store_batch_log SET written_at = ? WHERE sequence_number = ?', undef, $day, $old);
put();
cmp_ok(transactions(), '<', 30, 'a rule that counts in months keeps nobody busy');
# G1
ok(wait_until('the batch has gone', sub { value($reader, 'SELECT store_oldest_retained_batch()') == $old + 1 }), 'and is kept');
$session->do('SELECT store_set_retention(NULL)');

# --- Notifications that fail at once, as when their queue is full: here, there
# is no room for the lock that they take.  The worker takes its other locks
# without that; writers could not, so they come first.
my $locker = session($node);
my $listener = session($node);
$listener->do('LISTEN storeengine');
my $pid = worker_pid($reader);
kill 'STOP', $pid;
my $number = put();
$locker->do(
	q{DO $$BEGIN
		FOR i IN 1 .. 1000000 LOOP PERFORM pg_advisory_lock(i); END LOOP;
	  EXCEPTION WHEN out_of_memory THEN NULL;
	  END$$});
my $log = -s $node->logfile;
kill 'CONT', $pid;
wait_until('the worker has failed', sub { slurp_file($node->logfile, $log) =~ /out of shared memory/ });
cmp_ok(transactions(), '<', 30, 'notifications that fail keep nobody busy');
my @errors = slurp_file($node->logfile, $log) =~ /ERROR:  out of shared memory/g;
cmp_ok(scalar @errors, '>', 1, 'they are tried again');
cmp_ok(scalar @errors, '<', 15, 'later and later');
$locker->do('SELECT pg_advisory_unlock_all()');
is(value($reader, 'SELECT last_error FROM store_status'), 'out of shared memory', 'the error is shown');
# F5
ok(wait_until('told', sub { my $told = $listener->pg_notifies; $told && $told->[2] >= $number }),
	'listeners are told when that is possible');

# --- A store in place of another one, in a transaction that comes to nothing.
$number = put();
$session->do('BEGIN; DROP EXTENSION storeengine; CREATE EXTENSION storeengine');
is(put(), 1, 'a new store in place of the old one');
$session->do('ROLLBACK');
cmp_ok(transactions(), '<', 30, 'a store that was there for a moment keeps nobody busy');
is(put(), $number + 1, 'the old one goes on');
# F5
ok(wait_until('told', sub { my $told = $listener->pg_notifies; $told && $told->[2] > $number }), 'and listeners are told');

# ... and in one that is committed.
$session->do('BEGIN; DROP EXTENSION storeengine; CREATE EXTENSION storeengine');
put();
$session->do('COMMIT');
cmp_ok(transactions(), '<', 30, 'nor does one that stays');
$number = put();
ok(wait_until('told', sub { my $told = $listener->pg_notifies; $told && $told->[2] == $number }), 'of which listeners are told');

$reader->do('SELECT pg_terminate_backend(?)', undef, $waiting);
wait_clients($waiter);
is(wait_complete($session), $number, 'all is complete');
is(join("\n", problems(snapshot($session)), verify($session)), '', 'all is well');

# --- A rule that would have the batch with the highest number there can be go,
# which no cutoff is above.
$session->do(q{SELECT setval('store_sequence', 9223372036854775806)});
$session->do(q{INSERT INTO store_control VALUES ('floor', 9223372036854775806, 0, now())});
is(put(), '9223372036854775807', 'the highest number');
wait_complete($session);
$session->do(q{SELECT store_set_retention('{"maxAge": "1 day", "maxBytes": "1"}')});
cmp_ok(transactions(), '<', 30, 'a rule that cannot be kept keeps nobody busy');

done_testing();
