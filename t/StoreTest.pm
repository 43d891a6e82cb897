# Helpers for the tests of storeengine's operations.
#
#   use FindBin;
#   use lib $FindBin::RealBin;
#   use StoreTest;
#
# Sessions are DBI handles: they tell SQLSTATEs, and there can be many in one
# test.  DBI raises what fails; failure() is for what is expected to fail.
package StoreTest;

use strict;
use warnings;

use Carp;
use DBD::Pg ':async';
use DBI;
use Exporter 'import';
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(
  standby_of write_at_random read_on unlike_log
  store_node crash session failure value wait_until wait_complete
  commit_hangs worker_pid worker_has_left launcher_pid leave_hole is_logged
  fork_client wait_clients snapshot problems verify entries);

my $timeout = $PostgreSQL::Test::Utils::timeout_default;

# Processes that have to leave in haste do not tell what they have covered: so
# stop servers in another way than at once when a test is over.
if ($ENV{STORE_TEST_COVERAGE})
{
	no warnings 'redefine';
	*PostgreSQL::Test::Cluster::teardown_node = sub {
		my ($node, %params) = @_;
		$node->stop('fast', %params);
	};
}

# A running server with the extension in database postgres.  Options: conf
# (lines for postgresql.conf), init (a list for init()), preload and extension
# (0 to leave it out).
sub store_node
{
	my ($name, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(@{ $option{init} // [] });
	$node->append_conf('postgresql.conf', "log_statement = none\n");
	$node->append_conf('postgresql.conf',
		"shared_preload_libraries = 'storeengine'\n")
	  if $option{preload} // 1;
	$node->append_conf('postgresql.conf', $option{conf}) if $option{conf};
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION storeengine')
	  if $option{extension} // 1;
	return $node;
}

# Kill the postmaster, and other processes if there is reason to, and start
# the server again.
sub crash
{
	my ($node, @others) = @_;
	my ($postmaster) = split ' ', slurp_file($node->data_dir . '/postmaster.pid');

	$node->kill9;
	kill 'KILL', @others;
	wait_until('the postmaster is gone', sub { !kill 0, $postmaster });
	# It does not start while children of the old one are there.
	wait_until('the server starts', sub { $node->start(fail_ok => 1) });
}

# A running standby of a server that was made with init => [ allows_streaming =>
# 1 ]: cascaded, if that is a standby itself.  Option: conf.
sub standby_of
{
	my ($node, $name, %option) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);

	$node->backup("for $name");
	$standby->init_from_backup($node, "for $name", has_streaming => 1);
	$standby->append_conf('postgresql.conf', $option{conf}) if $option{conf};
	$standby->start;
	return $standby;
}

# A new session in a database.
sub session
{
	my ($node, $database, $user) = @_;
	my $source = sprintf 'dbi:Pg:host=%s;port=%d;dbname=%s', $node->host,
	  $node->port, $database // 'postgres';

	return DBI->connect($source, $user, undef,
		{ RaiseError => 1, PrintError => 0, PrintWarn => 0 });
}

# Run SQL that should fail: its SQLSTATE, '' if it does not fail.  The message
# is in $session->errstr then.
sub failure
{
	my ($session, $sql) = @_;

	return eval { $session->do($sql); 1 } ? '' : $session->state;
}

# The one value of a query.
sub value
{
	my ($session, $sql, @arguments) = @_;

	return ($session->selectrow_array($sql, undef, @arguments))[0];
}

# Ask again and again until the answer is true; return it.
sub wait_until
{
	my ($what, $question) = @_;
	my $end = time + $timeout;

	while (1)
	{
		my $answer = $question->();
		return $answer if $answer;
		croak "timed out waiting until $what" if time > $end;
		usleep(20_000);
	}
}

# Run a statement, again and again, until its commit waits for a synchronous
# standby that there is not: the setting is in force when the checkpointer has
# heard of it, which does not show in SHOW.
sub commit_hangs
{
	my ($session, $sql, $reader) = @_;

	return wait_until(
		'a commit waits for the standby',
		sub {
			$session->do($sql, { pg_async => PG_ASYNC });
			my $how = wait_until(
				'the commit waits or is done',
				sub {
					$session->pg_ready ? 'done' : value($reader,
						q{SELECT 'waits' FROM pg_stat_activity WHERE pid = ? AND wait_event = 'SyncRep'},
						$session->{pg_pid});
				});
			$session->pg_result if $how eq 'done';
			return $how eq 'waits';
		});
}

# Wait until the log has no hole and everything in it can be relied on; return
# the current number.
sub wait_complete
{
	my ($session) = @_;

	wait_until(
		'the log is complete',
		sub {
			value(
				$session,
				'SELECT store_current_sequence() >= coalesce(max(sequence_number), 0)
				 FROM store_batch_log');
		});
	return value($session, 'SELECT store_current_sequence()');
}

# Process ID of the launcher, undef for none.
sub launcher_pid
{
	my ($session) = @_;

	return value($session,
		q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'storeengine launcher'});
}

# Process ID of the worker of the session's database, undef for none.
sub worker_pid
{
	my ($session) = @_;

	return value($session,
		q{SELECT pid FROM pg_stat_activity
		  WHERE backend_type = 'storeengine worker' AND datname = current_database()});
}

# Tell whether a worker of the session's database has come and gone since the
# server's log had a size.  Needs log_min_messages = debug1.
sub worker_has_left
{
	my ($node, $session, $offset) = @_;
	my $database = value($session,
		'SELECT oid FROM pg_database WHERE datname = current_database()');

	return slurp_file($node->logfile, $offset) =~
	  /unregistering background worker "storeengine worker for database $database"/;
}

# Roll a write back and commit another: the first one's number is a hole until
# the worker fills it.  Returns that number.
sub leave_hole
{
	my ($session) = @_;

	$session->do('BEGIN');
	my $hole = value($session, q{SELECT store_put('undone', 'undone')});
	$session->do('ROLLBACK');
	$session->do(q{SELECT store_put('done', 'done')});
	return $hole;
}

# Tell whether a number is in the log, without waking the worker, as the
# store's own functions would do.
sub is_logged
{
	my ($session, $number) = @_;

	return value($session,
		'SELECT true FROM store_batch_log WHERE sequence_number = ?', $number);
}

# Run code in a process of its own, with sessions of its own.
sub fork_client
{
	my ($code) = @_;
	my $pid = fork // die "could not fork: $!";

	return $pid if $pid;
	my $fine = eval { $code->(); 1 };
	print STDERR $@ unless $fine;
	POSIX::_exit($fine ? 0 : 1);
}

# Wait for such processes to end; return how many of them failed.
sub wait_clients
{
	my @pids = @_;

	return scalar grep { waitpid($_, 0); $? } @pids;
}

# Read a varint off the front of bytes.
sub take_varint
{
	my ($bytes) = @_;
	my ($number, $shift, $byte) = (0, 0, 0);

	do
	{
		$byte = ord substr($$bytes, 0, 1, '');
		$number |= ($byte & 0x7f) << $shift;
		$shift += 7;
	} while ($byte & 0x80);
	return $number;
}

# Decode the stored form of a batch: a list of [key, value].
sub entries
{
	my ($bytes) = @_;
	my @entries;

	while (length $bytes)
	{
		take_varint(\$bytes) == 0x12 or die 'not an entry';
		my $entry = substr($bytes, 0, take_varint(\$bytes), '');
		my @fields = ('', '');
		while (length $entry)
		{
			my $field = take_varint(\$entry) >> 3;
			$fields[ $field - 1 ] = substr($entry, 0, take_varint(\$entry), '');
		}
		push @entries, \@fields;
	}
	return @entries;
}

# Write in transactions of every kind, until a function says so, that is asked
# before each: puts and deletes, one or several, in savepoints or not, of which
# some are rolled back, and some go too deep for a snapshot to hold them all.
# What was acknowledged is given to a function: number and value, undef for a
# delete.  No value is written twice, if no two writers have the same name.
# The first batch is of keys that all writers share, later ones of keys of
# its own, or writers would run into deadlocks.
sub write_at_random
{
	my ($session, $name, $enough, $acknowledge) = @_;
	my $serial = 0;

	while (!$enough->())
	{
		my @kept;

		$session->do('BEGIN');
		$session->do(
			q{DO $$BEGIN FOR i IN 1 .. 70 LOOP
			  BEGIN PERFORM store_put('deep', ''); EXCEPTION WHEN division_by_zero THEN END;
			  END LOOP; END$$})
		  if rand() < 0.02;
		for my $step (1 .. 1 + rand 3)
		{
			my $prefix = $step == 1 ? 'shared' : $name;
			my @keys = map { "$prefix " . int(rand 10) } 1 .. 1 + rand 3;
			my $saved = rand() < 0.5;
			my @batch;

			$session->do('SAVEPOINT here') if $saved;
			if (rand() < 0.8)
			{
				my $value = "$name." . ++$serial;
				@batch = (value($session, 'SELECT store_put_batch(?::bytea[], ?::bytea[])',
						\@keys, [ ($value) x @keys ]), $value);
			}
			else
			{
				@batch = (value($session, 'SELECT store_delete_batch(?::bytea[])', \@keys), undef);
			}
			if ($saved && rand() < 0.4)
			{
				$session->do('ROLLBACK TO here');
				next;
			}
			$session->do('RELEASE here') if $saved && rand() < 0.5;
			push @kept, \@batch;
		}
		if (rand() < 0.2)
		{
			$session->do('ROLLBACK');
			next;
		}
		$session->do('COMMIT');
		$acknowledge->(@$_) for @kept;
	}
	return;
}

# What a batch did, as one text.
sub as_text
{
	my @changes = @_;

	return join '; ', map { join ' ', map { $_ // 'NULL' } @$_ } @changes;
}

# Read the log on, from a cursor: a hash of a number, the history it was read
# in, and what has been read so far, {number => text} (made at the first call).
# Returns '', or the SQLSTATE of what went wrong.
sub read_on
{
	my ($session, $cursor) = @_;
	my %read;
	my $rows = eval {
		$session->selectall_arrayref(
			q{SELECT sequence_number, op, key, value, history
			  FROM store_read_log($1, since_history => $2, max_batches => NULL)},
			undef, $cursor->{number} // 0, $cursor->{history});
	};

	return $session->state unless $rows;
	my $progress = pop @$rows;
	for my $row (@$rows)
	{
		my ($number, @change) = @$row[ 0 .. 3 ];

		croak "batch $number was read again"
		  if exists $cursor->{read}{$number};
		push @{ $read{$number} }, \@change;
	}
	$cursor->{read}{$_} = as_text(@{ $read{$_} }) for keys %read;
	@$cursor{qw(number history)} = @$progress[ 0, 4 ];
	return '';
}

# Which batches a cursor has not read as a snapshot's log has them, up to the
# cursor.
# F2: none is skipped, and none is another one.
sub unlike_log
{
	my ($cursor, $seen) = @_;
	my @unlike;

	for my $number ($seen->{floor} + 1 .. $cursor->{number})
	{
		my $batch = $seen->{log}{$number} // { puts => [ [ 'no', 'batch' ] ], deletes => [] };
		my $logged = as_text((map { [ 'put', @$_ ] } @{ $batch->{puts} }),
			map { [ 'delete', $_, undef ] } @{ $batch->{deletes} });

		push @unlike, $number if $logged ne ($cursor->{read}{$number} // '');
	}
	return @unlike;
}

# Everything one snapshot shows: current, oldest (undef for none), floor,
# log {number => {puts => [[key, value] ...], deletes => [key ...]}} and
# pairs {key => value}.
sub snapshot
{
	my ($session) = @_;
	my %seen = (log => {}, pairs => {});

	$session->do('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
	@seen{qw(current oldest floor)} = $session->selectrow_array(
		q{SELECT store_current_sequence(), store_oldest_retained_batch(),
		  (SELECT coalesce(max(number), 0) FROM store_control WHERE item = 'floor')});
	for my $row (
		@{ $session->selectall_arrayref(
				'SELECT sequence_number, payload, deleted_keys FROM store_batch_log') })
	{
		my ($number, $payload, $deleted) = @$row;
		$seen{log}{$number} = {
			puts => [ entries($payload) ],
			deletes => [ map { $_->[0] } entries($deleted // '') ]
		};
	}
	$seen{pairs}{ $_->[0] } = $_->[1]
	  for @{ $session->selectall_arrayref('SELECT key, value FROM store_kv') };
	$session->do('COMMIT');
	return \%seen;
}

# What is wrong with a snapshot, as a list of sentences:
# A2, A6: the log is there from the oldest retained to the current number;
# D5: what was pruned is not;
# A9: the pairs are what the log says, replayed in the order of its numbers.
sub problems
{
	my ($seen) = @_;
	my ($current, $floor, $log) = @$seen{qw(current floor log)};
	my %replayed;
	my @problems;

	for my $number ($floor + 1 .. $current)
	{
		push @problems, "batch $number of $current is missing"
		  unless $log->{$number};
	}
	push @problems, "batch $_ was pruned but is there"
	  for grep { $_ <= $floor } keys %$log;
	push @problems, "the current number is $current but the next batch is there"
	  if $log->{ $current + 1 };
	push @problems, sprintf 'the oldest is %s, with floor %d and current number %d',
	  $seen->{oldest} // 'none', $floor, $current
	  unless ($seen->{oldest} // 0) == ($current > $floor ? $floor + 1 : 0);

	for my $number (sort { $a <=> $b } keys %$log)
	{
		$replayed{ $_->[0] } = $_->[1] for @{ $log->{$number}{puts} };
		$replayed{$_} = undef for @{ $log->{$number}{deletes} };
	}
	for my $key (sort keys %replayed)
	{
		my $is = $seen->{pairs}{$key} // 'absent';
		my $should = $replayed{$key} // 'absent';
		push @problems, "key $key is $is but should be $should" if $is ne $should;
	}
	push @problems, "key $_ comes from nowhere"
	  for grep { $floor == 0 && !exists $replayed{$_} } keys %{ $seen->{pairs} };
	return @problems;
}

# What store_verify() finds, as a list of sentences: nothing in a sound store.
# What it cannot know on a standby, where a hole may still be filled, is none.
sub verify
{
	my ($session) = @_;

	return @{
		$session->selectcol_arrayref(
			q{SELECT concat_ws(' ', check_name, result || ':', 'batch ' || sequence_number || ':',
							   'key ' || encode(key, 'escape') || ':', detail)
			  FROM store_verify()
			  WHERE result <> 'ok' AND NOT (result = 'skipped' AND pg_is_in_recovery())})
	};
}

1;
