# F8: a cursor that has seen what is not in the log is found out, whatever took
# the batches away.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

# Nobody flushes the WAL who does not have to.
my $node = store_node('main', conf => "wal_writer_delay = 10s\n");
my $session = session($node);

# The cursor that a read from another one gets.
sub advance
{
	my ($reader, $since, $history) = @_;

	return $reader->selectrow_array(
		q{SELECT sequence_number, history FROM store_read_log($1, since_history => $2) WHERE op = 'progress'},
		undef, $since, $history);
}

# Why a cursor is refused, '' if it is not.
sub refusal
{
	my ($since, $history) = @_;

	return failure($session,
		"SELECT * FROM store_read_log($since, since_history => '$history')");
}

# A clean start begins a history, but takes nothing away.
$session->do(q{SELECT store_put('a', '1')}) for 1 .. 3;
my ($since, $first) = advance($session, 0, undef);
is($since, 3, 'a cursor');
is(value($session, 'SELECT store_history()'), $first, 'it is in the present history');
$node->restart;
$session = session($node);
is_deeply([ advance($session, 3, $first) ], [ 3, $first ], 'a start alone begins no history');

# Whoever notes it and rolls back has not noted it.
$session->do('BEGIN');
$session->do(q{SELECT store_put('undone', '')}) for 1 .. 2;
$session->do('ROLLBACK');

# A10: the first writers all note it, and none of them waits.
my @writers = map { session($node) } 1 .. 5;
$_->do(q{SET statement_timeout = '60s'}) for @writers;
for my $i (0 .. $#writers)
{
	$writers[$i]->do('BEGIN');
	$writers[$i]->do("SELECT store_put('first$i', '')");
}
$writers[$_]->do($_ == 2 ? 'ROLLBACK' : 'COMMIT') for (4, 2, 0, 3, 1);
is(wait_complete($session), 10, 'five writers, one of whom has rolled back');
my $second = value($session, 'SELECT store_history()');
isnt($second, $first, 'the first write begins another history');
is_deeply(
	$session->selectall_arrayref(
		'SELECT DISTINCT ordinal, history, follows FROM store_histories ORDER BY ordinal'),
	[ [ 1, $first, 0 ], [ 2, $second, 3 ] ],
	'the notes agree');
is_deeply([ advance($session, 3, $first) ], [ 10, $second ], 'the cursor goes on into it');

# Noted once, it is not noted any more.
my $notes = value($session, 'SELECT count(*) FROM store_histories');
$session->do(q{SELECT store_put('b', '')});
$session->do(q{SELECT store_put('b', '')});
is(value($session, 'SELECT count(*) FROM store_histories'), $notes, 'no more notes are made');
($since, $second) = advance($session, 10, $second);
is($since, 12, 'read on');

# What a crash leaves undecided is decided in another history: here 13, which
# somebody on a standby, say, may have read with what 13 was going to be.
$writers[0]->do('BEGIN');
$writers[0]->do(q{SELECT store_put('open', '')});
$session->do(q{SELECT store_put('above', '')});
$node->append_conf('postgresql.conf', 'synchronous_commit = off');
crash($node);
$session = session($node);
# A2
is(wait_complete($session), 14, 'the hole is filled, without a write');
is(refusal(12, $second), '', 'a cursor below the hole is fine');
is(refusal(13, $second), 'SE004', 'a cursor at the hole is not');
is(refusal(14, $second), 'SE004', 'a cursor above the hole is not');
my $third = value($session, 'SELECT store_history()');
is(refusal(14, $third), '', 'the hole belongs to the history in which it was filled');

# A batch that was read and lost, as its commit was not to be durable.  At
# times somebody flushes it nevertheless: then try again.
my $lost;
wait_until(
	'a batch is lost',
	sub {
		$session->do('SET synchronous_commit = on');
		$session->do(q{SELECT store_put('flushed', '')});
		wait_complete($session);
		$session->do('SET synchronous_commit = off');
		$lost = value($session, q{SELECT store_put('lost', '')});
		(my $read, $third) = advance($session, 14, undef);
		is($read, $lost, 'a batch is read');
		crash($node);
		$session = session($node);
		value($session, 'SELECT store_current_sequence()') < $lost;
	});
is(refusal($lost, $third), 'SE003', 'before the next write it is as if it were to come');
$session->do(q{SELECT store_put('other', '')});
wait_complete($session);
is(refusal($lost, $third), 'SE004', 'afterwards the cursor is refused');
is(refusal($lost - 1, $third), '', 'one that has not read the lost batch goes on');

# A store that goes on elsewhere has a history of its own.
my $fourth = value($session, 'SELECT store_history()');
my $last = value($session, 'SELECT store_current_sequence()');
my $folder = PostgreSQL::Test::Utils::tempdir();
$node->run_log([ 'pg_dump', '-Fc', '-f', "$folder/dump", $node->connstr('postgres') ]);
$session->do('CREATE DATABASE elsewhere');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('elsewhere'), "$folder/dump" ], 'restore');
my $elsewhere = session($node, 'elsewhere');
is_deeply([ advance($elsewhere, $last, $fourth) ], [ $last, $fourth ], 'a cursor is fine in both');
$_->do(q{SELECT store_put('apart', '')}) for $session, $elsewhere;
is(failure($elsewhere, "SELECT * FROM store_read_log($last + 1, since_history => '$fourth')"),
	'SE004', 'what one has read since is foreign to the other');
is(refusal($last + 1, value($elsewhere, 'SELECT store_history()')),
	'SE004', 'and the other way round');
is_deeply([ advance($session, $last + 1, $fourth) ], [ $last + 1, $fourth ], 'the first goes on');
is_deeply([ verify($_) ], [], 'store_verify() finds nothing') for $session, $elsewhere;

done_testing();
