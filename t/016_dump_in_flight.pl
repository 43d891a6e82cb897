# A dump that is taken while a writer is in flight restores to a store whose
# log has no hole.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $folder = PostgreSQL::Test::Utils::tempdir;
my $session = session($node);
my $writer = session($node);
my @connect = ('-h', $node->host, '-p', $node->port);

$session->do(q{SELECT store_put('a', '1')});
$writer->do('BEGIN');
my $open = value($writer, q{SELECT store_put('open', '1')});
my $last = value($session, q{SELECT store_put('a', '2')});
ok(run_log([ 'pg_dump', @connect, '-Fc', '-f', "$folder/dump", 'postgres' ]), 'dump');
$writer->do('COMMIT');
is(value($session, 'SELECT store_current_sequence()'), $last, 'the writer goes on');

$session->do('CREATE DATABASE restored');
ok(run_log([ 'pg_restore', @connect, '-e', '-d', 'restored', "$folder/dump" ]), 'restore');
my $restored = session($node, 'restored');
# A2
is(wait_complete($restored), $last, 'the log is complete up to the last batch in the dump');
# A3
is(value($restored, 'SELECT cardinality(store_get_batch(?))', $open), 0,
	'where the writer was, there is an empty batch');
# A4
is(value($restored, q{SELECT store_put('a', '3')}), $last + 1, 'the numbers go on');
is(join("\n", problems(snapshot($restored))), '', 'all is well');
is_deeply([ verify($restored) ], [], 'store_verify() finds nothing');

done_testing();
