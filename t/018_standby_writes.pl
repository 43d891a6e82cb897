# A hot standby refuses to write with 25006, and can be read and waited for.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use StoreTest;
use Test::More;

my $primary = store_node('primary', init => [ allows_streaming => 1 ]);
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

session($primary)->do(q{SELECT store_put('a', '1')});
$primary->wait_for_catchup($standby);
my $session = session($standby);

# B12
for my $write (
	q{store_put('c', '3')},
	q{store_put_batch('{c}', '{3}')},
	q{store_put_batch(ARRAY[('c', '3')]::store_entry[])},
	q{store_put_request('')},
	q{store_delete_batch('{a}')},
	q{store_prune_batch_log(1)})
{
	is(failure($session, "SELECT $write"), '25006', "$write is refused");
}

is(value($session, 'SELECT worker_state FROM store_status'), 'standby', 'store_status says so');
# C7
is(value($session, q{SELECT store_get('a', 1)}), '1', 'a read with a number that has arrived');
is(failure($session, q{SELECT store_get('a', 2)}), 'SE003', 'a read with one that has not');
is_deeply([ verify($session) ], [], 'store_verify() finds nothing');

done_testing();
