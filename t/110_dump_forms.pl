# Whatever the form of a dump - directories written and read in parallel,
# archives restored in sections, schema and data apart, one schema, tables by
# name, the whole server - the restored store is the same.

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
my $folder = PostgreSQL::Test::Utils::tempdir;
my @connect = connect_options($node);
my @psql = ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', @connect);
my $admin = session($node);

# A store in a schema of its own, on which roles have rights.
$admin->do('CREATE ROLE reader');
$admin->do('CREATE DATABASE original');
my $original = session($node, 'original');
$original->do('CREATE SCHEMA kv');
$original->do('CREATE EXTENSION storeengine SCHEMA kv');
$original->do('SET search_path = kv');
$original->do('GRANT USAGE ON SCHEMA kv TO reader');
$original->do('GRANT SELECT ON store_kv, store_batch_log TO reader');
$original->do('GRANT EXECUTE ON FUNCTION store_status_values TO reader');
my $last = build_history($original);
my $before = everything($original);
my @cursor = $original->selectrow_array('SELECT sequence_number, history FROM store_read_log(NULL)');

# What a dump has to carry.
sub everything
{
	my ($session) = @_;
	my $seen = snapshot($session);

	$seen->{rule} = value($session, 'SELECT rule FROM store_retention');
	$seen->{histories} = $session->selectall_arrayref('TABLE store_histories ORDER BY 1, 2');
	return $seen;
}

# A new database, with the extension if data alone are to come.
sub new_database
{
	my ($name, $with_extension) = @_;

	$admin->do("CREATE DATABASE $name");
	session($node, $name)->do('CREATE SCHEMA kv; CREATE EXTENSION storeengine SCHEMA kv')
	  if $with_extension;
	return $name;
}

# Compare a restored store with the original, and write to it.
sub check_restored
{
	my ($database, $how, $server) = @_;
	my $session = in_schema($server // $node, $database, 'kv');

	# A5, D5
	is_deeply(everything($session), $before, "$how: everything is there");
	is(value($session, 'SELECT count(*) FROM store_read_log(?::bigint, since_history => ?)', @cursor),
		1, "$how: a subscriber goes on");
	# A4
	is(value($session, q{SELECT store_put('new', '1')}), $last + 1, "$how: the numbers go on");
	# A2
	is(wait_complete($session), $last + 1, "$how: the number rolled back before is filled");
	is(join("\n", complaints($session)), '', "$how: all is well");
	return $session;
}

# Rights are part of the extension's dump, those that its script gave aside.
sub check_rights
{
	my ($session, $how) = @_;
	my $query = q{
		SELECT string_agg(right_name || ' ' || has, ', ' ORDER BY right_name) FROM (VALUES
			('read', has_table_privilege('reader', 'store_batch_log', 'SELECT')),
			('write', has_table_privilege('reader', 'store_batch_log', 'INSERT')),
			('status', has_function_privilege('reader', 'store_status_values()', 'EXECUTE')),
			('put', has_function_privilege('reader', 'store_put(bytea, bytea)', 'EXECUTE')))
			AS rights (right_name, has)};

	is(value($session, $query), 'put false, read true, status true, write false',
		"$how: the rights are those that were granted");
	return;
}

my $directory = "$folder/directory";
run_ok('dump into a directory, in parallel',
	'pg_dump', @connect, '-Fd', '-j', '3', '-f', $directory, 'original');
new_database('parallel');
run_ok('restore it in parallel',
	'pg_restore', @connect, '-e', '-j', '3', '-d', 'parallel', $directory);
check_rights(check_restored('parallel', 'directory'), 'directory');

run_ok('dump as tar', 'pg_dump', @connect, '-Ft', '-f', "$folder/tar", 'original');
new_database('tar');
run_ok('restore it in one transaction',
	'pg_restore', @connect, '-e', '--single-transaction', '-d', 'tar', "$folder/tar");
check_restored('tar', 'tar');

run_ok('restore it over a store that is there',
	'pg_restore', @connect, '-e', '--clean', '--if-exists', '-d', 'tar', "$folder/tar");
check_restored('tar', 'over another');

new_database('sections');
run_ok("restore $_", 'pg_restore', @connect, '-e', "--section=$_", '-d', 'sections', $directory)
  for qw(pre-data data post-data);
check_restored('sections', 'in sections');

run_ok('dump the schema', 'pg_dump', @connect, '-s', '-f', "$folder/schema", 'original');
run_ok('dump the data', 'pg_dump', @connect, '-a', '-f', "$folder/data", 'original');
new_database('apart');
run_ok('restore the schema', @psql, '-f', "$folder/schema", 'apart');
run_ok('restore the data', @psql, '-f', "$folder/data", 'apart');
check_restored('apart', 'schema and data apart');

new_database('data', 1);
run_ok('restore the data in parallel into a fresh extension',
	'pg_restore', @connect, '-e', '-a', '-j', '3', '-d', 'data', $directory);
check_restored('data', 'data in parallel');

# Not by name alone: pg_dump --schema leaves extensions out unless they are
# named, too, but has the contents of their tables.
run_ok('dump a schema', 'pg_dump', @connect, '-n', 'kv', '-f', "$folder/n", 'original');
new_database('without_extension');
my ($output, $errors) = ('', '');
ok( !IPC::Run::run([ @psql, '-f', "$folder/n", 'without_extension' ], '>', \$output, '2>', \$errors),
	'it does not restore by itself');
like($errors, qr/relation "kv\.store_\w+" does not exist/, 'the tables are not in it');
run_ok('dump its data', 'pg_dump', @connect, '-a', '-n', 'kv', '-f', "$folder/na", 'original');
new_database('schema_data', 1);
run_ok('restore them into a fresh extension', @psql, '-f', "$folder/na", 'schema_data');
check_restored('schema_data', 'data of a schema');

run_ok('dump a schema with its extension',
	'pg_dump', @connect, '-n', 'kv', '-e', 'storeengine', '-f', "$folder/ne", 'original');
new_database('schema_extension');
run_ok('restore it', @psql, '-f', "$folder/ne", 'schema_extension');
check_restored('schema_extension', 'schema with extension');

# By tables: all of them, the sequence included.
run_ok('dump tables', 'pg_dump', @connect, '-a', '-t', 'kv.store_*', '-f', "$folder/t", 'original');
new_database('tables', 1);
run_ok('restore them', @psql, '-f', "$folder/t", 'tables');
check_restored('tables', 'tables');

# The whole server, on another one.
run_ok('dump the server', 'pg_dumpall', @connect, '--no-sync', '-f', "$folder/all");
my $other = store_node('other', extension => 0);
run_ok('restore it',
	'psql', '-X', '-q', '-o', '/dev/null', connect_options($other), '-f', "$folder/all", 'postgres');
check_rights(check_restored('original', 'server', $other), 'server');

# Data are for an empty store: where there is one already, nothing is mixed.
my $store = in_schema($node, 'data', 'kv');
my $unchanged = everything($store);
ok( !run_log([ 'pg_restore', @connect, '-e', '-a', '-1', '-d', 'data', $directory ]),
	'data are not restored over those of a store');
is_deeply(everything($store), $unchanged, 'that store is as it was');

done_testing();
