# Under load of every kind all snapshots are whole on a standby and on a standby
# of that, also when they start in the middle of it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $snapshots = $ENV{STORE_TEST_LONG} ? 3000 : 60;
my $folder = PostgreSQL::Test::Utils::tempdir;
my $primary = store_node('primary',
	init => [ allows_streaming => 1 ],
	conf => "max_connections = 20\n");
my $patient = "max_standby_streaming_delay = -1\nwal_receiver_status_interval = 1s\n";
my @standbys = (standby_of($primary, 'standby', conf => $patient));
push @standbys, standby_of($standbys[0], 'cascaded', conf => $patient);

my @writers = map {
	my $number = $_;
	fork_client(
		sub {
			my $session = session($primary);
			my $turn = 0;

			srand($number);
			# Keep the log short: the test reads all of it all the time.
			write_at_random(
				$session,
				"writer$number",
				sub {
					$session->do(
						'SELECT store_prune_batch_log(greatest(store_current_sequence() - 200, 0))')
					  if $number == 1 && ++$turn % 40 == 0;
					return -e "$folder/stop";
				},
				sub { });
		})
} 1 .. 4;

my $session = session($primary);
wait_until('there is load',
	sub { value($session, 'SELECT store_current_sequence()') > 200 });
for my $part (1 .. 2)
{
	my %last = map { $_->name => 0 } @standbys;
	my %reader = map { $_->name => session($_) } @standbys;
	my %problems;
	my ($behind, $went_down) = (0, 0);
	my %different;

	for my $turn (1 .. $snapshots)
	{
		for my $standby (@standbys)
		{
			my $name = $standby->name;
			my $seen = snapshot($reader{$name});

			$problems{"$name: $_"}++ for problems($seen);
			$behind++ if grep { $_ > $seen->{current} } keys %{ $seen->{log} };
			$went_down++ if $seen->{current} < $last{$name};
			$different{$name}++ if $seen->{current} > $last{$name};
			$last{$name} = $seen->{current};
		}
	}

	# A6 A2 A9 D5
	is(join("\n", sort keys %problems), '', "part $part: all snapshots are whole");
	# A5
	is($went_down, 0, "part $part: no current number went down");
	cmp_ok($behind, '>', 0, "part $part: in some, batches were visible beyond the current number");
	cmp_ok($different{ $_->name }, '>', $snapshots / 10,
		"part $part: on the " . $_->name . ' they were of different states')
	  for @standbys;
	if ($part == 1)
	{
		$_->disconnect for values %reader;
		$_->restart for @standbys;
		next;
	}

	open my $stop, '>', "$folder/stop" or die $!;
	is(wait_clients(@writers), 0, 'the writers end');
	wait_complete($session);
	$primary->wait_for_catchup($standbys[0], 'replay', $primary->lsn('insert'));
	$standbys[0]->wait_for_catchup($standbys[1], 'replay', $standbys[0]->lsn('replay'));
	is_deeply(snapshot($reader{ $_->name }), snapshot($session), 'in the end the ' . $_->name . ' has the same')
	  for @standbys;
	is_deeply([ verify($reader{ $_->name }) ], [], 'store_verify() finds nothing on the ' . $_->name)
	  for @standbys;
}

done_testing();
