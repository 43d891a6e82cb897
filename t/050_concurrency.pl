# Many sessions at once, checked afterwards against the whole log.
#
# Writers, readers (one of them on a standby), a pruner and a troublemaker run
# for a while, each a process with a ledger: what it did and saw, timed by the
# clock all processes share.  Then the ledgers are held against each other and
# against the log, of which the pruner copies what it removes: no batch is
# ever lost to the checker, so the state that any snapshot should have shown
# can be told exactly.
#
# A value begins with a tag, writer.transaction.batch.place, that is never
# used twice, and goes on with padding: tag|xxxx.
#
# Environment:
#   STOREENGINE_CHECK_SECONDS   how long the sessions run (20)
#   STOREENGINE_SEED            the seed of what they do; printed at the start

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(any max min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Storable;
use StoreTest;
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC sleep);

my $seconds = $ENV{STOREENGINE_CHECK_SECONDS} || 20;
my $seed = $ENV{STOREENGINE_SEED} || (time ^ $$ << 8) & 0x7fffffff;

my $writers = 12;
my $readers = 6;
my $retained = 1500;    # batches the pruner leaves in the log
my $window = 60;        # batches whose sizes a reader looks at every time

my @hot = map { "hot$_" } 0 .. 5;
my @cold = map { sprintf 'cold%03d', $_ } 0 .. 399;

# What a writer must expect: division by zero, cancel, terminated, shot in
# the middle, serialization failure, deadlock.  Anything else is a finding.
my $expected_errors = qr/^(22012|57014|57P01|08...|40001|40P01)$/;

my ($primary, $standby, $deadline);

sub now { return clock_gettime(CLOCK_MONOTONIC) }
sub one_in { my ($n) = @_; return rand() * $n < 1 }
sub any_of { return $_[ rand @_ ] }
sub pause { my ($most) = @_; sleep(rand $most); return }

# A session under a name, by which the troublemaker finds its victims.
sub named_session
{
	my ($node, $name) = @_;
	my $session = session($node);

	$session->do("SET application_name = '$name'");
	return $session;
}

# Has the connection been lost?
sub lost
{
	my ($session) = @_;

	return $session->state =~ /^(57P0|08)/ || $session->ping <= 0;
}

# An entry is written "key=tag|length" in the ledgers.
sub key_of { return $_[0] =~ s/=.*//r }
sub tag_of { return $_[0] =~ s/^.*=//r =~ s/\|.*//r }

# Apply a batch to a table of key => entry, undef for deleted.
sub replay
{
	my ($kv, $batch) = @_;

	$kv->{ key_of($_) } = $_ for @{ $batch->{entries} };
	$kv->{$_} = undef for @{ $batch->{deletes} // [] };
	return;
}

sub bytea_array
{
	return '{' . join(',', map { '"\\\\x' . unpack('H*', $_) . '"' } @_) . '}';
}

# ----------------------------------------------------------------- writers

# A ledger of transactions.  Each has the times of its begin, of the call that
# commits it and of the answer, its outcome (committed, gone, unknown), and
# its batches; a batch is dropped when its savepoint was rolled back.
sub writer
{
	my ($ledger, $id) = @_;
	my $session;

	$ledger->{transactions} = [];
	$ledger->{looks} = [];
	for (my $txn = 1; now() < $deadline; $txn++)
	{
		my $record = { id => "$id.$txn", batches => [] };

		eval {
			$session //= named_session($primary, "writer$id");
			dress($session);
			push @{ $ledger->{transactions} }, $record;
			one_in(2) ? write_alone($session, $record) : write_together($session, $record, $ledger);
			1;
		} or do { $session = recover($session, $record, $ledger) };
		pause(0.02) if one_in(10);
	}
	return;
}

# Now and then, be slow where it hurts, or hurried.
sub dress
{
	my ($session) = @_;

	$session->do(sprintf 'SET storeengine.debug_allocation_delay = %d; SET statement_timeout = %d',
		one_in(10) ? 1 + rand 40 : 0, one_in(15) ? 1 + rand 20 : 0);
	return;
}

# Find out what an error means for a transaction, and have a connection again.
sub recover
{
	my ($session, $record, $ledger) = @_;
	my $error = $@;

	push @{ $ledger->{problems} }, "writer $record->{id}: $error"
	  if !defined $session || $session->state !~ $expected_errors;
	return if !defined $session;
	if (!lost($session))
	{
		$record->{outcome} = 'gone';
		return $session if eval { $session->do('ROLLBACK'); 1 };
	}
	$record->{outcome} //= exists $record->{commit_call} ? 'unknown' : 'gone';
	eval { $session->disconnect };
	return;
}

# One batch, committed by its own statement.
sub write_alone
{
	my ($session, $record) = @_;

	$record->{begin} = $record->{commit_call} = now();
	write_batch($session, $record);
	$record->{ack} = now();
	$record->{outcome} = 'committed';
	return;
}

# An explicit transaction with anything in it.
sub write_together
{
	my ($session, $record, $ledger) = @_;
	my $isolation = any_of('READ COMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE');

	$record->{begin} = now();
	$record->{one_snapshot} = $isolation ne 'READ COMMITTED';
	$session->do("BEGIN ISOLATION LEVEL $isolation");
	if ($record->{one_snapshot})
	{
		$session->do('SELECT 1');    # takes the snapshot
		pause(0.05) if one_in(4);
	}
	write_some($session, $record, $ledger, 1);
	if (one_in(200))    # more subtransactions than the proc array has room for
	{
		$session->do('SAVEPOINT deep'), write_batch($session, $record) for 1 .. 70;
	}
	pause(0.5) if one_in(40);
	$session->do('SELECT 1 / 0') if one_in(15);

	if (one_in(8))
	{
		$session->do('ROLLBACK');
		$record->{outcome} = 'gone';
		return;
	}
	$record->{commit_call} = now();
	$session->do('COMMIT');
	$record->{ack} = now();
	$record->{outcome} = 'committed';
	return;
}

# Some batches and savepoints, and looks at the frontier between them.
sub write_some
{
	my ($session, $record, $ledger, $depth) = @_;

	for (1 .. 1 + int rand 3)
	{
		if ($depth <= 3 && one_in(4))
		{
			write_in_savepoint($session, $record, $ledger, $depth);
		}
		else
		{
			write_batch($session, $record);
		}
		look_from_within($session, $record, $ledger) if one_in(3);
		pause(0.02) if one_in(10);
	}
	return;
}

# A savepoint that is released, rolled back, or left to the end.
sub write_in_savepoint
{
	my ($session, $record, $ledger, $depth) = @_;
	my $batches = $record->{batches};
	my $first = @$batches;
	my $ok;

	$session->do("SAVEPOINT s$depth");
	$ok = eval {
		write_some($session, $record, $ledger, $depth + 1);
		$session->do('SELECT 1 / 0') if one_in(6);
		1;
	};
	die $@ if !$ok && ($session->state !~ $expected_errors || lost($session));
	if (!$ok || one_in(3))
	{
		$session->do("ROLLBACK TO SAVEPOINT s$depth");
		$_->{dropped} = 1 for @{$batches}[ $first .. $#$batches ];
	}
	$session->do("RELEASE SAVEPOINT s$depth") if one_in(2);
	return;
}

sub write_batch
{
	my ($session, $record) = @_;
	my $batch = { call => now(), entries => [] };
	my @keys = map { one_in(5) ? any_of(@hot) : any_of(@cold) } 0 .. (one_in(2) ? 0 : rand 8);
	my @values;

	push @{ $record->{batches} }, $batch;
	if (one_in(5))
	{
		$batch->{deletes} = \@keys;
		($batch->{number}) =
		  $session->selectrow_array('SELECT store_delete_batch($1)', undef, bytea_array(@keys));
		return;
	}

	my $large = one_in(100);
	for my $place (0 .. $#keys)
	{
		my $tag = join '.', $record->{id}, scalar @{ $record->{batches} }, $place;

		push @values, "$tag|" . 'x' x ($large ? rand 800_000 : rand 80);
		push @{ $batch->{entries} }, "$keys[$place]=$tag|" . length $values[$place];
	}
	($batch->{number}) = $session->selectrow_array('SELECT store_put_batch($1, $2)',
		undef, bytea_array(@keys), bytea_array(@values));
	return;
}

# The table, as words key=tag.
my $kv_sql = <<'SQL';
	SELECT string_agg(convert_from(key, 'UTF8') || '=' ||
					  split_part(encode(substr(value, 1, 40), 'escape'), '|', 1), ' ' ORDER BY key)
	FROM store_range_scan()
SQL

# The frontier, and what the log has to show for it, in one snapshot.
my $head_sql = <<'SQL';
	head AS MATERIALIZED (
		SELECT store_current_sequence() AS current, store_oldest_retained_batch() AS oldest),
	run AS MATERIALIZED (
		SELECT current, oldest,
			(SELECT count(*) FROM store_batch_log
			 WHERE sequence_number >= oldest AND sequence_number <= current) AS present,
			(SELECT count(*) FROM store_batch_log
			 WHERE sequence_number < coalesce(oldest, current + 1)) AS stray
		FROM head)
SQL

# A6 and A2 on the spot: all from oldest to current is there, nothing below.
sub check_run
{
	my ($ledger, $who, $seen) = @_;
	my $wanted = defined $seen->{oldest} ? $seen->{current} - $seen->{oldest} + 1 : 0;

	return if $seen->{present} == $wanted && $seen->{stray} == 0;
	push @{ $ledger->{problems} },
	  sprintf '%s: current is %d and oldest is %s, but there are %d rows of %d, and %d below',
	  $who, $seen->{current}, $seen->{oldest} // 'none', $seen->{present}, $wanted, $seen->{stray};
	return;
}

# What a transaction sees that has written itself: the log as anybody, and its
# own writes, which nobody can have overwritten.
sub look_from_within
{
	my ($session, $record, $ledger) = @_;
	my $begin = $record->{one_snapshot} ? $record->{begin} : now();
	my $seen = $session->selectrow_hashref("WITH $head_sql SELECT *, ($kv_sql) AS kv FROM run");
	my %own;

	check_run($ledger, "writer $record->{id}", $seen);
	push @{ $ledger->{looks} },
	  { begin => $begin, current => $seen->{current}, oldest => $seen->{oldest} };

	replay(\%own, $_) for grep { !$_->{dropped} } @{ $record->{batches} };
	my %kv;
	push @{ $kv{ key_of($_) } }, $_ for split / /, $seen->{kv} // '';
	# B10, C1
	for my $key (sort keys %own)
	{
		my $wanted = defined $own{$key} ? "$key=" . tag_of($own{$key}) : '';

		push @{ $ledger->{problems} },
		  "writer $record->{id} sees '@{ $kv{$key} // [] }', has written '$wanted'"
		  if "@{ $kv{$key} // [] }" ne $wanted;
	}
	return;
}

# ----------------------------------------------------------------- readers

my $sizes_sql =
  q{concat_ws(':', sequence_number, octet_length(payload), octet_length(deleted_keys))};

# One snapshot: the frontier, the numbers visible above it, the whole table,
# the sizes of the latest batches, and the contents of the last one.
my $observe_sql = <<"SQL";
WITH $head_sql
SELECT current, oldest, present, stray,
	(SELECT string_agg(sequence_number::text, ' ' ORDER BY sequence_number)
	 FROM store_batch_log WHERE sequence_number > current) AS above,
	($kv_sql) AS kv,
	(SELECT string_agg($sizes_sql, ' ')
	 FROM store_batch_log WHERE sequence_number > current - $window) AS sizes,
	(SELECT md5(payload) FROM store_batch_log WHERE sequence_number = current) AS digest,
	store_get_batch(current) IS NOT NULL AS current_readable,
	CASE WHEN oldest IS NOT NULL THEN store_get_batch(oldest - 1) IS NOT NULL END AS evicted_readable
FROM run
SQL

# A ledger of observations.
sub reader
{
	my ($ledger, $id, $node) = @_;
	my $session = named_session($node, "reader$id");
	my @isolation = ('READ COMMITTED', 'REPEATABLE READ');

	push @isolation, 'SERIALIZABLE', 'SERIALIZABLE READ ONLY' if $node == $primary;
	$ledger->{observations} = [];
	while (now() < $deadline)
	{
		one_in(2)
		  ? observe($session, $ledger)
		  : observe_in_transaction($session, $ledger, any_of(@isolation));
		pause(0.01 * max(1, $seconds / 60));    # the ledgers are kept in memory
	}
	return;
}

sub observe
{
	my ($session, $ledger) = @_;
	my $begin = now();
	my $seen = $session->selectrow_hashref($observe_sql);

	$seen->{begin} = $begin;
	$seen->{end} = now();
	push @{ $ledger->{observations} }, $seen;
	check_run($ledger, $ledger->{name}, $seen);
	check_sizes($ledger, $seen);
	push @{ $ledger->{problems} }, "$ledger->{name}: batch $seen->{current} is current and can't be read"
	  if defined $seen->{oldest} && !$seen->{current_readable};
	# D5
	push @{ $ledger->{problems} }, "$ledger->{name}: a batch below $seen->{oldest} can be read"
	  if $seen->{evicted_readable};
	return $seen;
}

# A7: what was seen of a batch never changes, by its sizes.
sub check_sizes
{
	my ($ledger, $seen) = @_;

	for (split / /, delete $seen->{sizes} // '')
	{
		my ($number) = /^(\d+)/;

		push @{ $ledger->{problems} },
		  "$ledger->{name}: batch $number has changed from $ledger->{sizes}{$number} to $_"
		  if ($ledger->{sizes}{$number} //= $_) ne $_;
	}
	return;
}

# Several looks in one transaction: new snapshots in READ COMMITTED, the same
# one for up to seconds in the others.
sub observe_in_transaction
{
	my ($session, $ledger, $isolation) = @_;
	my $done = eval {
		my ($first, $again);

		$session->do("BEGIN ISOLATION LEVEL $isolation");
		$first = observe($session, $ledger);
		for (0 .. rand 4)
		{
			pause(one_in(30) ? 3 : 0.03);
			$again = observe($session, $ledger);
			next if $isolation eq 'READ COMMITTED';
			pop @{ $ledger->{observations} };
			push @{ $ledger->{problems} }, "$ledger->{name}: a snapshot has changed, $isolation"
			  if any { ($first->{$_} // '') ne ($again->{$_} // '') } qw(current oldest above kv digest);
		}
		$session->do('COMMIT');
		1;
	};
	return if $done;

	die $@ if $session->state ne '40001';
	$session->do('ROLLBACK');
	return;
}

# ------------------------------------------------------------------ pruner

# Batches as the checker keeps them: entries as in the writers' ledgers.
my $entry_sql = q{convert_from(key, 'UTF8') || '=' ||
	rtrim(convert_from(value, 'UTF8'), 'x') || octet_length(value)};
my $copy_sql = <<"SQL";
SELECT sequence_number AS number, md5(payload) AS digest, deleted_keys AS deletes, $sizes_sql AS sizes,
	(SELECT string_agg($entry_sql, ' ' ORDER BY place)
	 FROM unnest(store_get_batch(sequence_number)) WITH ORDINALITY AS entry (key, value, place)) AS entries
FROM store_batch_log WHERE sequence_number BETWEEN \$1 AND \$2 ORDER BY sequence_number
SQL

# Read batches from the log.
sub copy_batches
{
	my ($session, $from, $to) = @_;
	my $rows = $session->selectall_arrayref($copy_sql, { Slice => {} }, $from, $to);

	for (@$rows)
	{
		$_->{entries} = [ split / /, $_->{entries} // '' ];
		$_->{deletes} = [ map { $_->[0] } entries($_->{deletes}) ] if defined $_->{deletes};
	}
	return @$rows;
}

# Copy batches, then prune them; mostly the oldest, sometimes all there are.
sub pruner
{
	my ($ledger) = @_;
	my $session = named_session($primary, 'pruner');

	$ledger->{batches} = [];
	while (now() < $deadline)
	{
		prune_once($session, $ledger, one_in(10));
		pause(0.5);
	}
	return;
}

sub prune_once
{
	my ($session, $ledger, $all) = @_;
	my ($current, $oldest, $cutoff, $pruned, @copies);

	$session->do('BEGIN ISOLATION LEVEL ' .
		($all ? 'REPEATABLE READ' : any_of('READ COMMITTED', 'REPEATABLE READ')));
	($current, $oldest) =
	  $session->selectrow_array('SELECT store_current_sequence(), store_oldest_retained_batch()');
	# D4: in one snapshot, pruning everything takes what that snapshot shows
	$cutoff = $all ? $current + 1_000_000 : $current - $retained;
	if (defined $oldest && $cutoff > $oldest)
	{
		@copies = copy_batches($session, $oldest, min($current, $cutoff - 1));
		push @{ $ledger->{batches} }, @copies;
	}
	($pruned) = $session->selectrow_array('SELECT store_prune_batch_log($1)', undef, max(0, $cutoff));
	push @{ $ledger->{problems} }, sprintf 'pruned %d batches instead of %d', $pruned, scalar @copies
	  if $pruned != @copies;
	pause(0.3) if one_in(4);
	$session->do(one_in(4) ? 'ROLLBACK' : 'COMMIT');
	return;
}

# ------------------------------------------------------------ troublemaker

# Cancel, terminate and halt the sessions of writers, and the worker.
sub troublemaker
{
	my ($ledger) = @_;
	my $session = named_session($primary, 'troublemaker');

	while (now() < $deadline)
	{
		my $victims =
		  one_in(20) ? q{backend_type ~ '^storeengine'} : q{application_name ~ '^writer'};
		my ($pid) = $session->selectrow_array(
			"SELECT pid FROM pg_stat_activity WHERE $victims ORDER BY random() LIMIT 1");

		pause(0.1);
		next if !defined $pid;
		if (one_in(3))
		{
			halt($pid);
		}
		else
		{
			my $how = one_in(4) ? 'terminate' : 'cancel';

			$session->do("SELECT pg_${how}_backend($pid)");
			$ledger->{done}{$how}++;
		}
	}
	return;
}

# Stop a process for a moment, wherever it is.
sub halt
{
	my ($pid) = @_;

	kill STOP => $pid;
	pause(0.2);
	kill CONT => $pid;
	return;
}

# --------------------------------------------------------------- processes

my @children;

# Run a sub with a ledger in a process of its own.
sub start
{
	my ($name, $code, @arguments) = @_;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/ledger_$name";
	my $own_seed = $seed + @children;

	my $pid = fork_client(sub {
		my $ledger = { name => $name, problems => [] };

		srand($own_seed);
		alarm($seconds + $PostgreSQL::Test::Utils::timeout_default);
		eval { $code->($ledger, @arguments); 1 }
		  or push @{ $ledger->{problems} }, "$name broke off: $@";
		store($ledger, $file);
	});
	push @children, { name => $name, pid => $pid, file => $file };
	return;
}

# Wait for all processes, and read their ledgers.
sub collect
{
	wait_clients(map { $_->{pid} } @children);
	return
	  map { -e $_->{file} ? retrieve($_->{file}) : { problems => ["$_->{name} has died"] } } @children;
}

sub set_up
{
	$primary = PostgreSQL::Test::Cluster->new('primary');
	$primary->init(allows_streaming => 1);
	$primary->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'storeengine'
shared_buffers = 64MB
max_wal_size = 1GB
max_connections = 50
log_statement = none
deadlock_timeout = 30ms
autovacuum_naptime = 3s
CONF
	$primary->start;
	$primary->safe_psql('postgres', 'CREATE EXTENSION storeengine');

	$primary->backup('backup');
	$standby = PostgreSQL::Test::Cluster->new('standby');
	$standby->init_from_backup($primary, 'backup', has_streaming => 1);
	$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = -1");
	$standby->start;
	return;
}

# ------------------------------------------------------------ the checking

# All that is known in the end, gathered from the ledgers.
my (%log, @differing, @transactions, @batches, @observations, @looks);
my ($current, $oldest, %in_the_end, %final_kv);

# Say how many things are wrong with a statement, and show some of them.
sub report
{
	my ($name, @wrong) = @_;

	is(scalar @wrong, 0, $name);
	diag("  $_") for @wrong[ 0 .. min(4, $#wrong) ];
	return;
}

# For each pair [time, thing] of later, find the highest value among the pairs
# [time, value] of earlier with lower times; as [value, thing].
sub highest_before
{
	my ($earlier, $later) = @_;
	my @earlier = sort { $a->[0] <=> $b->[0] } @$earlier;
	my $highest = 0;
	my @result;

	for (sort { $a->[0] <=> $b->[0] } @$later)
	{
		my ($time, $thing) = @$_;

		$highest = max($highest, (shift @earlier)->[1]) while @earlier && $earlier[0][0] < $time;
		push @result, [ $highest, $thing ];
	}
	return @result;
}

# The log and the table as they are when all is over, and a last batch has been
# written, so that the holes below it are filled.
sub read_final_state
{
	my $session = named_session($primary, 'checker');
	my $last = value($session, q{SELECT store_put('last', '0.0.0.0|')});

	push @transactions, { id => 'last', outcome => 'committed',
		batches => [ { number => $last, call => now(), entries => ['last=0.0.0.0|8'] } ] };
	ok( eval {
			wait_until('the log is complete', sub {
				value($session, q{SELECT count(*) > max(sequence_number) - min(sequence_number)
								  FROM store_batch_log});
			});
		},
		'A2: the worker fills all holes, without anybody reading');
	($current, $oldest) =
	  $session->selectrow_array('SELECT store_current_sequence(), store_oldest_retained_batch()');
	die "A7: the last batch is $last, but the current one $current" if $current > $last;

	for (copy_batches($session, 0, $last))
	{
		add_batch($_);
		$in_the_end{ $_->{number} } = 1;
	}
	%final_kv = map { @$_ } @{ $session->selectall_arrayref(
		"SELECT convert_from(key, 'UTF8'), $entry_sql FROM store_kv") };
	return;
}

# Add a batch to the log as the checker knows it; all copies must agree.
sub add_batch
{
	my ($batch) = @_;
	my $known = $log{ $batch->{number} } //= $batch;

	push @differing, $batch->{number}
	  if $known->{digest} ne $batch->{digest} || $known->{sizes} ne $batch->{sizes};
	return;
}

# What a batch does, in words; nothing for a filled hole.
sub contents
{
	my ($batch) = @_;

	return "delete @{ $batch->{deletes} }" if defined $batch->{deletes};
	return @{ $batch->{entries} } ? "put @{ $batch->{entries} }" : '';
}

sub in_log
{
	my ($batch) = @_;

	return defined $batch->{number} && exists $log{ $batch->{number} } &&
	  contents($batch) eq contents($log{ $batch->{number} });
}

# Whoever was terminated does not know: numbers are found by the contents, and
# a transaction has happened if any of its batches is in the log.
sub resolve_unknown_outcomes
{
	my %claimed = map { $_->{number} // 0 => 1 } map { @{ $_->{batches} } } @transactions;
	my %unclaimed;

	push @{ $unclaimed{ contents($log{$_}) } }, $_ for grep { !$claimed{$_} } keys %log;
	for my $transaction (grep { $_->{outcome} eq 'unknown' } @transactions)
	{
		my @kept = grep { !$_->{dropped} } @{ $transaction->{batches} };

		$_->{number} //= shift @{ $unclaimed{ contents($_) } // [] } for @kept;
		$transaction->{outcome} = (any { in_log($_) } @kept) ? 'committed' : 'gone';
	}

	for my $transaction (@transactions)
	{
		for my $batch (@{ $transaction->{batches} })
		{
			$batch->{transaction} = $transaction;
			$batch->{committed} = $transaction->{outcome} eq 'committed' && !$batch->{dropped};
			push @batches, $batch;
		}
	}
	return;
}

# A2: no hole, neither in the log nor in all that ever was in it.
sub check_contiguous
{
	report('A2: every number up to the current one has been a batch',
		grep { !exists $log{$_} } 1 .. $current);
	report('A2: every number from the oldest one is in the log',
		grep { !$in_the_end{$_} } $oldest .. $current);
	return;
}

# A3: of what was rolled back there is nothing but empty batches.
sub check_rolled_back
{
	my @full = sort { $a <=> $b } grep { contents($log{$_}) ne '' } keys %log;
	my %committed = map { $_->{number} // 0 => 1 } grep { $_->{committed} } @batches;
	my %gone = map { $_->{number} // 0 => 1 } grep { !$_->{committed} } @batches;

	report('A3: numbers that were rolled back are empty batches', grep { $gone{$_} } @full);
	report('A3: the log has nothing that nobody committed', grep { !$committed{$_} } @full);
	return;
}

# A4: a number is given once, and stands for what was put, whole.
sub check_acknowledged
{
	my %given;

	$given{ $_->{number} }++ for grep { defined $_->{number} } @batches;
	report('A4: no number was given twice', grep { $given{$_} > 1 } keys %given);
	report('A4, B1: committed batches are in the log as they were put',
		map { ($_->{number} // 'unknown') . " of $_->{transaction}{id}" }
		grep { $_->{committed} && !in_log($_) } @batches);
	return;
}

# A5, D5: neither end of the log ever goes back, for readers one after the
# other, whoever they are.
sub check_monotonic
{
	my ($name, $seen, $also) = @_;

	report("A5: the current number never decreases, $name",
		map { "$_->[1]{current} after $_->[0]" }
		grep { $_->[0] > $_->[1]{current} }
		highest_before([ map { [ $_->{end}, $_->{current} ] } @$seen ],
			[ map { [ $_->{begin}, $_ ] } @$seen, @$also ]));
	report("D5: the oldest retained number never decreases, $name",
		map { "$_->[1]{oldest} after $_->[0]" }
		grep { $_->[0] > $_->[1]{oldest} }
		highest_before([ map { [ $_->{end}, $_->{oldest} ] } grep { defined $_->{oldest} } @$seen ],
			[ map { [ $_->{begin}, $_ ] } grep { defined $_->{oldest} } @$seen, @$also ]));
	return;
}

# A6, A9: the table that a snapshot shows is that of the batches that it
# shows, replayed in the order of their numbers.
sub check_snapshots
{
	my %kv;
	my $replayed = 0;
	my @wrong;

	for my $seen (sort { $a->{current} <=> $b->{current} } @observations)
	{
		replay(\%kv, $log{ ++$replayed }) while $replayed < $seen->{current};

		my %state = %kv;
		replay(\%state, $log{$_}) for split / /, $seen->{above} // '';
		my $wanted = join ' ', map { "$_=" . tag_of($state{$_}) }
		  grep { defined $state{$_} } sort keys %state;

		push @wrong, "$seen->{who} at $seen->{current}: " . difference($wanted, $seen->{kv} // '')
		  if $wanted ne ($seen->{kv} // '');
	}
	report('A6, A9: the table is the visible log replayed, in every snapshot', @wrong);

	replay(\%kv, $log{ ++$replayed }) while $replayed < $current;
	report('A9: in the end the table is the whole log replayed',
		grep { ($kv{$_} // 'absent') ne ($final_kv{$_} // 'absent') }
		sort keys %{ { %kv, %final_kv } });
	return;
}

# The first few words in which two lists differ.
sub difference
{
	my ($wanted, $seen) = @_;
	my %wanted = map { $_ => 1 } split / /, $wanted;
	my %seen = map { $_ => 1 } split / /, $seen;
	my @missing = grep { !$seen{$_} } sort keys %wanted;
	my @excess = grep { !$wanted{$_} } sort keys %seen;

	return join ' ', 'missing', @missing[ 0 .. min(4, $#missing) ],
	  'but there', @excess[ 0 .. min(4, $#excess) ];
}

# A7: a number that was seen as current, or passed, is of the past: nobody
# gets it later, nobody commits it later, and what it stands for is final.
sub check_settled
{
	my @seen = map { [ $_->{end}, $_->{current} ] } @observations;
	my @numbered = grep { defined $_->{number} } @batches;
	my @committed = grep { $_->{committed} && defined $_->{transaction}{commit_call} } @numbered;

	report('A7: no number was given after it had been seen as current',
		map { "$_->[1]{number} after $_->[0]" }
		grep { $_->[0] >= $_->[1]{number} }
		highest_before(\@seen, [ map { [ $_->{call}, $_ ] } @numbered ]));
	report('A7: no batch was committed after it had been seen as current',
		map { "$_->[1]{number} after $_->[0]" }
		grep { $_->[0] >= $_->[1]{number} }
		highest_before(\@seen, [ map { [ $_->{transaction}{commit_call}, $_ ] } @committed ]));
	report('A7: whoever copied a batch found the same', @differing);
	report('A7: readers saw the batches as they are in the end',
		map { "$_->{current} by $_->{who}" }
		grep { defined $_->{digest} && $_->{digest} ne $log{ $_->{current} }{digest} } @observations);
	return;
}

# As above, for the sizes that readers saw.
sub check_seen_sizes
{
	my @wrong;

	for my $ledger (@_)
	{
		my $sizes = $ledger->{sizes} // {};

		push @wrong, map { "$sizes->{$_} by $ledger->{name}" }
		  grep { !exists $log{$_} || $log{$_}{sizes} ne $sizes->{$_} } keys %$sizes;
	}
	report('A7: readers saw the sizes as they are in the end', @wrong);
	return;
}

# A8: the order of numbers is that of calls, where one can tell.
sub check_order
{
	my @numbered = grep { defined $_->{number} } @batches;
	my @acknowledged = grep { $_->{committed} && defined $_->{transaction}{ack} } @numbered;

	report('A8: whoever puts later gets a higher number',
		map { "$_->[1]{number} after $_->[0]" }
		grep { $_->[0] > $_->[1]{number} }
		highest_before(
			[ map { [ $_->{transaction}{ack}, $_->{number} ] } @acknowledged ],
			[ map { [ $_->{call}, $_ ] } @numbered ]));
	return;
}

# -------------------------------------------------------------------- main

note("seed $seed, $seconds seconds; STOREENGINE_SEED and STOREENGINE_CHECK_SECONDS set them");
set_up();

$deadline = now() + $seconds;
start("writer$_", \&writer, $_) for 1 .. $writers;
start("reader$_", \&reader, $_, $primary) for 1 .. $readers - 1;
start('standby_reader', \&reader, $readers, $standby);
start('pruner', \&pruner);
start('troublemaker', \&troublemaker);
my @ledgers = collect();

for my $ledger (@ledgers)
{
	push @transactions, @{ $ledger->{transactions} // [] };
	push @looks, @{ $ledger->{looks} // [] };
	$_->{who} = $ledger->{name} for @{ $ledger->{observations} // [] };
	push @observations, @{ $ledger->{observations} // [] };
	add_batch($_) for @{ $ledger->{batches} // [] };
}
read_final_state();
resolve_unknown_outcomes();

report('A2, A6, B10, D4, D5: nothing was wrong on the spot', map { @{ $_->{problems} } } @ledgers);
check_contiguous();
check_rolled_back();
check_acknowledged();
check_monotonic('on the primary', [ grep { $_->{who} ne 'standby_reader' } @observations ], \@looks);
check_monotonic('on the standby', [ grep { $_->{who} eq 'standby_reader' } @observations ], []);
check_snapshots();
check_settled();
check_seen_sizes(@ledgers);
check_order();

# The filler found a row where it was sure there was none.
ok(!$primary->log_contains('duplicate key value'), 'A2: no hole was taken for what it is not');

# What the store itself can tell.
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
report('A2, A9: store_verify() finds nothing', verify(session($primary)), verify(session($standby)));

# Only what has been done can be checked.
my $committed = grep { $_->{committed} } @batches;
note(sprintf '%d transactions, %d batches, %d of them committed, %d snapshots, %d looks from within',
	scalar @transactions, $current, $committed, scalar @observations, scalar @looks);
cmp_ok($committed, '>', 5 * $seconds, 'writers have written');
for my $name (grep { /reader/ } map { $_->{name} } @children)
{
	cmp_ok(scalar(grep { $_->{who} eq $name } @observations), '>', 10, "$name has read");
}
done_testing();
