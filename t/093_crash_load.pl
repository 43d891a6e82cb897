# Kill the server at any moment of a heavy load, again and again: nothing that
# was acknowledged is lost, altered or renumbered, what was not is there wholly
# or not at all, and nothing that a reader has seen is taken back.
#
# Every client keeps a ledger, a file outside the server, with lines for what
# it is about to send and for what it has been told.  A trigger copies pruned
# batches to an archive, in the transaction that prunes them.  So the checker
# has every batch there ever was, and holds it against the ledgers.
#
# A batch has a tag, which is never used again: round.client.turn.place.  Each
# value of a put begins with it; of the keys of a delete it is the first.
#
# Environment:
#   STORE_TEST_LONG     200 kills instead of 6
#   STOREENGINE_SEED    the seed of what the clients do; printed at the start

use strict;
use warnings;

use Digest::MD5 qw(md5_hex);
use Fcntl;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;
use Time::HiRes qw(usleep);

my $kills = $ENV{STORE_TEST_LONG} ? 200 : 6;
my $seed = $ENV{STOREENGINE_SEED} // time;
my $nclients = 8;
my $ledgers = PostgreSQL::Test::Utils::tempdir;
my $node = store_node('main', conf => <<'CONF');
restart_after_crash = on
deadlock_timeout = 50ms
CONF

note "seed $seed, $kills kills";
srand($seed);

# What a batch is, in a few bytes: whatever is changed in it shows.
sub digest
{
	my ($puts, $deletes) = @_;

	return md5_hex(pack '(N/a*)*', (map { @$_ } @$puts), 'deleted', @$deletes);
}

my $empty = digest([], []);

# ----------------------------------------------------------------- clients

# A process with a session and a ledger, to which it adds lines: none of them
# is lost, whatever happens to the server.  It works until the connection is
# gone, and notes down any other error that is not expected.
sub start_process
{
	my ($round, $name, $work) = @_;

	return fork_client(
		sub {
			srand(hex substr md5_hex("$seed $round $name"), 0, 8);
			my %me = (name => $name, round => $round, turn => 0, session => session($node));
			$me{session}->do("SET application_name = 'load'");
			# That the ledger is there says that the process is connected.
			sysopen my $ledger, "$ledgers/$name", O_WRONLY | O_CREAT | O_APPEND or die $!;
			$me{note} = sub { syswrite($ledger, "@_\n") or die $! };
			1 while turn(\%me, $work);
		});
}

# One turn of a process; false if it was the last one.
sub turn
{
	my ($me, $work) = @_;

	$me->{turn}++;
	$me->{open} = [];
	return 1 if eval { $work->($me); 1 };

	my ($state, $error) = ($me->{session}->state, $@);
	# 22000 is what DBD::Pg says when the server says nothing.
	return 0 if $state =~ /^(08|57P0[12]|S8)/ || ($state eq '22000' && !$me->{session}->ping);
	$me->{note}->('error', $state, $error) if $state ne '40P01';
	$me->{note}->('undone', @{ $me->{open} });
	return eval { $me->{session}->do('ROLLBACK'); 1 };
}

# The pairs of a put: one to a hundred, or ten thousand, or none; some keys are
# this client's, some are everybody's, and some will fall to a policy.
sub some_pairs
{
	my ($me, $tag) = @_;
	my $what = rand;

	return [] if $what < 0.02;
	return [ map { [ sprintf('large/%04d', $_), "$tag|$_" ] } 0 .. 9999 ] if $what < 0.03;
	my @keys = map {
		my $kind = rand;
		$kind < 0.7 ? "own/$me->{name}/" . int(rand 60)
		  : $kind < 0.9 ? 'shared/' . int(rand 1000)
		  : "gone/$me->{name}/" . int(rand 30)
	} 1 .. 1 + 100 * rand()**3;    # most are small
	return [ map { [ $_, "$tag|" . 'x' x rand 100 ] } @keys ];
}

# Write a batch, noted down before it is sent and when its number is known.
# Returns its tag.
sub write_batch
{
	my ($me, $alone) = @_;
	my $tag = join '.', $me->{round}, $me->{name}, $me->{turn}, scalar @{ $me->{open} };
	my $delete = rand() < 0.2;
	my $puts = $delete ? [] : some_pairs($me, $tag);
	my $keys = $delete
	  ? [ "tag/$tag", map { 'shared/' . int(rand 1000) } 0 .. rand 10 ]
	  : [ map { $_->[0] } @$puts ];

	push @{ $me->{open} }, $tag;
	$me->{note}->('batch', $tag, digest($puts, $delete ? $keys : []));
	$me->{note}->('commit', $tag) if $alone;
	my $number = $delete
	  ? value($me->{session}, 'SELECT store_delete_batch(?::bytea[])', $keys)
	  : value($me->{session}, 'SELECT store_put_batch(?::bytea[], ?::bytea[])',
		$keys, [ map { $_->[1] } @$puts ]);
	$me->{note}->('number', $tag, $number);
	return $tag;
}

# A transaction of several batches, with savepoints that are rolled back, and
# sometimes rolled back itself.
sub write_several
{
	my ($me) = @_;
	my @tags;

	$me->{session}->do('BEGIN');
	for (0 .. rand 4)
	{
		if (rand() < 0.3)
		{
			$me->{session}->do('SAVEPOINT here');
			$me->{note}->('undone', write_batch($me));
			$me->{session}->do('ROLLBACK TO SAVEPOINT here');
		}
		else
		{
			push @tags, write_batch($me);
		}
	}
	if (rand() < 0.25)
	{
		$me->{note}->('undone', @tags);
		$me->{session}->do('ROLLBACK');
		return;
	}
	$me->{note}->('commit', @tags);
	$me->{session}->do('COMMIT');
	$me->{note}->('done', @tags);
	return;
}

sub write_something
{
	my ($me) = @_;

	return write_several($me) if rand() < 0.4;
	$me->{note}->('done', write_batch($me, 1));
	return;
}

# What removes batches and keys, by all ways there are.
my @chores = (
	'SELECT store_prune_batch_log(greatest(store_current_sequence() - 30, 0))',
	q{SELECT store_set_retention('{"keepLatest": {"count": 60}}')},
	q{SELECT store_set_retention('{"maxBytes": 200000}')},
	'SELECT store_set_retention(NULL)',
	q{SELECT store_prune('{"policies": [{"keys": {"selector":
		{"prefix": "Z29uZS8=", "payloadRegex": "(?s-u)."}}, "retain": {"dropAll": {}}}]}')},
	'CHECKPOINT');

sub keep_house
{
	my ($me) = @_;

	$me->{session}->do($chores[ rand @chores ]);
	usleep(rand 100_000);    # or else it would do nothing but to get in the way
	return;
}

# What a reader has been told, as numbers that never go down: if nothing is
# retained, the oldest batch will be the next one.
my $look = q{SELECT store_current_sequence(),
	coalesce(store_oldest_retained_batch(), store_current_sequence() + 1),
	(SELECT coalesce(max(number), 0) FROM store_control WHERE item = 'floor')};

sub watch
{
	my ($me) = @_;

	$me->{note}->('saw', $me->{session}->selectrow_array($look));
	return;
}

sub start_load
{
	my ($round) = @_;

	unlink glob "$ledgers/*";
	return (
		(map { start_process($round, "client$_", \&write_something) } 1 .. $nclients),
		start_process($round, 'housekeeper', \&keep_house),
		start_process($round, 'watcher', \&watch));
}

# ----------------------------------------------------------------- ledgers

# What the processes have noted down in a round: batches {tag => {digest,
# number, fate}}, transactions [[tag ...] ...] whose commit was sent, looks and
# errors.  The fate is 'undone', 'done', or 'unknown' if the commit was sent.
sub read_ledgers
{
	my %told = (batches => {}, transactions => [], looks => [], errors => []);

	for my $file (glob "$ledgers/*")
	{
		for my $line (split /\n/, slurp_file($file))
		{
			my ($what, @rest) = split ' ', $line;
			my $batches = $told{batches};

			if ($what eq 'batch') { $batches->{ $rest[0] } = { digest => $rest[1], fate => 'undone' } }
			elsif ($what eq 'number') { $batches->{ $rest[0] }{number} = $rest[1] }
			elsif ($what eq 'commit') { push @{ $told{transactions} }, \@rest; $batches->{$_}{fate} = 'unknown' for @rest }
			elsif ($what =~ /^(un)?done$/) { $batches->{$_}{fate} = $what for @rest }
			elsif ($what eq 'saw') { push @{ $told{looks} }, \@rest }
			else { push @{ $told{errors} }, $line }
		}
	}
	return \%told;
}

# The tag of a batch; '' for one of a policy or of the filler, undef if nobody
# can have written it.
sub tag_of
{
	my ($batch) = @_;
	my ($puts, $deletes) = @$batch{qw(puts deletes)};

	return $puts->[0][1] =~ s/\|.*//r if @$puts;
	return $1 if @$deletes && $deletes->[0] =~ m{^tag/(.*)};
	return (grep { !m{^gone/} } @$deletes) ? undef : '';
}

# ----------------------------------------------------------------- checks

# Since the last check: the pairs, the digests of batches, the current number,
# and what readers have seen.
my %pairs;
my %digests;
my $checked = 0;
my @seen = (0, 0, 0);
my %count = map { $_ => 0 } qw(done undone unknown kept);

# A5, D5: neither a reader nor a crash takes back what has been seen.
sub check_looks
{
	my @problems;

	for my $now (@_)
	{
		push @problems, "after @seen a reader saw @$now" if grep { $now->[$_] < $seen[$_] } 0 .. 2;
		@seen = @$now;
	}
	return @problems;
}

# Every batch in the log or in the archive, by number.
sub read_history
{
	my ($session, $log) = @_;
	my %history = %$log;

	for my $row (@{ $session->selectall_arrayref('SELECT * FROM archive') })
	{
		$history{ $row->[0] } = {
			puts => [ entries($row->[1]) ],
			deletes => [ map { $_->[0] } entries($row->[2] // '') ]
		};
	}
	$session->do('DELETE FROM archive');
	return \%history;
}

# A2, A4: there is no hole, and what was there has not changed.
sub check_history
{
	my ($history, $current) = @_;
	my @problems;

	push @problems, map { "batch $_ is neither in the log nor in the archive" }
	  grep { !$history->{$_} } $checked + 1 .. $current;
	for my $number (sort { $a <=> $b } keys %$history)
	{
		my $digest = digest(@{ $history->{$number} }{qw(puts deletes)});

		push @problems, "batch $number has been altered"
		  if $number <= $checked && $digest ne ($digests{$number} // '');
		$digests{$number} = $digest;
	}
	return @problems;
}

# A9: the pairs are those of the last check, and then what has been written.
sub check_pairs
{
	my ($history, $now) = @_;
	my @problems;

	for my $batch (@{$history}{ grep { $_ > $checked } sort { $a <=> $b } keys %$history })
	{
		$pairs{ $_->[0] } = $_->[1] for @{ $batch->{puts} };
		delete $pairs{$_} for @{ $batch->{deletes} };
	}
	for my $key (keys %{ { %pairs, %$now } })
	{
		my ($is, $should) = map { $_->{$key} // 'absent' } $now, \%pairs;
		push @problems, "key $key is $is but should be $should" if $is ne $should;
	}
	%pairs = %$now;
	return @problems;
}

# A3, A4, B9: each batch that was written since the last check is in a ledger.
# Returns their numbers by tag, and what is wrong.
sub check_origins
{
	my ($history, $batches) = @_;
	my %found;
	my @problems;

	for my $number (grep { $_ > $checked } keys %$history)
	{
		my $tag = tag_of($history->{$number});

		next if defined $tag && $tag eq '';
		my $batch = $batches->{ $tag // '' };
		if (!$batch)
		{
			push @problems, "batch $number comes from nowhere";
			next;
		}
		push @problems, "batch $tag is there twice: $found{$tag} and $number" if $found{$tag};
		push @problems, "batch $tag got $batch->{number} and became $number"
		  if $batch->{number} && $batch->{number} != $number;
		push @problems, "batch $tag was altered" if $batch->{digest} ne $digests{$number};
		push @problems, "batch $tag was undone and is there" if $batch->{fate} eq 'undone';
		$found{$tag} = $number;
	}
	return (\%found, @problems);
}

# A4, B9: what was acknowledged is there, and no number was given out twice.
sub check_numbers
{
	my ($history, $batches, $found, $current) = @_;
	my %holder;
	my @problems;

	for my $tag (keys %$batches)
	{
		my ($number, $fate) = @{ $batches->{$tag} }{qw(number fate)};

		$count{$fate}++;
		push @problems, "batch $tag was acknowledged and is lost"
		  if $fate eq 'done' && $batches->{$tag}{digest} ne $empty && !$found->{$tag};
		next unless $number;
		push @problems, "number $number was given to $holder{$number} and to $tag" if $holder{$number};
		push @problems, "number $number was given to $tag and to somebody before" if $number <= $checked;
		$holder{$number} = $tag;
		push @problems, "batch $number of $tag should be empty"
		  if !$found->{$tag} && $history->{$number} && $digests{$number} ne $empty;
		push @problems, "batch $number was acknowledged and is above $current"
		  if $fate eq 'done' && $number > $current;
	}
	return @problems;
}

# B1: a transaction is there wholly or not at all.
sub check_transactions
{
	my ($told, $found) = @_;
	my @problems;

	for my $tags (@{ $told->{transactions} })
	{
		my @full = grep { $told->{batches}{$_}{digest} ne $empty } @$tags;
		my $there = grep { $found->{$_} } @full;

		push @problems, "of the transaction @full only $there batches are there"
		  if $there && $there != @full;
		$count{kept}++ if $there && $told->{batches}{ $full[0] }{fate} eq 'unknown';
	}
	return @problems;
}

# A8: a client's numbers ascend, in the order in which it wrote.
sub check_order
{
	my ($batches) = @_;
	my %last;
	my @problems;
	my %turn = map { $_ => [ (split /\./)[ 1, 2, 3 ] ] } keys %$batches;

	for my $tag (sort { $turn{$a}[1] <=> $turn{$b}[1] || $turn{$a}[2] <=> $turn{$b}[2] } keys %turn)
	{
		my $number = $batches->{$tag}{number} // next;
		my $client = $turn{$tag}[0];

		push @problems, "$client got $last{$client} and then $number"
		  if ($last{$client} // 0) >= $number;
		$last{$client} = $number;
	}
	return @problems;
}

# All of them, in a session after the crash.
sub check_round
{
	my ($session, @first_look) = @_;
	my $told = read_ledgers();
	my @problems = (@{ $told->{errors} }, check_looks(@{ $told->{looks} }, \@first_look));

	# A2: whatever the crash left undone is filled, up to the highest batch.
	wait_complete($session);
	push @problems, verify($session);
	my $now = snapshot($session);
	my $history = read_history($session, $now->{log});
	push @problems, problems($now), check_looks([ $session->selectrow_array($look) ]);
	push @problems, check_history($history, $now->{current}), check_pairs($history, $now->{pairs});
	my ($found, @odd) = check_origins($history, $told->{batches});
	push @problems, @odd, check_numbers($history, $told->{batches}, $found, $now->{current}),
	  check_transactions($told, $found), check_order($told->{batches});
	$checked = $now->{current};
	return @problems;
}

# ------------------------------------------------------------------- kills

my %kill = (
	'the server' => sub { crash($node, @_) },
	'the server, and again as soon as it runs' => sub {
		crash($node, @_);
		crash($node);
	},
	'a process' => sub { kill 'KILL', $_[ rand @_ ] },
	'by an immediate stop' => sub {
		$node->stop('immediate');
		$node->start;
	});
my @ways = sort keys %kill;

# Load, and kill when a random number of batches has been written.
sub kill_under_load
{
	my ($round, $way) = @_;
	my $monitor = session($node);
	my @load = start_load($round);

	wait_until('all are connected', sub { @load == (() = glob "$ledgers/*") });
	my $enough = value($monitor, 'SELECT last_value FROM store_sequence') + 50 + rand 250;
	wait_until('there has been enough load',
		sub { value($monitor, 'SELECT last_value FROM store_sequence') > $enough });
	my $victims = $monitor->selectcol_arrayref(
		q{SELECT pid FROM pg_stat_activity
		  WHERE application_name = 'load' OR backend_type <> 'client backend' AND ?},
		undef, $way eq 'a process' ? 0 : 1);
	$kill{$way}->(@$victims);
	return wait_clients(@load);
}

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE archive (number bigint PRIMARY KEY, payload bytea, deleted_keys bytea);
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
	INSERT INTO archive VALUES (old.sequence_number, old.payload, old.deleted_keys);
	RETURN old;
END$$;
CREATE TRIGGER keep BEFORE DELETE ON store_batch_log FOR EACH ROW EXECUTE FUNCTION keep();
SQL

for my $round (1 .. $kills)
{
	my $way = $ways[ $round % @ways ];
	my $failed = kill_under_load($round, $way);
	my ($session, @first_look);

	wait_until('the server answers',
		sub { eval { $session = session($node); @first_look = $session->selectrow_array($look); 1 } });
	my @problems = check_round($session, @first_look);
	push @problems, "$failed processes failed" if $failed;
	# A2 A3 A4 A5 A8 A9 B1 B9 D5
	is(join("\n", splice @problems, 0, 20), '', "kill $round: $way");
}

cmp_ok($count{done}, '>', 20 * $kills, 'there was something to lose');
ok(!$node->log_contains('duplicate key value'), 'no hole was taken for what it is not');
note "batches: $count{done} acknowledged, $count{undone} rolled back or never committed, "
  . "$count{unknown} in doubt; $count{kept} transactions in doubt were there; $checked numbers, floor $seen[2]";

done_testing();
