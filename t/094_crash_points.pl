# Kill the server at each point of a write, of a prune and of the worker's
# work: after the restart, each is there wholly or not at all, and what others
# had been told is there in any case.
#
# To be brought to a point, a process meets a trigger that sleeps as long as
# somebody holds an advisory lock; or its commit waits for a standby that does
# not exist, after the commit record is written and before anything else.

use strict;
use warnings;

use DBD::Pg ':async';
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $node = store_node('main',
	init => [ allows_streaming => 1 ],
	conf => "restart_after_crash = on\n");
my ($slow, $quick, $reader, $gate);

# Sessions: one that is brought to the point, others, and one that holds the
# lock.
sub connect_all
{
	($slow, $quick, $reader, $gate) =
	  map { wait_until('the server answers', sub { eval { session($node) } }) } 1 .. 4;
	$_->do(q{SET synchronous_commit = local; SET application_name = 'quick'})
	  for $quick, $reader, $gate;
	return;
}

# What was acknowledged, by number: keys that are not written again.
my %acknowledged;

# Write a pair and have it acknowledged; return its number.
sub put
{
	my $key = 'quick/' . keys %acknowledged;
	my $number = value($quick, q{SELECT store_put(?, 'value')}, $key);

	$acknowledged{$number} = $key;
	return $number;
}

# Begin a statement.
sub start
{
	my ($sql) = @_;

	$slow->do($sql, { pg_async => PG_ASYNC });
	return;
}

sub last_number { return value($reader, 'SELECT last_value FROM store_sequence') }
sub oldest { return value($reader, 'SELECT store_oldest_retained_batch()') }

sub has_key
{
	my ($key) = @_;

	return value($reader, 'SELECT count(*) FROM store_kv WHERE key = ?', $key);
}

# How many pairs a batch has, undef if it is not there.
sub batch_size
{
	my ($number) = @_;

	return value($reader, 'SELECT cardinality(store_get_batch(?))', $number);
}

# Wait until the slow session, or the worker, waits for something; return its
# process ID.
sub wait_for_event
{
	my ($who, $event) = @_;

	return wait_until(
		"the $who waits for $event",
		sub {
			value(
				$reader, q{SELECT pid FROM pg_stat_activity WHERE wait_event = ?
					AND CASE ? WHEN 'worker' THEN backend_type = 'storeengine worker' ELSE pid = ? END},
				$event, $who, $slow->{pg_pid});
		});
}

# Have the commits of the slow session and of the worker wait.  That the
# setting is in force shows in a commit that does, of a session that is ended
# then.
sub require_standby
{
	my $probe = session($node);

	$probe->do('CREATE TABLE probe ()');
	$reader->do(q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
	$node->reload;
	commit_hangs($probe, 'DROP TABLE IF EXISTS probe; CREATE TABLE probe ()', $reader);
	$reader->do('SELECT pg_cancel_backend(?)', undef, $probe->{pg_pid});
	$probe->pg_result;
	$quick->do('DROP TABLE probe');
	return;
}

# Kill all processes of the server, and have it run again.
sub kill_server
{
	crash($node, @{ $reader->selectcol_arrayref('SELECT pid FROM pg_stat_activity') });
	connect_all();
	return;
}

# What must hold afterwards, whatever has happened; a write lets the worker
# fill what is missing.
sub check
{
	my ($name) = @_;

	put();
	wait_complete($reader);
	my $seen = snapshot($reader);
	my @problems = (problems($seen), verify($reader));

	for my $number (grep { $_ > $seen->{floor} } keys %acknowledged)
	{
		my $batch = $seen->{log}{$number};

		push @problems, "batch $number is lost"
		  unless $batch && join(' ', map { $_->[0] } @{ $batch->{puts} }) eq $acknowledged{$number};
	}
	push @problems, map { "key $_ is lost" } grep { !$seen->{pairs}{$_} } values %acknowledged;
	# A2 A3 A4 A9 B1 B9
	is(join("\n", @problems), '', "$name: all is well");
	return;
}

# One case.  With "trigger", what is to be created for the gate; with "standby",
# commits wait.  "start" gets something going, "who" gets to the point then, and
# "kill" is what comes there.  "check" looks at the outcome.
sub point
{
	my ($name, %case) = @_;
	my ($table) = ($case{trigger} // '') =~ /(store_\w+)/;

	if ($case{trigger})
	{
		$quick->do("CREATE $case{trigger} EXECUTE FUNCTION gate()");
		$gate->do('SELECT pg_advisory_lock(1)');
	}
	require_standby() if $case{standby};
	$case{start}->();
	my $pid = wait_for_event($case{who} // 'writer', $case{event} // ($case{standby} ? 'SyncRep' : 'PgSleep'));
	$case{kill} ? $case{kill}->($pid) : kill_server();
	$case{check}->($name);
	$gate->do('SELECT pg_advisory_unlock_all()');
	$quick->do("DROP TRIGGER gate ON $table") if $table;
	$reader->do('ALTER SYSTEM RESET synchronous_standby_names');
	$node->reload;
	check($name);
	return;
}

connect_all();
$quick->do(<<'SQL');
CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('application_name') <> 'quick' AND NOT pg_catalog.pg_try_advisory_xact_lock_shared(1) THEN
		PERFORM pg_catalog.pg_sleep(600);
	END IF;
	RETURN CASE WHEN tg_level = 'ROW' THEN coalesce(new, old) END;
END$$
SQL
put();

# ------------------------------------------------------------------ writes

my ($number, $before);

# Nothing of the write is there, and its number, if it had one, is empty.
sub is_undone
{
	my ($name) = @_;

	is(has_key('slow'), 0, "$name: the pair is not there");
	put();
	wait_complete($reader);
	# A3
	is(batch_size($number), 0, "$name: its number is an empty batch") if $number;
	return;
}

# With a later number acknowledged: else the crash would undo that it was taken.
sub start_put
{
	$number = last_number() + 1;
	start(q{SELECT store_put('slow', 'value')});
	return;
}

sub put_and_kill_server
{
	cmp_ok(put(), '>', $number, 'another one gets a later number');
	kill_server();
	return;
}

point 'a number has been taken',
  start => sub {
	$slow->do('SET storeengine.debug_allocation_delay = 600000');
	start_put();
  },
  kill => \&put_and_kill_server,
  check => \&is_undone;

point 'the pair is written and no number taken',
  trigger => 'TRIGGER gate AFTER INSERT ON store_kv FOR EACH STATEMENT',
  start => sub {
	$before = last_number();
	start_put();
	$number = undef;
  },
  kill => sub {
	is(last_number(), $before, 'no number is taken yet');
	kill_server();
  },
  check => \&is_undone;

point 'the batch is logged',
  trigger => 'TRIGGER gate AFTER INSERT ON store_batch_log FOR EACH ROW',
  start => \&start_put,
  kill => \&put_and_kill_server,
  check => \&is_undone;

point 'the commit has begun',
  trigger => q{CONSTRAINT TRIGGER gate AFTER INSERT ON store_batch_log DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW WHEN (new.payload <> '')},
  start => \&start_put,
  kill => \&put_and_kill_server,
  check => \&is_undone;

# Two batches of one transaction, and a savepoint that was rolled back between.
point 'a transaction has written two batches of three',
  trigger => q{TRIGGER gate BEFORE INSERT ON store_kv FOR EACH ROW WHEN (new.key = 'slow/3')},
  start => sub {
	$number = last_number() + 1;
	start(
		q{BEGIN; SELECT store_put('slow', '1'); SAVEPOINT s; SELECT store_put('slow/2', '2');
		  ROLLBACK TO s; SELECT store_delete_batch('{quick/0}'); SELECT store_put('slow/3', '3'); COMMIT});
  },
  kill => \&put_and_kill_server,
  check => sub {
	my ($name) = @_;

	is_undone($name);
	is(batch_size($_), 0, "$name: so is each other number") for $number + 1, $number + 2;
	is(has_key('quick/0'), 1, "$name: the deleted pair is there");
  };

my $large = q{SELECT store_put_batch(array_agg(convert_to('large/' || n, 'UTF8')),
	array_agg(convert_to('value', 'UTF8'))) FROM generate_series(1, 10000) AS n};

sub count_large { return value($reader, q{SELECT count(*) FROM store_range_scan('large/', 'large0')}) }

point 'half of a batch of 10,000 pairs is written',
  trigger => q{TRIGGER gate BEFORE INSERT ON store_kv FOR EACH ROW WHEN (new.key = 'large/5000')},
  start => sub { start($large) },
  check => sub { is(count_large(), 0, "$_[0]: none of them is there") };

# ----------------------------------------------------------------- commits

# The batch is there at once, under its number, though nobody was told.
sub is_done
{
	my ($name) = @_;

	# A6 B9
	is(has_key('slow'), 1, "$name: the pair is there");
	is(batch_size($number), 1, "$name: so is the batch");
	cmp_ok(value($reader, 'SELECT store_current_sequence()'), '>=', $number, "$name: the current number has reached it");
	is(value($reader, 'SELECT in_flight FROM store_status'), 0, "$name: nobody is in flight");
	$quick->do(q{SELECT store_delete_batch('{slow}')});
	return;
}

point 'the commit record is written', standby => 1, start => \&start_put, check => \&is_done;

# A later batch must not be complete before it is.
point 'the commit record is written, and a later batch acknowledged',
  standby => 1,
  start => \&start_put,
  kill => sub {
	put();
	leave_hole($quick);
	is(value($reader, 'SELECT store_current_sequence()'), $number - 1, 'the current number does not pass it');
	kill_server();
  },
  check => \&is_done;

point 'the commit of 10,000 pairs is written',
  standby => 1,
  start => sub {
	$number = last_number() + 1;
	start($large);
  },
  check => sub {
	my ($name) = @_;

	is(count_large(), 10000, "$name: all of them are there");
	is(batch_size($number), 10000, "$name: in one batch");
  };

# No crash: whoever waits for the standby is told not to.
point 'the wait for a standby is cancelled',
  standby => 1,
  start => \&start_put,
  kill => sub {
	my ($pid) = @_;

	leave_hole($quick);    # which calls the worker
	$reader->do('SELECT pg_cancel_backend(?)', undef, $pid);
	is($slow->pg_result, 1, 'the writer succeeds');
  },
  check => sub {
	my ($name) = @_;

	is_done($name);
	cmp_ok(value($slow, 'SELECT store_current_sequence()'), '>=', $number, "$name: the writer sees it");
  };

point 'who waits for a standby is terminated',
  standby => 1,
  start => \&start_put,
  kill => sub {
	my ($pid) = @_;

	leave_hole($quick);    # which calls the worker
	$reader->do('SELECT pg_terminate_backend(?)', undef, $pid);
	wait_until('it has ended', sub {
		value($reader, 'SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = ?', $pid);
	});
	ok(!eval { $slow->pg_result }, 'the writer is not told');
	$slow = session($node);
  },
  check => \&is_done;

# ------------------------------------------------------------------ filling

sub is_filled
{
	my ($name) = @_;

	# A2 A3
	ok(wait_until('the hole is filled', sub { is_logged($reader, $number) }), "$name: the hole is filled");
	is(batch_size($number), 0, "$name: with an empty batch");
	return;
}

my $filling = q{TRIGGER gate BEFORE INSERT ON store_batch_log FOR EACH ROW WHEN (new.payload = '')};

point 'the worker fills a hole',
  trigger => $filling,
  start => sub { $number = leave_hole($quick) },
  who => 'worker',
  check => \&is_filled;

# The others die with it, and shared memory is made anew.
point 'the worker fills a hole, and it alone is killed',
  trigger => $filling,
  start => sub { $number = leave_hole($quick) },
  who => 'worker',
  kill => sub {
	kill 'KILL', @_;
	wait_until('the sessions have ended', sub { !eval { $quick->do('SELECT'); 1 } });
	connect_all();
  },
  check => \&is_filled;

point 'the filling is committed',
  standby => 1,
  start => sub { $number = leave_hole($quick) },
  who => 'worker',
  check => sub {
	my ($name) = @_;

	is(is_logged($reader, $number), 1, "$name: it is there");
	is_filled($name);
  };

# ------------------------------------------------------------------ pruning

my $pruning = 'TRIGGER gate BEFORE DELETE ON store_batch_log FOR EACH ROW';
my $floor;

# Begin to prune three batches.
sub start_prune
{
	$before = oldest();
	start("SELECT store_prune_batch_log($before + 3)");
	return;
}

# D5
point 'batches are being pruned',
  trigger => $pruning,
  start => \&start_prune,
  check => sub { is(oldest(), $before, "$_[0]: they are all there") };

point 'a prune is committed',
  standby => 1,
  start => \&start_prune,
  check => sub { is(oldest(), $before + 3, "$_[0]: they are all gone") };

# A rule that keeps ten, set in a transaction that is killed, and then in one
# that is done.
my $rule = q{SELECT store_set_retention('{"keepLatest": {"count": 10}}')};
my $is_set = 'SELECT count(*) FROM store_retention';

point 'a retention rule is being set',
  trigger => $pruning,
  start => sub {
	$before = oldest();
	start($rule);
  },
  check => sub {
	my ($name) = @_;

	is(value($reader, $is_set), 0, "$name: there is none");
	is(oldest(), $before, "$name: nothing is pruned");
  };

# G2
sub is_kept
{
	my ($name) = @_;

	ok(wait_until('the rule is kept', sub { oldest() == value($reader, 'SELECT store_current_sequence()') - 9 }),
		"$name: the rule is kept");
	return;
}

point 'a retention rule is committed',
  standby => 1,
  start => sub { start($rule) },
  check => sub {
	my ($name) = @_;

	is(value($reader, $is_set), 1, "$name: it is there");
	is_kept($name);
  };

point 'the worker prunes by the rule',
  trigger => $pruning,
  start => \&put,
  who => 'worker',
  check => \&is_kept;

# Settled first, so that it is a prune what the worker commits.
is_kept('before the next');
wait_until('there is no worker', sub { !worker_pid($reader) });
point 'the worker has committed a prune',
  standby => 1,
  start => sub {
	$before = oldest();
	put();
  },
  who => 'worker',
  check => sub {
	my ($name) = @_;

	cmp_ok(oldest(), '>', $before, "$name: it is there");
	is_kept($name);
  };

# To have the worker wait within VACUUM, somebody keeps a page of the index
# pinned; before that, a snapshot keeps it from beginning too soon.
point 'the worker vacuums the log',
  start => sub {
	$gate->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
	value($gate, 'SELECT count(*) FROM store_batch_log');
	$quick->do(q{SELECT count(store_put('many', 'value')) FROM generate_series(1, 6000)});
	is_kept('before the vacuum');
	$slow->do(q{BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;
		DECLARE pin CURSOR FOR SELECT sequence_number FROM store_batch_log ORDER BY sequence_number;
		MOVE 1 FROM pin});
	$before = oldest();
	$gate->do('COMMIT');
  },
  who => 'worker',
  event => 'BufferPin',
  check => sub {
	my ($name) = @_;

	is(oldest(), $before, "$name: the prune is there");
	is(value($reader, 'SELECT count(*) FROM store_read_log(store_current_sequence() - 10)'),
		11, "$name: the batches above are");
  };

# ----------------------------------------------------------- prune policies

$quick->do('SELECT store_set_retention(NULL)');

# Two policies, each of which deletes a key: the second one waits.
my $policies = sprintf q{SELECT store_prune('{"policies": [%s]}')}, join ', ',
  map { qq({"keys": {"selector": {"prefix": "$_", "payloadRegex": "(?s-u)."}}, "retain": {"dropAll": {}}}) }
  qw(Zmlyc3Qv c2Vjb25kLw==);    # first/ and second/

point 'a prune policy deletes keys',
  trigger => q{TRIGGER gate BEFORE DELETE ON store_kv FOR EACH ROW WHEN (old.key = 'second/1')},
  start => sub {
	$quick->do(q{SELECT store_put_batch('{first/1,second/1}', '{a,b}')});
	$number = last_number() + 1;
	start($policies);
  },
  kill => \&put_and_kill_server,
  check => sub {
	my ($name) = @_;

	is(has_key("$_/1"), 1, "$name: the $_ one is there") for qw(first second);
	put();
	wait_complete($reader);
	is(batch_size($number), 0, "$name: the first one's number is an empty batch");
	is(value($reader, 'SELECT deleted_keys IS NULL FROM store_batch_log WHERE sequence_number = ?', $number),
		1, "$name: which deletes nothing");
  };

point 'prune policies are committed',
  standby => 1,
  start => sub {
	$number = last_number() + 1;
	start($policies);
  },
  check => sub {
	my ($name) = @_;

	is(has_key("$_/1"), 0, "$name: the $_ one is gone") for qw(first second);
	is(value($reader, 'SELECT count(deleted_keys) FROM store_batch_log WHERE sequence_number IN (?, ?)',
			$number, $number + 1), 2, "$name: both batches are there");
  };

# The filler found a row where it was sure there was none.
ok(!$node->log_contains('duplicate key value'), 'A2: no hole was taken for what it is not');

done_testing();
