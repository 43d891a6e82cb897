# Under load every snapshot on a hot standby is whole: the current number it
# shows, the log up to there, and the pairs.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $snapshots = $ENV{STOREENGINE_SNAPSHOTS} // 200;
my $folder = PostgreSQL::Test::Utils::tempdir;
my $primary = store_node('primary',
	init => [ allows_streaming => 1 ],
	conf => "max_connections = 20\n");
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = -1\n");
$standby->start;

# Put, delete, roll back, in short and in longer transactions, all over the
# same few keys, until the file "stop" is there.
sub run_writer
{
	my ($number) = @_;

	return fork_client(
		sub {
			my $session = session($primary);
			srand($number);
			for (my $turn = 1; !-e "$folder/stop"; $turn++)
			{
				my $way = rand;
				my @keys = map { 'key ' . int(rand 10) } 1 .. 1 + rand 3;
				$session->do('BEGIN');
				$session->do("SET LOCAL synchronous_commit = off") if rand() < 0.3;
				$session->do('SELECT store_put_batch(?::bytea[], ?::bytea[])',
					undef, \@keys, [ ("$number.$turn") x @keys ])
				  if $way < 0.8;
				$session->do('SELECT store_delete_batch(?::bytea[])', undef, \@keys)
				  if $way >= 0.8;
				$session->do('SELECT pg_sleep(0.002)') if $way < 0.1;
				$session->do($way < 0.3 ? 'ROLLBACK' : 'COMMIT');
				$session->do('SELECT store_prune_batch_log(greatest(store_current_sequence() - 100, 0))')
				  if $number == 1 && $turn % 50 == 0;
			}
		});
}

my @writers = map { run_writer($_) } 1 .. 4;
my $reader = session($standby);
my %problems;
my ($behind, $last, $went_down, $different) = (0, 0, 0, 0);

wait_until('there is load', sub { value($reader, 'SELECT store_current_sequence()') > 100 });
for (1 .. $snapshots)
{
	my $seen = snapshot($reader);

	$problems{$_}++ for problems($seen);
	$behind++ if grep { $_ > $seen->{current} } keys %{ $seen->{log} };
	$went_down++ if $seen->{current} < $last;
	$different++ if $seen->{current} > $last;
	$last = $seen->{current};
}
open my $stop, '>', "$folder/stop" or die $!;
is(wait_clients(@writers), 0, 'the writers end');

# A6 A2 A9 D5
is(join("\n", sort keys %problems), '', "$snapshots snapshots on the standby are whole");
# A5
is($went_down, 0, 'the current number never went down');
cmp_ok($different, '>', $snapshots / 10, 'the snapshots were of different states');
cmp_ok($behind, '>', 0, 'in some, batches were visible beyond the current number');

wait_complete(session($primary));
# Some commits were asynchronous: their WAL may have to be written yet.
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
is_deeply(snapshot($reader), snapshot(session($primary)),
	'in the end both servers have the same');
is_deeply([ verify($reader) ], [], 'store_verify() finds nothing on the standby');
is_deeply([ verify(session($primary)) ], [], 'store_verify() finds nothing on the primary');

done_testing();
