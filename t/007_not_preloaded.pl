# Without shared_preload_libraries one can read and prune; writers are told
# what is missing.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $session = session($node);

$session->do(q{SELECT store_put('a', '1')});
$session->do(q{SELECT store_put('b', '2')});
my $before = snapshot($session);

$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', q{''});
$node->restart;
$session = session($node);

is_deeply(snapshot($session), $before, 'the store can be read');
is(value($session, q{SELECT store_get('a', 2)}), '1', 'store_get');
is(value($session, 'SELECT count(*) FROM store_range_scan()'), 2, 'store_range_scan');
is(value($session, q{SELECT count(value) FROM store_get_many('{a,b,c}')}), 2, 'store_get_many');
is(value($session, 'SELECT value FROM unnest(store_get_batch(1))'), '1', 'store_get_batch');
is(value($session, 'SELECT store_oldest_retained_batch()'), 1, 'store_oldest_retained_batch');
is(value($session, 'SELECT worker_state FROM store_status'), 'not loaded', 'store_status says so');

for my $write (
	q{store_put('c', '3')},
	q{store_put_batch('{c}', '{3}')},
	q{store_put_batch(ARRAY[('c', '3')]::store_entry[])},
	q{store_put_request('')},
	q{store_delete_batch('{a}')})
{
	is(failure($session, "SELECT $write"), '55000', "$write fails");
	like($session->errstr, qr/HINT:.*shared_preload_libraries/, 'with a hint');
}

is(value($session, 'SELECT store_prune_batch_log(2)'), 1, 'the log can be pruned');
is(value($session, 'SELECT store_oldest_retained_batch()'), 2, 'and is');

$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', 'storeengine');
$node->restart;
# A4
is(value(session($node), q{SELECT store_put('c', '3')}), 3, 'loaded again, the numbers go on');

done_testing();
