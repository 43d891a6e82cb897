# Who has written on the primary can read that on a standby, and on a standby
# of that: at once with a number, or after waiting for it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $turns = $ENV{STORE_TEST_LONG} ? 2000 : 60;
my $folder = PostgreSQL::Test::Utils::tempdir;
my $primary = store_node('primary',
	init => [ allows_streaming => 1 ],
	conf => "max_connections = 20\n");
my $standby = standby_of($primary, 'standby');
my $cascaded = standby_of($standby, 'cascaded');
my @readers = map { session($_) } $standby, $cascaded;
my $session = session($primary);

# C7: a number that is not there yet is told at once, and can be waited for.
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
wait_until('replay is paused',
	sub { value($readers[0], 'SELECT pg_get_wal_replay_pause_state()') eq 'paused' });
my $number = value($session, q{SELECT store_put('a', '1')});
my $reader = $readers[0];
is(failure($reader, $_), 'SE003', "refused: $_")
  for (
	"SELECT store_get('a', $number)",
	"SELECT * FROM store_get_many('{a}', $number)",
	"SELECT * FROM store_range_scan(min_sequence_number => $number)",
	"SELECT * FROM store_read_log(0, min_sequence_number => $number)");
is(value($reader, "CALL store_wait_for_sequence($number, '50 ms')"), 0, 'waiting times out');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
for $reader (@readers)
{
	is(value($reader, "CALL store_wait_for_sequence($number, '3 min')"), $number, 'it arrives');
	is(value($reader, "SELECT store_get('a', $number)"), '1', 'and is read');
}

# The same under load: a number is there when everything below it is.
my @writers = map {
	my $number = $_;
	fork_client(
		sub {
			srand($number);
			write_at_random(session($primary), "writer$number", sub { -e "$folder/stop" }, sub { });
		})
} 1 .. 3;
my @wrong;
for my $turn (1 .. $turns)
{
	my $put = value($session, 'SELECT store_put(?, ?)', 'mine', $turn);

	for my $reader (@readers)
	{
		my $reached = value($reader, "CALL store_wait_for_sequence($put, '3 min')");
		my $there = value($reader,
			'SELECT count(*) FROM store_batch_log WHERE sequence_number <= ?', $reached);
		my $got = value($reader, 'SELECT store_get(?, ?)', 'mine', $put);

		push @wrong, "turn $turn: reached $reached of $put, $there are there, got $got"
		  if $reached < $put || $there != $reached || $got ne $turn;
	}
}
open my $stop, '>', "$folder/stop" or die $!;
is(wait_clients(@writers), 0, 'the writers end');
is("@wrong", '', "$turns times each reader has seen what was just written");
is_deeply([ map { verify($_) } @readers ], [], 'store_verify() finds nothing');

done_testing();
