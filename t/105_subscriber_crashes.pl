# A subscriber through many crashes under load: it goes on where it was, with
# every batch, once.  If commits are not made durable, what it has read may be
# lost: then it is told, and it never goes on with other batches unawares.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir;
my $crashes = $ENV{STORE_TEST_LONG} ? 100 : 2;
my $more = 10;    # at most, until something is lost that the subscriber has read

# Read all that is there, and say what has happened: '' or a SQLSTATE.
sub keep_up
{
	my ($session, $cursor, $seen) = @_;
	my $state = read_on($session, $cursor);

	$seen->{$state}++;
	if ($state eq 'SE004')
	{
		# It starts over, here with the log instead of the pairs.
		%$cursor = ();
		read_on($session, $cursor) eq '' or die 'a new cursor is refused';
	}
	return $state;
}

for my $durable (1, 0)
{
	my $what = $durable ? 'durable' : 'not durable';
	my $node = store_node(
		$durable ? 'durable' : 'lossy',
		conf => "max_connections = 20\nwal_writer_delay = 10s\n"
		  . 'synchronous_commit = ' . ($durable ? 'on' : 'off') . "\n");
	my %cursor;
	my $session = session($node);
	my (%seen, @wrong);

	for my $crash (1 .. $crashes + $more)
	{
		last if $crash > $crashes && ($durable || $seen{SE004});
		my @writers = map {
			my $name = "writer$_ of $crash";
			fork_client(
				sub {
					eval { write_at_random(session($node), $name, sub { 0 }, sub { }) };
				})
		} 1 .. 3;
		my $goal = value($session, 'SELECT store_current_sequence()') + 100;

		wait_until(
			'there is load',
			sub {
				keep_up($session, \%cursor, \%seen);
				return $cursor{number} > $goal;
			});
		# What nobody has made durable when the server crashes.
		$session->do(q{SELECT store_put('last', ?)}, undef, $crash);
		keep_up($session, \%cursor, \%seen);
		crash($node);
		wait_clients(@writers);
		$session = session($node);

		# Numbers that were read and are lost are given out again.
		keep_up($session, \%cursor, \%seen);
		$session->do(q{SELECT store_put('after', ?)}, undef, "crash $crash") for 1 .. 50;
		wait_complete($session);
		wait_until('the subscriber can go on',
			sub { keep_up($session, \%cursor, \%seen) eq '' });

		# F2 F8
		my $snapshot = snapshot($session);
		push @wrong, problems($snapshot), verify($session);
		push @wrong, "after crash $crash batch $_ is another than was read"
		  for unlike_log(\%cursor, $snapshot);
	}
	is(join("\n", @wrong), '', "$what: a subscriber has read what there is, each time");
	is(join(' ', grep { $durable ? $_ : !/^(|SE003|SE004)$/ } keys %seen),
		'', "$what: it was told nothing else");
	note("$what: told $_: $seen{$_}") for grep { $_ } sort keys %seen;
	next if $durable;
	# Whether there is something to lose at that moment is a matter of luck.
	ok($seen{SE004}, "$what: it was told") if $seen{SE004} || $ENV{STORE_TEST_LONG};
	note("$what: nothing was lost that had been read") if !$seen{SE004};
}

done_testing();
