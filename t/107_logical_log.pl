# The log alone, in other databases.  Batches arrive there in the order of their
# commits, and can be applied in the order of their numbers: with a table and
# what plain SQL can do, and with the extension.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $goal = $ENV{STORE_TEST_LONG} ? 20_000 : 300;
my $folder = PostgreSQL::Test::Utils::tempdir;
my $publisher = store_node('publisher',
	init => [ allows_streaming => 'logical' ],
	conf => "max_connections = 20\n");
my $subscriber = store_node('subscriber',
	init => [ allows_streaming => 'logical' ],
	preload => 0,
	conf => "wal_retrieve_retry_interval = 100ms\n");
my $slow = session($publisher);
my $quick = session($publisher);

sub put
{
	my ($session, $key) = @_;

	return value($session, 'SELECT store_put(?, ?)', $key, "$session");
}

sub subscribe
{
	my ($session, $name) = @_;

	$session->do(
		sprintf q{CREATE SUBSCRIPTION %s CONNECTION 'host=%s port=%d dbname=postgres' PUBLICATION %s},
		$name, $publisher->host, $publisher->port, $name);
	return wait_until('the tables are copied',
		sub { value($session, q{SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel}) });
}

# Deletes are not published: each side prunes by itself.
put($quick, "early $_") for 1 .. 8;
$quick->do('SELECT store_prune_batch_log(6)');
$quick->do(
	q{CREATE PUBLICATION plain FOR TABLE store_batch_log (sequence_number, payload, deleted_keys)
	  WITH (publish = 'insert')});
$quick->do(
	q{CREATE PUBLICATION log FOR TABLE store_batch_log, store_histories
	  WITH (publish = 'insert')});

# A queue, and how far it has been applied; whoever applies it is notified.
session($subscriber)->do('CREATE DATABASE plain');
my $plain = session($subscriber, 'plain');
$plain->do($_) for (
	'CREATE TABLE store_batch_log (sequence_number bigint PRIMARY KEY, payload bytea NOT NULL, deleted_keys bytea)',
	'CREATE TABLE applied (number bigint)',
	'CREATE TABLE pairs (key bytea PRIMARY KEY, value bytea)',
	q{CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
	  $$BEGIN NOTIFY arrived; RETURN NULL; END$$},
	'CREATE TRIGGER tell AFTER INSERT ON store_batch_log FOR EACH ROW EXECUTE FUNCTION tell()',
	'ALTER TABLE store_batch_log ENABLE REPLICA TRIGGER tell');
subscribe($plain, 'plain');
my $log = session($subscriber);
subscribe($log, 'log');

# Where to begin: with the pairs of one snapshot, and what comes after it.  As the
# copies had been made before, all of that is there, or will be.  Batch 9 is in
# flight.
$slow->do('BEGIN');
put($slow, 'early and slow');
put($quick, 'early 10');
$quick->do('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
my $begin = value($quick, 'SELECT store_current_sequence()');
my $pairs = $quick->selectall_arrayref('SELECT key, value FROM store_kv');
$quick->do('COMMIT');
is($begin, 8, 'it begins below the batch in flight');
$publisher->wait_for_catchup($_) for 'plain', 'log';
$plain->do('INSERT INTO applied VALUES (?)', undef, $begin);
$plain->do('INSERT INTO pairs VALUES (?, ?)', undef, @$_) for @$pairs;
for my $session ($plain, $log)
{
	$session->do('DELETE FROM store_batch_log WHERE sequence_number <= ?', undef, $begin);
}
$log->do(q{INSERT INTO store_control (item, number, bytes, noted_at) VALUES ('floor', ?, 0, now())},
	undef, $begin);
$plain->do('LISTEN arrived');

# Apply the batches that are next, in one transaction: numbers are dense, so
# the nth of them is n above the last one, or another is still to come.
sub apply
{
	my $batches = $plain->selectall_arrayref(
		q{WITH waiting AS (
			SELECT *, row_number() OVER (ORDER BY sequence_number) AS nth FROM store_batch_log)
		  SELECT sequence_number, payload, deleted_keys
		  FROM waiting JOIN applied ON sequence_number = number + nth
		  ORDER BY sequence_number});
	my @numbers = map { $_->[0] } @$batches;

	return unless @numbers;
	$plain->do('BEGIN');
	for my $batch (@$batches)
	{
		my ($number, $payload, $deleted) = @$batch;

		$plain->do(
			'INSERT INTO pairs VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value',
			undef, @$_)
		  for entries($payload);
		$plain->do('DELETE FROM pairs WHERE key = ?', undef, $_->[0]) for entries($deleted // '');
	}
	$plain->do('UPDATE applied SET number = ?', undef, $numbers[-1]);
	$plain->do('DELETE FROM store_batch_log WHERE sequence_number <= ?', undef, $numbers[-1]);
	$plain->do('COMMIT');
	return @numbers;
}

sub wait_notified
{
	return wait_until('something arrives', sub { $plain->pg_notifies });
}

# A7: later batches arrive first.
my $last = put($quick, 'quick');
wait_notified();
wait_until('it arrives in both', sub { is_logged($log, $last) });
is($last, 11, 'batches 10 and 11 arrive first');
is(join(' ', apply()), '', 'and are not applied');
is(value($log, 'SELECT store_current_sequence()'), $begin, 'nor do they count');
is(value($log, "CALL store_wait_for_sequence($last, '100 ms')"), $begin, 'nor end a wait');
my %cursor = (number => $begin);
is(read_on($log, \%cursor), '', 'a subscriber');
is(failure($log, 'SELECT * FROM store_read_log(7)'), 'SE001', 'batches before the beginning are not there');
$slow->do('COMMIT');
wait_notified();
is(join(' ', apply()), '9 10 11', 'all are applied, in order');
is(value($log, "CALL store_wait_for_sequence($last, '3 min')"), $last, 'and counted');
is(read_on($log, \%cursor), '', 'the subscriber goes on');
is(join(' ', sort { $a <=> $b } keys %{ $cursor{read} }), '9 10 11', 'with them');

# The same under load, while both sides prune.
my @writers = map {
	my $number = $_;
	fork_client(
		sub {
			srand($number);
			write_at_random(session($publisher), "writer$number", sub { -e "$folder/stop" }, sub { });
		})
} 1 .. 3;
my ($refused, $went_down) = (0, 0);
while ($last < $goal)
{
	apply();
	$refused++ if read_on($log, \%cursor);
	my $current = value($log, 'SELECT store_current_sequence()');
	$went_down++ if $current < $last;
	$last = $current;
	$quick->do('SELECT store_prune_batch_log(greatest(store_current_sequence() - 100, 0))');
	$log->do('SELECT store_prune_batch_log(greatest(? - 200, 0))', undef, $cursor{number});
}
open my $stop, '>', "$folder/stop" or die $!;
is(wait_clients(@writers), 0, 'the writers end');
$last = wait_complete($quick);
is(value($log, "CALL store_wait_for_sequence($last, '3 min')"), $last, 'all arrives');
is(read_on($log, \%cursor), '', 'a subscriber reads it');
is($refused + $went_down, 0, 'as it always did');
wait_until('all is applied', sub { apply(); value($plain, 'SELECT number FROM applied') == $last });

# A9
is_deeply(
	$plain->selectall_arrayref('SELECT key, value FROM pairs ORDER BY key'),
	$quick->selectall_arrayref('SELECT key, value FROM store_kv ORDER BY key'),
	'what was applied makes the pairs there are');
my $seen = snapshot($log);
is(join(' ', unlike_log(\%cursor, $seen)), '', 'what was read is in the log');
# That store has no pairs; those that the log makes are among the other's.
$seen->{pairs} = snapshot($quick)->{pairs};
is(join("\n", problems($seen)), '', 'which makes them, too');
is_deeply([ grep { !/^(pairs|sequence) / } verify($log) ], [], 'store_verify() misses nothing but those and the sequence');

done_testing();
