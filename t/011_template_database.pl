# A store's database can be the template of another, which goes on with the
# same data and with its own numbers.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main', extension => 0);
my $admin = session($node);

$admin->do('CREATE DATABASE original');
my $original = session($node, 'original');
$original->do('CREATE EXTENSION storeengine');
$original->do("SELECT store_put_batch('{a,b}', '{1,2}')") for 1 .. 3;
$original->do("SELECT store_delete_batch('{b}')");
$original->do('SELECT store_prune_batch_log(3)');
leave_hole($original);
my $current = wait_complete($original);
my $before = snapshot($original);

# With the worker at work.
leave_hole($original);
wait_until('there is a worker', sub { worker_pid($original) });
$original->disconnect;
is(failure($admin, 'CREATE DATABASE copy TEMPLATE original'), '', 'CREATE DATABASE TEMPLATE')
  or diag $admin->errstr;

$original = session($node, 'original');
my $copy = session($node, 'copy');
wait_complete($_) for $original, $copy;
is_deeply(snapshot($copy), snapshot($original), 'the copy has all data');

# A4: each store has its own numbers.
is(value($original, q{SELECT store_put('c', 'original')}), $current + 3, 'the original goes on');
is(value($original, q{SELECT store_put('c', 'original')}), $current + 4, 'and on');
is(value($copy, q{SELECT store_put('c', 'copy')}), $current + 3, 'the copy has numbers of its own');

# A2
my $hole = leave_hole($copy);
is(wait_complete($copy), $hole + 1, 'holes in the copy are filled');
is(value($copy, q{SELECT store_get('c')}), 'copy', 'the copy has data of its own');
is(join("\n", map { problems(snapshot($_)) } $original, $copy), '', 'all is well in both');

# A template with the extension makes stores, each starting at 1.
my $template = session($node, 'template1');
$template->do('CREATE EXTENSION storeengine');
$template->disconnect;
$admin->do('CREATE DATABASE made');
is(value(session($node, 'made'), q{SELECT store_put('a', '1')}), 1,
	'a store from template1 starts at 1');

done_testing();
