# Logical replication of a store's tables makes a store that can be read: each
# snapshot of it is whole, batches come in the order of their numbers, and
# cursors are good on both sides.  In the end it takes the other's place.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $snapshots = $ENV{STORE_TEST_LONG} ? 2000 : 30;
my $folder = PostgreSQL::Test::Utils::tempdir;
my $publisher = store_node('publisher',
	init => [ allows_streaming => 'logical' ],
	conf => "max_connections = 20\nlogical_decoding_work_mem = 64kB\n");
# Without the library nobody writes there, and waiters look by themselves.
my $mirror = store_node('mirror',
	init => [ allows_streaming => 'logical' ],
	preload => 0,
	conf => "wal_retrieve_retry_interval = 100ms\n");
my $session = session($publisher);
my $reader = session($mirror);

my @writers = map {
	my $number = $_;
	fork_client(
		sub {
			my $session = session($publisher);
			my $turn = 0;

			srand($number);
			write_at_random(
				$session,
				"writer$number",
				sub {
					$session->do(
						'SELECT store_prune_batch_log(greatest(store_current_sequence() - 1000, 0))')
					  if $number == 1 && ++$turn % 40 == 0 && !-e "$folder/copied";
					return -e "$folder/stop";
				},
				sub { });
		})
} 1 .. 3;
# And one whose transactions are streamed before they end, or do not.
push @writers, fork_client(
	sub {
		my $session = session($publisher);

		srand(4);
		until (-e "$folder/stop")
		{
			$session->do('BEGIN');
			$session->do('SELECT store_put(?, ?)', undef, "large $_", 'x' x 5_000) for 1 .. 20;
			$session->do(rand() < 0.3 ? 'ROLLBACK' : 'COMMIT');
		}
	});

# The copy of each table is one of its own time: wait until they agree.
wait_until('there is load', sub { value($session, 'SELECT store_current_sequence()') > 200 });
$session->do(
	q{CREATE PUBLICATION store FOR TABLE
	  store_kv, store_batch_log, store_histories, store_control WHERE (item = 'floor')});
$reader->do(
	sprintf q{CREATE SUBSCRIPTION store CONNECTION 'host=%s port=%d dbname=postgres'
			  PUBLICATION store WITH (streaming = %s, synchronous_commit = on)},
	$publisher->host, $publisher->port, $publisher->pg_version >= 16 ? 'parallel' : 'on');
wait_until('the tables are copied',
	sub { value($reader, q{SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel}) });
# Have the writers wait for it, or it would be ever farther behind.  Not before:
# a copy waits for the transactions there are, and they would wait for the copy.
$publisher->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = 'store'});
# At times the sender does not hear of it at once.
wait_until(
	'the writers wait for the copy',
	sub {
		$publisher->reload;
		value($session, q{SELECT bool_or(sync_state = 'sync') FROM pg_stat_replication});
	});

# From now on only what a subscriber has read is pruned.
open my $copied, '>', "$folder/copied" or die $!;
my $start = value($reader, 'SELECT store_current_sequence()');
my %cursor = (number => $start);
my %problems;

sub subscribe_and_prune
{
	$problems{'a subscriber was refused'}++ if read_on($reader, \%cursor);
	$session->do('SELECT store_prune_batch_log(greatest(? - 300, 0))', undef, $cursor{number});
	return;
}

my ($went_down, $last, $different) = (0, 0, 0);
for (1 .. $snapshots)
{
	subscribe_and_prune();
	my $seen = snapshot($reader);

	$problems{$_}++ for problems($seen);
	$problems{"batch $_ is another than was read"}++
	  for grep { $_ > $start } unlike_log(\%cursor, $seen);
	$went_down++ if $seen->{current} < $last;
	$different++ if $seen->{current} > $last;
	$last = $seen->{current};
}

# F5 C7
my @late;
for my $turn (1 .. 20)
{
	my $number = value($session, q{SELECT store_put('mine', ?)}, $turn);

	push @late, $turn
	  if value($reader, "CALL store_wait_for_sequence($number, '3 min')") < $number
	  || value($reader, q{SELECT store_get('mine', ?)}, $number) ne $turn;
	subscribe_and_prune();
}
is("@late", '', 'what was written there can be waited for here');
is(failure($reader, q{SELECT store_put('a', '')}), '55000', 'writing is refused');

# A6 A2 A9 D5
is(join("\n", sort keys %problems), '', "$snapshots snapshots of the mirror are whole");
# A5
is($went_down, 0, 'the current number never went down');
cmp_ok($different, '>', $snapshots / 10, 'they were of different states');

open my $stop, '>', "$folder/stop" or die $!;
is(wait_clients(@writers), 0, 'the writers end');

wait_until('large transactions were streamed',
	sub { value($session, 'SELECT sum(stream_txns) FROM pg_stat_replication_slots') > 0 });

# F3: a cursor is good on both sides.
$last = wait_complete($session);
value($reader, "CALL store_wait_for_sequence($last)");
is_deeply(snapshot($reader), snapshot($session), 'both sides have the same');
# Sequences are not replicated.
is(join(' ', map { /^(\w+)/ } verify($reader)), 'sequence sequence', 'store_verify() misses the sequence');
is(value($reader, 'SELECT store_history()'), value($session, 'SELECT store_history()'),
	'in the same history');
is(read_on($session, \%cursor), '', 'a subscriber of the mirror goes on at the origin');
is(read_on($reader, \%cursor), '', 'and back');
is(read_on($reader, { number => $last, history => '00000000-0000-0000-0000-000000000000' }),
	'SE004', 'a foreign cursor is refused');

# The mirror takes its place, with a hole that the other left.
my $open = session($publisher);
$open->do('BEGIN');
$open->do(q{SELECT store_put('open', '')});
$last = value($session, q{SELECT store_put('closed', '')});
wait_until('the last batch arrives', sub { is_logged($reader, $last) });
$publisher->stop('immediate');
$reader->do('ALTER SUBSCRIPTION store DISABLE');
$reader->do('ALTER SUBSCRIPTION store SET (slot_name = NONE)');
$reader->do('DROP SUBSCRIPTION store');
$reader->do(
	q{SELECT setval('store_sequence',
	  greatest(store_current_sequence(), (SELECT max(sequence_number) FROM store_batch_log)))});
$reader->disconnect;
$mirror->append_conf('postgresql.conf', q{shared_preload_libraries = 'storeengine'});
$mirror->restart;
$reader = session($mirror);
# A4
is(value($reader, q{SELECT store_put('new', '')}), $last + 1, 'the numbers go on there');
is(leave_hole($reader), $last + 2, 'holes are left');
is(wait_complete($reader), $last + 3, 'and filled');
is(read_on($reader, \%cursor), '', 'a subscriber goes on');
my $seen = snapshot($reader);
is(join("\n", problems($seen)), '', 'all is well');
is(join(' ', grep { $_ > $start } unlike_log(\%cursor, $seen)), '', 'for the subscriber, too');
is_deeply([ verify($reader) ], [], 'store_verify() finds nothing');

done_testing();
