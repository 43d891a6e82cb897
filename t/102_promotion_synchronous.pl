# A synchronous standby that is promoted in the middle of writing has all that
# was acknowledged, under the same numbers, and goes on from there; so does a
# subscriber.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir;
my $batches = $ENV{STORE_TEST_LONG} ? 5000 : 300;

# What writers were told, by number: value, undef for a delete.
sub ledger
{
	my %acknowledged;

	for my $line (map { split /\n/, slurp_file($_) } @_)
	{
		my ($number, $value) = split / /, $line;
		die "number $number was given out twice" if exists $acknowledged{$number};
		$acknowledged{$number} = $value;
	}
	return \%acknowledged;
}

# Which of them are missing from a snapshot, or are something else there.
sub lost
{
	my ($acknowledged, $seen) = @_;

	return grep {
		my $batch = $seen->{log}{$_} // { puts => [], deletes => [] };
		my $value = $acknowledged->{$_};

		defined $value
		  ? !grep { $_->[1] eq $value } @{ $batch->{puts} }
		  : !@{ $batch->{deletes} };
	} sort { $a <=> $b } keys %$acknowledged;
}

for my $level ('on', 'remote_apply')
{
	my $primary = store_node("primary_$level",
		init => [ allows_streaming => 1 ],
		conf => "max_connections = 20\nsynchronous_commit = $level\n");
	my $standby = standby_of($primary, "standby_$level");
	$primary->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = '*'});
	$primary->reload;
	my $session = session($primary);
	wait_until('the standby is synchronous',
		sub { value($session, q{SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'}) });

	my @ledgers = map { "$folder/$level.$_" } 1 .. 4;
	my @writers = map {
		my $number = $_;
		fork_client(
			sub {
				open my $ledger, '>', $ledgers[ $number - 1 ] or die $!;
				$ledger->autoflush(1);
				srand($number);
				# It ends with its server.
				eval {
					write_at_random(session($primary), "writer$number", sub { 0 },
						sub { print $ledger join(' ', $_[0], $_[1] // ()), "\n" });
				};
			})
	} 1 .. @ledgers;

	# A subscriber keeps up with them.
	my %cursor;
	wait_until(
		'there has been load',
		sub {
			my $state = read_on($session, \%cursor);
			die "reading failed with $state" if $state;
			return $cursor{number} > $batches;
		});

	# The primary still runs, and its writers wait for a standby for ever.
	$standby->promote;
	my $new = session($standby);
	is(read_on($session, \%cursor), '', "$level: the subscriber reads on, from the old primary");
	my $first = value($new, q{SELECT store_put('shared 1', 'first')});
	is(read_on($session, \%cursor), '', "$level: and again");
	wait_until('writers wait for the standby that was',
		sub { value($session, q{SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'}) });
	$session->disconnect;
	$primary->stop('immediate');
	wait_clients(@writers);

	my $acknowledged = ledger(@ledgers);
	wait_complete($new);
	my $seen = snapshot($new);
	my $read = $cursor{number};
	# A2 A9
	is(join("\n", problems($seen)), '', "$level: the log is complete");
	# B9 A4
	cmp_ok(scalar keys %$acknowledged, '>', $batches / 4, "$level: there was something to lose");
	is(join(' ', lost($acknowledged, $seen)), '', "$level: nothing acknowledged is lost or another");
	cmp_ok($first, '>', max($read, keys %$acknowledged), "$level: the numbers go on");

	# F2
	is(read_on($new, \%cursor), '', "$level: the subscriber goes on at the new primary");
	is($cursor{number}, $seen->{current}, "$level: to the end");
	cmp_ok($cursor{number}, '>', $read, "$level: it reads something new");
	is(join(' ', unlike_log(\%cursor, $seen)), '', "$level: it has read every batch, once");

	leave_hole($new);
	wait_complete($new);
	is(read_on($new, \%cursor), '', "$level: and goes on");
	$seen = snapshot($new);
	is(join("\n", problems($seen)), '', "$level: all is well");
	is(join(' ', unlike_log(\%cursor, $seen)), '', "$level: for the subscriber, too");
	is_deeply([ verify($new) ], [], "$level: store_verify() finds nothing");
}

done_testing();
