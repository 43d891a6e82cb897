# With synchronous_commit = off a crash takes back the last moments.  This is
# what holds nevertheless, as everything is in the order of the WAL:
#
# - each write is there under its number, wholly, or not at all; there is no
#   hole, and the pairs are what the log says;
# - what is lost is the end: if a write is there, so is every other that was
#   acknowledged before its commit was called for, and everything that a reader
#   had seen by then;
# - a write that was acknowledged with synchronous_commit = on is there;
# - prunes and filled holes are there if they have been seen;
# - of the numbers that are there none is given out again.
#
# So a commit that is durable makes all that has been seen before it durable.
#
# Every client keeps a ledger outside the server, with times of a clock that
# all share.  Values tell their batch and their place in it: client.turn|1/3.
#
# Environment:
#   STORE_TEST_LONG     50 kills instead of 4
#   STOREENGINE_SEED    the seed of what the clients do; printed at the start

use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use Fcntl;
use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC usleep);

my $kills = $ENV{STORE_TEST_LONG} ? 50 : 4;
my $seed = $ENV{STOREENGINE_SEED} // time;
my $nclients = 6;
my $ledgers = PostgreSQL::Test::Utils::tempdir;

# Nobody flushes the WAL who does not have to.
my $node = store_node('main', conf => <<'CONF');
synchronous_commit = off
wal_writer_delay = 10s
CONF

note "seed $seed, $kills kills";
srand($seed);

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# ----------------------------------------------------------------- clients

# A process with a session and a ledger; it works until the connection is gone.
sub start_process
{
	my ($round, $name, $work) = @_;

	return fork_client(
		sub {
			srand(hex substr md5_hex("$seed $round $name"), 0, 8);
			my $session = session($node);
			$session->do("SET application_name = 'load'");
			sysopen my $ledger, "$ledgers/$name", O_WRONLY | O_CREAT | O_APPEND or die $!;
			my $note = sub { syswrite($ledger, "@_\n") or die $! };
			my $turn = 0;
			1 while eval { $work->($session, $note, join('.', $round, $name, ++$turn)); 1 };
			my ($state, $error) = ($session->state, $@);
			# 22000 is what DBD::Pg says when the server says nothing.
			$note->('error', $state, $error)
			  unless $state =~ /^(08|57P0[12]|S8)/ || ($state eq '22000' && !$session->ping);
		});
}

sub put
{
	my ($session, $tag) = @_;
	my $size = 1 + int rand 5;
	my @keys = map { 'key/' . int rand 100 } 1 .. $size;

	return value($session, 'SELECT store_put_batch(?::bytea[], ?::bytea[])',
		\@keys, [ map { "$tag|$_/$size" } 1 .. $size ]);
}

# One write.  Few are durable, and few are rolled back, for each hole that is
# filled makes all durable that was written before.
sub write_something
{
	my ($session, $note, $tag) = @_;
	my $what = rand;
	my $durable = $what < 0.003;

	$session->do('BEGIN');
	if ($what > 0.997)
	{
		put($session, $tag);
		$session->do('ROLLBACK');
		return;
	}
	$session->do('SET LOCAL synchronous_commit = on') if $durable;
	my $number = put($session, $tag);
	$note->('commit', $tag, $number, now());
	$session->do('COMMIT');
	$note->('done', $tag, now(), $durable ? 1 : 0);
	return;
}

# The current number, the floor, and the highest hole that was filled.
my $look = q{SELECT store_current_sequence(),
	(SELECT coalesce(max(number), 0) FROM store_control WHERE item = 'floor'),
	(SELECT coalesce(max(sequence_number), 0) FROM store_batch_log
	 WHERE payload = '' AND sequence_number <= store_current_sequence())};

sub watch
{
	my ($session, $note) = @_;

	$note->('saw', $session->selectrow_array($look), now());
	return;
}

sub prune
{
	my ($session) = @_;

	$session->do('SELECT store_prune_batch_log(greatest(store_current_sequence() - 300, 0))')
	  if rand() < 0.1;
	usleep(rand 200_000);    # each prune makes all durable
	return;
}

# What has been noted down: writes {tag => {number, called, done, durable}},
# looks [[current, floor, filled, time] ...] and errors.
sub read_ledgers
{
	my %told = (writes => {}, looks => [], errors => []);

	for my $line (map { split /\n/, slurp_file($_) } glob "$ledgers/*")
	{
		my ($what, $tag, @rest) = split ' ', $line;

		if ($what eq 'commit') { @{ $told{writes}{$tag} }{qw(number called)} = @rest }
		elsif ($what eq 'done') { @{ $told{writes}{$tag} }{qw(done durable)} = @rest }
		elsif ($what eq 'saw') { push @{ $told{looks} }, [ $tag, @rest ] }
		else { push @{ $told{errors} }, $line }
	}
	return \%told;
}

# ----------------------------------------------------------------- checks

my $checked = 0;    # the current number when it was last checked
my %count = map { $_ => 0 } qw(acknowledged durable lost reissued back);
my %lost;           # numbers of lost writes

# The batches of the log by tag, and what is wrong with them.
sub check_batches
{
	my ($log, $writes) = @_;
	my %there;
	my @problems;

	for my $number (grep { $_ > $checked && @{ $log->{$_}{puts} } } keys %$log)
	{
		my @values = map { $_->[1] } @{ $log->{$number}{puts} };
		my ($tag) = split /\|/, $values[0];
		my $size = @values;
		my $write = $writes->{$tag};

		$there{$tag} = $number;
		push @problems, "batch $number is @values"
		  if "@values" ne join(' ', map { "$tag|$_/$size" } 1 .. $size);
		push @problems, "batch $tag became $number and got " . ($write ? $write->{number} : 'none')
		  if !$write || $write->{number} != $number;
		$count{reissued}++ if $lost{$number};
	}
	return (\%there, @problems);
}

# What is there, is there with all that came before.
sub check_writes
{
	my ($seen, $writes, $there, $settled) = @_;
	my @problems;

	for my $tag (grep { $writes->{$_}{done} } keys %$writes)
	{
		my $write = $writes->{$tag};

		$count{acknowledged}++;
		$count{durable} += $write->{durable};
		push @problems, "write $tag got $write->{number}, which was there before"
		  if $write->{number} <= $checked;
		# What is pruned was there.
		next if $there->{$tag} || $write->{number} <= $seen->{floor};
		$count{lost}++;
		$lost{ $write->{number} } = 1;
		push @problems, "write $tag was durable and is lost" if $write->{durable};
		push @problems, "write $tag, number $write->{number}, is lost, and a later one is there"
		  if $write->{done} < $settled;
	}
	return @problems;
}

# What readers have seen does not go down, as far as it was durable.
sub check_looks
{
	my ($looks, $first_look, $settled) = @_;
	my ($current, $floor) = @$first_look;
	my @problems;

	for my $look (@$looks)
	{
		my ($seen_current, $seen_floor, $seen_filled, $time) = @$look;

		push @problems, "the floor $seen_floor was seen and is $floor" if $seen_floor > $floor;
		push @problems, "$seen_filled was seen filled, and the current number is $current"
		  if $seen_filled > $current;
		push @problems, "the current number $seen_current was seen, and settled, and is $current"
		  if $seen_current > $current && $time < $settled;
	}
	$count{back}++ if max(map { $_->[0] } @$looks) > $current;
	return @problems;
}

sub check_round
{
	my ($session, @first_look) = @_;
	my $told = read_ledgers();
	my $writes = $told->{writes};

	wait_complete($session);
	my $seen = snapshot($session);
	my ($there, @odd) = check_batches($seen->{log}, $writes);
	# The latest call for a commit that has survived, or should have.
	my $settled = max(0, map { $_->{called} }
		  (grep { $_->{durable} } values %$writes), @{$writes}{ grep { $writes->{$_} } keys %$there });
	my @problems = (
		@{ $told->{errors} }, problems($seen), verify($session), @odd,
		check_writes($seen, $writes, $there, $settled),
		check_looks($told->{looks}, \@first_look, $settled));

	# C7: whoever has got a number that is lost does not read without noticing.
	my ($beyond) = grep { $_ > $seen->{current} } keys %lost;
	push @problems, "the lost number $beyond is taken for reached"
	  if $beyond && failure($session, "SELECT store_get('key/1', $beyond)") ne 'SE003';
	$checked = $seen->{current};
	return @problems;
}

# ------------------------------------------------------------------- kills

# Wait until one of the numbers that readers see goes up: the next moment is when
# it could be lost.
sub wait_for_step
{
	my ($monitor, $which) = @_;
	my $before = ($monitor->selectrow_array($look))[$which];

	return wait_until('a number goes up', sub { ($monitor->selectrow_array($look))[$which] > $before });
}

# Not every crash finds something to take back.
for (my $round = 1; $round <= $kills || !$count{lost} && $round < 10 * $kills; $round++)
{
	my $monitor = session($node);
	my ($session, @first_look);

	unlink glob "$ledgers/*";
	my @load = (
		(map { start_process($round, "client$_", \&write_something) } 1 .. $nclients),
		start_process($round, 'watcher', \&watch),
		start_process($round, 'pruner', \&prune));
	wait_until('all are connected', sub { @load == (() = glob "$ledgers/*") });
	my $enough = value($monitor, 'SELECT last_value FROM store_sequence') + 200 + rand 400;
	wait_until('there has been enough load',
		sub { value($monitor, 'SELECT last_value FROM store_sequence') > $enough });
	wait_for_step($monitor, $round % 3);
	crash($node, @{ $monitor->selectcol_arrayref('SELECT pid FROM pg_stat_activity') });
	my $failed = wait_clients(@load);

	wait_until('the server answers',
		sub { eval { $session = session($node); @first_look = $session->selectrow_array($look); 1 } });
	my @problems = check_round($session, @first_look);
	push @problems, "$failed processes failed" if $failed;
	# A2 A9 B1 D5
	is(join("\n", splice @problems, 0, 20),
		'', "kill $round: when the " . ('current number', 'floor', 'highest filled hole')[ $round % 3 ] . ' has gone up');
}

cmp_ok($count{lost}, '>', 0, 'something was lost');
ok(!$node->log_contains('duplicate key value'), 'no hole was taken for what it is not');
note "$count{acknowledged} writes acknowledged, $count{durable} of them durable; $count{lost} lost, "
  . "$count{reissued} of their numbers given out again; the current number went down $count{back} times";

# One durable commit, of whatever session, is enough.
my ($session, $other) = (session($node), session($node));
my $number = value($session, q{SELECT store_put('last', 'value')});
$other->do(q{SET synchronous_commit = on; SELECT store_put('other', 'value')});
crash($node, @{ $session->selectcol_arrayref('SELECT pid FROM pg_stat_activity') });
$session = session($node);
is(value($session, 'SELECT cardinality(store_get_batch(?))', $number), 1,
	'a durable commit makes others durable that were acknowledged before');

done_testing();
