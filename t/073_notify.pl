# LISTEN storeengine: the worker tells how far the log is complete, not more
# often than it should, and never too rarely.

use strict;
use warnings;

use FindBin;
use IO::Select;
use lib $FindBin::RealBin;
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;
use Time::HiRes qw(time);

my $rounds = $ENV{STOREENGINE_NOTIFY_ROUNDS} // 300;
my $node = store_node('main', init => [ allows_streaming => 1 ], conf => "log_checkpoints = off\n");
my $writer = session($node);
my $ghost = session($node);
my $listener = session($node);
my $reader = session($node);

sub put
{
	my ($who) = @_;

	return value($who, q{SELECT store_put(?, 'value')}, "key of $who->{pg_pid}");
}

# All notifications that have come: a list of [channel, pid, payload].
sub heard
{
	my @heard;

	while (my $notification = $listener->pg_notifies)
	{
		push @heard, $notification;
	}
	return @heard;
}

# Those that come until a number is heard of.
sub hear_until
{
	my ($number) = @_;
	my @heard;

	wait_until("$number is heard of",
		sub { push @heard, heard(); @heard && $heard[-1][2] >= $number });
	return @heard;
}

# F5 F6
$listener->do('LISTEN storeengine');
my $number = put($writer);
my @heard = hear_until($number);
is_deeply([ map { $_->[2] } @heard ], [$number], 'a batch is notified, with its number');
is(value($reader, q{SELECT count(*) FROM pg_stat_activity
				 WHERE pid = ? AND backend_type = 'client backend'}, $heard[0][1]),
	0, 'not by who wrote it');

# A write that is taken back.  Its number is complete with the next one's.
my $hole = leave_hole($writer);
@heard = hear_until($hole + 1);
is_deeply([ grep { $_->[1] == $writer->{pg_pid} || $_->[2] < $hole } @heard ],
	[], 'a rolled back write notifies nobody');

# A number above that of a writer in flight is not told before it can be seen.
$ghost->do('BEGIN');
my $slow = put($ghost);
$number = put($writer) for 1 .. 10;
is(scalar(grep { $_->[2] >= $slow } heard()), 0, 'nothing is told of what is not complete');
$ghost->do('COMMIT');
is(max(map { $_->[2] } hear_until($number)), $number, 'then all is');

# The number told is that of what is complete, not the highest given out.
my $other_ghost = session($node);
$_->do('BEGIN') for $ghost, $other_ghost;
$slow = put($ghost);
my $slower = put($other_ghost);
$ghost->do('COMMIT');
is(join(' ', map { $_->[2] } hear_until($slow)), $slow, 'the first of two writers in flight is told of when it ends');
$other_ghost->do('COMMIT');
is(join(' ', map { $_->[2] } hear_until($slower)), $slower, 'and then the second');

# A burst.
$reader->do(q{ALTER SYSTEM SET storeengine.notify_interval = '200ms'});
$node->reload;
wait_until('the worker that knows of no reload has left', sub { !worker_pid($reader) });
my $began = time;
my ($late, @burst) = (0);
for (1 .. 1000)
{
	$number = put($writer);
	push @burst, my @new = heard();
	$late += grep { value($reader, 'SELECT store_current_sequence()') < $_->[2] } @new;
}
push @burst, hear_until($number);
my $elapsed = time - $began;
cmp_ok(scalar @burst, '<=', $elapsed / 0.2 + 2, 'a burst of 1000 is told of now and then');
is($late, 0, 'whoever hears a number sees it');
my @numbers = map { $_->[2] } @burst;
is("@numbers", join(' ', sort { $a <=> $b } @numbers), 'the numbers ascend');
is($numbers[-1], $number, 'the last one is that of the last batch');

# Nothing to do.
wait_until('there is no worker', sub { !worker_pid($reader) });
is(scalar heard(), 0, 'nobody is told anything when there is nothing new');
my $log = slurp_file($node->logfile);
is(join("\n", grep { !/LOG:  (starting|listening|database system|received SIGHUP|parameter)/ } split /\n/, $log),
	'', 'the log of the server is empty');

# A subscriber that listens, reads, and waits only when there is nothing to
# read is always told that there is more.  Some batches are rolled back, and
# every now and then the worker has left.
$reader->do('ALTER SYSTEM RESET storeengine.notify_interval');
$node->reload;
my $socket = IO::Select->new(IO::Handle->new_from_fd($listener->{pg_socket}, 'r'));
my ($cursor, $lost) = ($number, 0);
for my $round (1 .. $rounds)
{
	wait_until('there is no worker', sub { !worker_pid($reader) }) if $round % 100 == 0;
	$number = rand() < 0.2 ? leave_hole($writer) + 1 : put($writer) for 0 .. rand 10;
	until ($lost)
	{
		my $before = $cursor;

		$cursor = value($listener, 'SELECT max(sequence_number) FROM store_read_log(?)', $cursor);
		last if $cursor >= $number;
		next if $cursor > $before || heard();
		$lost++ unless $socket->can_read(20);
	}
	last if $lost;
}
is($lost, 0, "no wake-up was lost in $rounds rounds");
is($cursor, $number, 'all was read');

# Somebody else's NOTIFY that does not get done is in the way of ours.  Those
# who wait are woken all the same, and listeners are told as soon as can be.
my $hanging = session($node);
$reader->do(q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
$node->reload;
commit_hangs($hanging, 'DO $$BEGIN DROP TABLE IF EXISTS hanging; CREATE TABLE hanging (); NOTIFY others; END$$', $reader);
$writer->do('SET synchronous_commit = local');
my $first = put($writer);
ok(wait_until('the worker has given up', sub {
		value($reader, q{SELECT last_error = 'canceling statement due to lock timeout' FROM store_status})
	}), 'the worker does not wait for ever to tell listeners');
$number = put($writer);
is(value($reader, q{CALL store_wait_for_sequence(?, '8 s')}, $number), $number, 'those who wait are woken');
is(scalar(grep { $_->[2] >= $first } heard()), 0, 'nobody is told yet');
$reader->do('ALTER SYSTEM RESET synchronous_standby_names');
$node->reload;
is(max(map { $_->[2] } hear_until($number)), $number, 'listeners are told when that is possible');
$hanging->pg_result;

# F4: a subscriber that stops in the midst of a transaction is in nobody's way,
# and what is kept for it does not grow with what is written.
my $stuck = session($node);
$stuck->do('LISTEN storeengine');
$stuck->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
value($stuck, 'SELECT count(*) FROM store_read_log(0, max_batches => NULL, max_bytes => NULL)');
$writer->do(q{SET statement_timeout = '20s'});
is(failure($writer, q{SELECT store_put('key', 'value') FROM generate_series(1, 10000)}), '', 'it blocks no writer');
is(failure($writer, q{SELECT store_delete_batch('{key}')}), '', 'nor one that deletes');
is(failure($writer, 'SELECT store_prune_batch_log(store_current_sequence() - 10)'), '', 'nor one that prunes');
cmp_ok(value($reader, 'SELECT notification_queue_usage FROM store_status'), '<', 0.001, 'hardly anything is queued for it');
$stuck->do('COMMIT');

done_testing();
