# pg_dump and pg_restore carry a whole store: keys, log, floor and numbers.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BackupTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $node = store_node('main', extension => 0);
my $admin = session($node);
my $folder = PostgreSQL::Test::Utils::tempdir;

$admin->do('CREATE DATABASE original');
my $original = session($node, 'original');
$original->do('CREATE EXTENSION storeengine');

my $last = build_history($original);

my $before = snapshot($original);
is(join("\n", problems($before)), '', 'the original is well');
is(scalar keys %{ $before->{log} }, $before->{current} - 199, 'its log begins at 200');

# Compare a restored store with the original one, and write to it.
sub check_restored
{
	my ($database, $how) = @_;
	my $session = session($node, $database);

	# A5, D5
	is_deeply(snapshot($session), $before, "$how: everything is there");
	# A4
	is(value($session, q{SELECT store_put('new', '1')}), $last + 1, "$how: the numbers go on");
	# A2
	is(wait_complete($session), $last + 1, "$how: the number rolled back before is filled");
	is(join("\n", problems(snapshot($session))), '', "$how: all is well");
	is_deeply([ verify($session) ], [], "$how: store_verify() finds nothing");
}

sub run_ok
{
	my ($what, @command) = @_;

	ok(run_log(\@command), $what);
}

my @connect = ('-h', $node->host, '-p', $node->port);
my @psql = ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', @connect);

run_ok('dump as SQL', 'pg_dump', @connect, '-f', "$folder/sql", 'original');
$admin->do('CREATE DATABASE from_sql');
run_ok('restore it', @psql, '-f', "$folder/sql", 'from_sql');
check_restored('from_sql', 'SQL');

run_ok('dump in custom format', 'pg_dump', @connect, '-Fc', '-f', "$folder/custom", 'original');
$admin->do('CREATE DATABASE from_custom');
run_ok('restore it in parallel',
	'pg_restore', @connect, '-e', '-j', '2', '-d', 'from_custom', "$folder/custom");
check_restored('from_custom', 'custom');

$admin->do('CREATE DATABASE data_custom');
session($node, 'data_custom')->do('CREATE EXTENSION storeengine');
run_ok('restore data only',
	'pg_restore', @connect, '-e', '--data-only', '-d', 'data_custom', "$folder/custom");
check_restored('data_custom', 'data only');

run_ok('dump data only', 'pg_dump', @connect, '--data-only', '--inserts', '-f', "$folder/data", 'original');
$admin->do('CREATE DATABASE data_sql');
session($node, 'data_sql')->do('CREATE EXTENSION storeengine');
run_ok('restore it', @psql, '-f', "$folder/data", 'data_sql');
check_restored('data_sql', 'data only, as INSERTs');

run_ok('dump the schema only', 'pg_dump', @connect, '--schema-only', '-f', "$folder/schema", 'original');
$admin->do('CREATE DATABASE schema');
run_ok('restore it', @psql, '-f', "$folder/schema", 'schema');
my $session = session($node, 'schema');
is_deeply(
	snapshot($session),
	{ current => 0, oldest => undef, floor => 0, log => {}, pairs => {} },
	'the schema has no data');
# A1
is(value($session, q{SELECT store_put('a', '1')}), 1, 'a store without data starts at 1');

done_testing();
