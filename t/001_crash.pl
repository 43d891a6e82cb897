# Kill the server under load, again and again: nothing that was acknowledged
# is lost or renumbered.
#
# Every client keeps a ledger outside the server, to which it adds a number
# only after COMMIT has returned.  STOREENGINE_KILLS says how many kills.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(max min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $kills = $ENV{STOREENGINE_KILLS} // 21;
my $nclients = 8;
my $seed = $ENV{STOREENGINE_SEED} // time;
my $ledgers = PostgreSQL::Test::Utils::tempdir;
my $node = store_node('main',
	conf => "restart_after_crash = on\nstoreengine.max_databases = 4\n");

note "seed $seed";
srand($seed);

# One transaction of a client; returns what it did, as lines for the ledger.
sub work
{
	my ($session, $client, $mark) = @_;
	my $own = sub { "own/$client/" . int(rand 4) };
	my $shared = sub { 'shared/' . int(rand 12) };
	my $put = sub {
		my $key = shift;
		my $number = value($session, 'SELECT store_put_batch(?::bytea[], ?::bytea[])',
			[ $key, @_ ], [ ($mark) x (1 + @_) ]);
		return "$number $key $mark\n";
	};
	my $what = rand;

	return $put->($own->()) if $what < 0.3;
	return $put->($own->(), $shared->()) if $what < 0.5;
	if ($what < 0.6)
	{
		my $key = $shared->();
		my $number = value($session, 'SELECT store_delete_batch(?::bytea[])', [$key]);
		return "$number $key\n";
	}

	my @done;
	$session->do('BEGIN');
	if ($what < 0.7)
	{
		my ($number) = split ' ', $put->($own->(), $shared->());
		$session->do('ROLLBACK');
		return "$number\n";
	}
	if ($what < 0.9)
	{
		push @done, $put->($own->()) if rand() < 0.5;
		$session->do('SAVEPOINT undo');
		$put->($own->());
		$session->do('ROLLBACK TO undo');
		push @done, $put->($own->()) if rand() < 0.5;
	}
	else
	{
		push @done, $put->($own->()) for 1 .. 3;
		$session->do('SELECT pg_sleep(0.005)');
	}
	$session->do('COMMIT');
	return @done;
}

# Work until the connection is lost, and note down anything else that fails.
sub run_client
{
	my ($name, $code) = @_;

	return fork_client(
		sub {
			srand($seed + $$);
			my $session = session($node);
			$session->do("SET application_name = 'load'");
			# That the ledger is there says that the client is connected.
			open my $ledger, '>', "$ledgers/$name" or die $!;
			$ledger->autoflush(1);
			my $turn = 0;
			1 while eval { print $ledger $code->($session, ++$turn); 1 };
			my $state = $session->state;
			# 22000 is what DBD::Pg says when the server says nothing.
			print $ledger "error $state $@" unless $state =~ /^(08|57P0[12]|22000|S8)/;
		});
}

# Start the clients, one that prunes up to what has been checked, and one that
# watches.
sub start_load
{
	my ($round, $checked) = @_;
	my @pids;

	unlink glob "$ledgers/*";
	for my $client (1 .. $nclients)
	{
		push @pids, run_client(
			"client-$client",
			sub {
				my ($session, $turn) = @_;
				return work($session, $client, sprintf '%05d.%07d', $round, $turn);
			});
	}
	push @pids, run_client(
		'pruner',
		sub {
			my ($session, $turn) = @_;
			value($session, 'SELECT store_prune_batch_log(?)', max(0, min($checked, $checked - 150 + $turn)));
			return;
		});
	push @pids, run_client(
		'watcher',
		sub {
			my ($session) = @_;
			return join(' ', $session->selectrow_array(
					'SELECT store_current_sequence(), coalesce(store_oldest_retained_batch(), 0)'))
			  . "\n";
		});
	return @pids;
}

# Kill in one of three ways, and have the server run again.
my %kill = (
	'immediate stop' => sub {
		$node->stop('immediate');
		$node->start;
	},
	'kill -9 of the postmaster' => sub { crash($node) },
	'kill -9 of a backend' => sub {
		my ($victims) = @_;
		kill 'KILL', $victims->[ rand @$victims ];
	});
my @ways = sort keys %kill;

my %acknowledged; # number => ledger line
my %newest; # own key => the latest value acknowledged
my @watched = (0, 0);
my $highest = 0; # of all acknowledged numbers

# Compare what the server has with the ledgers of a round.
sub check_round
{
	my ($seen) = @_;
	my @problems = problems($seen);
	my @undone;
	my $highest_before = $highest;

	for my $client (1 .. $nclients)
	{
		my $last = 0;
		for my $line (reverse split /\n/, slurp_file("$ledgers/client-$client"))
		{
			my ($number, $key, $value) = split ' ', $line;
			if ($number eq 'error')
			{
				push @problems, $line;
				next;
			}
			# A rolled back number can have got lost in the crash, unless the
			# client has written after it.
			if (!defined $key)
			{
				push @undone, $number if $number < $last;
				next;
			}
			# A8
			push @problems, "client $client got $number and then $last"
			  if $last && $number >= $last;
			$last = $number;

			# A4
			push @problems, "$line: given out before, to $acknowledged{$number}"
			  if $acknowledged{$number};
			push @problems, "$line: not above $highest_before"
			  if $number <= $highest_before;
			$acknowledged{$number} = $line;
			$highest = max($highest, $number);

			# B9
			my $batch = $seen->{log}{$number};
			my $there = defined $value
			  ? grep { "@$_" eq "$key $value" } @{ $batch->{puts} }
			  : grep { $_ eq $key } @{ $batch->{deletes} };
			push @problems, "$line: lost" unless $there;
			$newest{$key} = max($newest{$key} // 0, $value) if $key =~ /^own/;
		}
	}
	# A3
	push @problems, "number $_ was rolled back and given out again"
	  for grep { $acknowledged{$_} } @undone;
	# B9
	push @problems, "key $_ is older than $newest{$_}"
	  for grep { ($seen->{pairs}{$_} // 0) < $newest{$_} } keys %newest;
	# A5, D5
	for my $line (split(/^/, slurp_file("$ledgers/watcher")),
		"$seen->{current} $seen->{oldest}\n")
	{
		my @now = split ' ', $line;
		push @problems, "after @watched the watcher saw @now"
		  if $now[0] !~ /^\d+$/ || $now[0] < $watched[0] || $now[1] < $watched[1];
		@watched = @now;
	}
	push @problems, slurp_file("$ledgers/pruner");
	return grep { $_ ne '' } @problems;
}

my $checked = 0;
for my $round (1 .. $kills)
{
	my $way = $ways[ $round % @ways ];
	my $monitor = session($node);
	my @load = start_load($round, $checked);
	my $enough = value($monitor, 'SELECT last_value FROM store_sequence') + 50 + rand 250;

	wait_until('all clients are connected', sub { @load == (() = glob "$ledgers/*") });
	wait_until('there has been enough load',
		sub { value($monitor, 'SELECT last_value FROM store_sequence') > $enough });
	my $victims = $monitor->selectcol_arrayref(
		q{SELECT pid FROM pg_stat_activity
		  WHERE application_name = 'load' OR backend_type = 'storeengine worker'});
	$kill{$way}->($victims);
	my $failed = wait_clients(@load);

	my $session = wait_until('the server answers', sub { eval { session($node) } });
	# A2: whatever the crash left undone is filled.
	wait_complete($session);
	my $seen = snapshot($session);
	my @problems = (check_round($seen), verify($session));
	push @problems, "$failed clients failed" if $failed;
	# A2 A3 A4 A5 A9 B9 D5
	is(join("\n", @problems), '', "kill $round: $way");
	$checked = $seen->{current};
}

cmp_ok(scalar keys %acknowledged, '>', 20 * $kills, 'there was something to lose');
note scalar(keys %acknowledged), " numbers acknowledged, $highest the highest, floor above $watched[1]";

done_testing();
