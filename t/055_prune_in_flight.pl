# D4: pruning everything takes what is complete, and nothing of writers in
# flight, nor of those that overtook them.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $slow = session($node);
my $quick = session($node);
my $everything = '9223372036854775807';

sub put
{
	my ($session) = @_;

	return value($session, q{SELECT store_put(?, 'value')}, "key of $session");
}

sub prune
{
	my ($session) = @_;

	return value($session, "SELECT store_prune_batch_log($everything)");
}

put($quick) for 1 .. 3;
$slow->do('BEGIN');
is(put($slow), 4, 'a writer is in flight');
put($quick);
is(prune($quick), 3, 'what is complete is pruned');
is(value($quick, 'SELECT store_current_sequence()'), 3, 'the frontier stays');
is(value($quick, 'SELECT store_oldest_retained_batch()'), undef, 'no batch is retained');
is(prune($quick), 0, 'there is nothing more to prune');
$slow->do('COMMIT');

is(value($quick, 'SELECT store_current_sequence()'), 5, 'A7: the frontier moves on');
is(value($quick, 'SELECT store_oldest_retained_batch()'), 4, 'both late batches are retained');
is(value($quick, "SELECT cardinality(store_get_batch($_))"), 1, "batch $_ can be read") for 4, 5;
is(put($quick), 6, 'A5: numbers go on');
is(prune($quick), 3, 'all of them can be pruned');
is(value($quick, 'SELECT store_current_sequence()'), 6, 'A5: the current number stays');
is_deeply([ verify($quick) ], [], 'store_verify() finds nothing');

done_testing();
