# An asynchronous standby that is promoted gives out again the numbers that had
# not reached it.  Subscribers who have read those are told, all others go on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $primary = store_node('primary', init => [ allows_streaming => 1 ]);
my $standby = standby_of($primary, 'standby');
my $old = session($primary);

sub put
{
	my ($session, $value) = @_;

	return value($session, q{SELECT store_put('key', ?)}, $value);
}

# A copy, as a subscriber that saved its cursor would have one.
sub copy_of
{
	my ($cursor) = @_;

	return { %$cursor, read => { %{ $cursor->{read} } } };
}

# Have no more WAL sent to a standby, nor asked for by it.
sub cut_off
{
	my ($node, $from) = @_;

	$node->append_conf('postgresql.conf', q{primary_conninfo = ''});
	$node->reload;
	wait_until('it is cut off',
		sub { value($from, 'SELECT count(*) = 0 FROM pg_stat_replication') });
	return;
}

put($old, "both $_") for 1 .. 3;
$primary->wait_for_catchup($standby);
cut_off($standby, $old);
# More than a sequence is ahead of itself in the WAL, which is 32.
put($old, "lost $_") for 4 .. 40;

# Two subscribers: one has read what is going to be lost.
my (%behind, %ahead);
my $new = session($standby);
is(read_on($new, \%behind), '', 'a subscriber of the standby');
is($behind{number}, 3, 'has read what is there');
is(read_on($old, \%ahead), '', 'one of the primary');
is($ahead{number}, 40, 'has read more');
is($ahead{history}, $behind{history}, 'in one and the same history');

is(read_on($new, copy_of(\%ahead)), 'SE003', 'the standby may yet get what it has not');
$standby->promote;
is(read_on($new, copy_of(\%ahead)), 'SE003', 'as long as nothing is written it is all the same');
is(read_on($new, \%behind), '', 'who is at the end stays there');
is($behind{history}, $ahead{history}, 'in the history there was');

# A4: no acknowledgement protects these numbers.
my $first = put($new, 'new');
cmp_ok($first, '<=', 40, 'numbers are given out again');
put($new, "new $_") for $first + 1 .. 42;
is(wait_complete($new), 42, 'on to others, and what is between is filled');

# F3
is(read_on($new, copy_of(\%ahead)), 'SE004', 'who has read the lost ones is told');
is(failure($new, 'SELECT * FROM store_read_log(40)'), '', 'he would not be without the history');
is(read_on($new, \%behind), '', 'who has not goes on');
is(join(' ', unlike_log(\%behind, snapshot($new))), '', 'and has read the new ones');
isnt($behind{history}, $ahead{history}, 'in another history');

# Whoever is told starts over from the pairs, and is in step.
my %rebuilt;
$new->do('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
@rebuilt{qw(number history)} =
  $new->selectrow_array('SELECT store_current_sequence(), store_history()');
$new->do('COMMIT');
put($new, 'new 43');
is(read_on($new, \%rebuilt), '', 'who starts over goes on');
is_deeply($rebuilt{read}, { 43 => 'put key new 43' }, 'with the next batch');

# The old primary still runs.
is(read_on($old, copy_of(\%behind)), 'SE004', 'the old primary knows nothing of the new history');
is(read_on($old, copy_of(\%rebuilt)), 'SE004', 'nor of numbers above its own');
put($old, "old $_") for 41 .. 50;
is(read_on($old, copy_of(\%behind)), 'SE004', 'whatever is written there');
is(read_on($old, \%ahead), '', 'and its own subscriber goes on');
is(join(' ', unlike_log(\%ahead, snapshot($old))), '', 'with what there is');
is(read_on($new, copy_of(\%ahead)), 'SE004', 'but not elsewhere');

# Of a second standby of the new primary the same holds, on to a third history.
my $second = standby_of($standby, 'second');
$standby->wait_for_catchup($second);
# A standby need not have heard of a history, but then it has not got that far.
my $follower = session($second);
my $foreign = '00000000-0000-0000-0000-000000000000';
is(read_on($follower, { number => 1000, history => $foreign }),
	'SE003', 'a standby takes a history that it does not know for one to come');
is(read_on($follower, { number => 1, history => $foreign }),
	'SE004', 'but not if the number is there');
$follower->disconnect;
is(read_on($new, \%behind), '', 'a subscriber of the new primary');
cut_off($second, $new);
put($new, 'lost');
my $lost = copy_of(\%behind);
is(read_on($new, $lost), '', 'reads what is going to be lost');
$second->promote;
my $newest = session($second);
is(read_on($newest, copy_of(\%behind)), '', 'one that has not is welcome before the first write');
put($newest, 'newest');
is(read_on($newest, $lost), 'SE004', 'the one is told');
is(read_on($newest, \%behind), '', 'the other goes on');
is(read_on($newest, copy_of(\%ahead)), 'SE004', 'and that of the first primary is still told');
is(read_on($newest, { number => 3, history => $ahead{history} }),
	'', 'a cursor of long ago, from before they parted, is fine');
is(join(' ', unlike_log(\%behind, snapshot($newest))), '', 'nothing is skipped, nothing is another');
is_deeply([ map { verify($_) } $old, $new, $newest ], [], 'store_verify() finds nothing anywhere');

# A batch that came with the standby does not stay what it was, if one below it
# did not: 2 is acknowledged and arrives, 1 is committed too late.
my $third = store_node('third', init => [ allows_streaming => 1 ]);
my $fourth = standby_of($third, 'fourth');
$old = session($third);
my $slow = session($third);
$slow->do('BEGIN');
put($slow, 'slow');
$old->do(q{SELECT store_put('another', 'quick')});
$third->wait_for_catchup($fourth);
cut_off($fourth, $old);
$slow->do('COMMIT');
my %both;
is(read_on($old, \%both), '', 'a subscriber reads');
is($both{number}, 2, 'both');
$fourth->promote;
$new = session($fourth);
is(wait_complete($new), 2, 'on the new primary the first is a hole, filled without a write');
is(read_on($new, copy_of(\%both)), 'SE004', 'the subscriber is told');
is(read_on($new, { %both, number => 1 }), 'SE004', 'had it read but the first, too');
is(read_on($new, { number => 0, history => $both{history} }), '', 'had it read nothing, it would go on');
is_deeply([ map { $_->[1] } $new->selectall_array('SELECT sequence_number, op FROM store_read_log(0)') ],
	[ 'put', 'progress' ], 'and find the second');
is_deeply([ verify($new) ], [], 'store_verify() finds nothing');

done_testing();
