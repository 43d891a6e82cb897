# After a clean restart everything is there and the numbers go on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $session = session($node);

$session->do(q{SELECT store_put('key 1', 'one')});
$session->do(q{SELECT store_put_batch('{key 2,key 3}', '{two,three}')});
$session->do(q{SELECT store_delete_batch('{key 2}')});
leave_hole($session);
wait_complete($session);
$session->do('SELECT store_prune_batch_log(2)');
my $before = snapshot($session);

$node->restart;
$session = session($node);
# A5
is_deeply(snapshot($session), $before, 'everything is there');
# A4
is(value($session, q{SELECT store_put('a', '1')}), $before->{current} + 1, 'the numbers go on');

# One that is in flight when the server stops is rolled back.
my $writer = session($node);
$writer->do('BEGIN');
my $undone = value($writer, q{SELECT store_put('undone', '1')});
$node->restart;
$session = session($node);
is(value($session, 'SELECT store_current_sequence()'), $undone - 1,
	'a write that was open is gone');
is(value($session, q{SELECT store_put('a', '2')}), $undone + 1, 'its number is not given out again');
# A2 A3
is(wait_complete($session), $undone + 1, 'it is an empty batch');

is(value($session, 'SELECT store_prune_batch_log(1000)'), $undone, 'prune the whole log');
$node->restart;
$session = session($node);
# A5
is(value($session, 'SELECT store_current_sequence()'), $undone + 1, 'the current number stays');
is(value($session, q{SELECT store_put('a', '3')}), $undone + 2, 'the numbers go on');
is(join("\n", problems(snapshot($session))), '', 'all is well');
is_deeply([ verify($session) ], [], 'store_verify() finds nothing');

done_testing();
