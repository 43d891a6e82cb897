# The library serves the SQL of version 1.0, and ALTER EXTENSION UPDATE makes of
# that what a fresh installation has, while sessions with cached plans go on.

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

# A database with the extension in a version, or the latest.
sub store_database
{
	my ($name, $version) = @_;

	$admin->do("CREATE DATABASE $name");
	my $session = session($node, $name);
	$session->do('CREATE EXTENSION storeengine' . ($version ? " VERSION '$version'" : ''));
	return $session;
}

# All that the catalogs say of the extension's objects, as lines of text without
# OIDs.
sub catalog
{
	my ($session) = @_;

	return $session->selectcol_arrayref(q{
		WITH members AS (
			SELECT d.classid, d.objid, i.type, i.identity
			FROM pg_extension AS e
			JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass
				AND d.refobjid = e.oid AND d.deptype = 'e',
			pg_identify_object(d.classid, d.objid, 0) AS i
			WHERE e.extname = 'storeengine')
		SELECT concat_ws(' | ', type, identity, obj_description(objid, classid::regclass::name))
		FROM members
		UNION ALL
		SELECT concat_ws(' | ', identity, pg_get_functiondef(oid), proacl, proowner::regrole)
		FROM members JOIN pg_proc ON classid = 'pg_proc'::regclass AND objid = oid
		UNION ALL
		SELECT concat_ws(' | ', identity, relkind, relpersistence, relacl, reloptions,
		                 relrowsecurity, relreplident, pg_get_viewdef(oid))
		FROM members JOIN pg_class ON classid = 'pg_class'::regclass AND objid = oid
		UNION ALL
		SELECT concat_ws(' | ', identity, attnum, attname, format_type(atttypid, atttypmod), attnotnull,
		                 attstorage, attcompression, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum))
		FROM members JOIN pg_attribute ON classid = 'pg_class'::regclass AND attrelid = objid
		LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
		WHERE attnum > 0
		UNION ALL
		SELECT concat_ws(' | ', identity, conname, pg_get_constraintdef(oid))
		FROM members JOIN pg_constraint ON classid = 'pg_class'::regclass AND conrelid = objid
		UNION ALL
		SELECT concat_ws(' | ', identity, pg_get_indexdef(indexrelid))
		FROM members JOIN pg_index ON classid = 'pg_class'::regclass AND indrelid = objid
		UNION ALL
		SELECT concat_ws(' | ', identity, p.objsubid, p.privtype, p.initprivs)
		FROM members JOIN pg_init_privs AS p ON classid = classoid AND objid = objoid
		UNION ALL
		SELECT concat_ws(' | ', extversion, extrelocatable, extnamespace::regnamespace,
		                 (SELECT string_agg(table_id::regclass || coalesce(condition, ''), ', ' ORDER BY n)
		                  FROM unnest(extconfig, extcondition) WITH ORDINALITY AS c (table_id, condition, n)))
		FROM pg_extension WHERE extname = 'storeengine'
		ORDER BY 1});
}

my $fresh = store_database('fresh');
my $version = value($fresh, q{SELECT extversion FROM pg_extension WHERE extname = 'storeengine'});
isnt($version, '1.0', 'there is something to update to');
my $plain = store_database('plain', '1.0');
$plain->do('ALTER EXTENSION storeengine UPDATE');
is_deeply(catalog($plain), catalog($fresh), 'updated, it is as if freshly installed');
use_all(store_database('unused', '1.0'), 'SQL of 1.0');

# Views on the store, prepared statements with cached plans, and what a session
# has cached of the store itself, are to survive.
my $session = store_database('updated', '1.0');
my $other = session($node, 'updated');
build_history($session);
$session->do(
	q{CREATE VIEW pairs AS
	  SELECT key, store_get(key) AS value FROM store_range_scan() WHERE store_current_sequence() > 0;
	  CREATE TABLE seen (sequence_number bigint DEFAULT store_current_sequence());
	  CREATE FUNCTION feed(bigint) RETURNS bigint LANGUAGE sql AS
	  'SELECT max(sequence_number) FROM store_read_log($1)'});
$other->do($_)
  for 'SET plan_cache_mode = force_generic_plan',
  'PREPARE put (bytea, bytea) AS SELECT store_put($1, $2)',
  'PREPARE get (bytea) AS SELECT store_get($1)',
  'PREPARE scan AS SELECT count(*) FROM store_range_scan()',
  'PREPARE many (bytea) AS SELECT count(value) FROM store_get_many(ARRAY[$1, $1])',
  'PREPARE log (bigint) AS SELECT sequence_number, op, key, value FROM store_read_log($1)',
  'PREPARE log_columns (bigint) AS SELECT * FROM store_read_log($1)',
  'PREPARE status AS SELECT frontier FROM store_status',
  'PREPARE feed (bigint) AS SELECT feed($1)';
my @statements = (
	q{EXECUTE put('prepared', '1')}, q{EXECUTE get('prepared')}, 'EXECUTE scan',
	q{EXECUTE many('prepared')}, 'EXECUTE log(250)', 'EXECUTE status', 'EXECUTE feed(250)',
	'SELECT count(*) FROM pairs');
ok(defined value($other, $_), "before the update: $_") for @statements;

# Roles with the rights that the functions took in version 1.0.
$session->do(
	q{CREATE ROLE reader LOGIN;
	  GRANT SELECT ON store_kv, store_batch_log TO reader;
	  CREATE ROLE writer LOGIN;
	  GRANT SELECT, INSERT, UPDATE, DELETE ON store_kv TO writer;
	  GRANT INSERT ON store_batch_log TO writer;
	  GRANT USAGE ON SEQUENCE store_sequence TO writer;
	  GRANT EXECUTE ON FUNCTION store_put, store_delete_batch TO writer});

# Use the store as these roles.
sub use_as_roles
{
	my ($when) = @_;
	my ($reader, $writer) = map { session($node, 'updated', $_) } qw(reader writer);

	ok(defined value($writer, $_), "$when, as writer: $_")
	  for q{SELECT store_put('by writer', '1')}, q{SELECT store_delete_batch('{by writer}')};
	ok(defined value($reader, $_), "$when, as reader: $_")
	  for 'SELECT max(sequence_number) FROM store_read_log(250)',
	  'SELECT count(*) FROM store_range_scan()';
	is(failure($reader, q{SELECT store_put('a', '1')}), '42501', "$when: a reader may not write");
	return;
}

use_as_roles('before the update');
is(failure($other, 'SELECT store_verify()'), '42883', 'version 1.0 has nothing newer');

# A view that calls a function which the update replaces is in the way; then
# nothing is changed.
$session->do('CREATE VIEW log AS SELECT * FROM store_read_log(0)');
is(failure($session, 'ALTER EXTENSION storeengine UPDATE'), '2BP01', 'a view stops the update');
like($session->errstr, qr/view log depends on function store_read_log/, 'and is named');
is(value($session, q{SELECT extversion FROM pg_extension WHERE extname = 'storeengine'}),
	'1.0', 'nothing is changed');
$session->do('DROP VIEW log');

# Writers go on meanwhile.
start_load($node, 'updated');
wait_load($session);
$session->do("ALTER EXTENSION storeengine UPDATE TO '$version'");
wait_load($session);
is(stop_load(), 0, 'writers do not notice the update');

ok(defined value($other, $_), "after the update: $_") for @statements;
is(failure($other, 'EXECUTE log_columns(250)'),
	'0A000', 'after the update: a statement that would return more columns has to be prepared again');
use_as_roles('after the update');
wait_complete($session);
my $after = snapshot($session);
# A2 A9
is(join("\n", complaints($session)), '', 'all is well');
is(missing($after, acknowledged()), '', 'nothing that was acknowledged is missing');
# A4
cmp_ok(value($session, q{SELECT store_put('new', '1')}), '>', $after->{current}, 'the numbers go on');
$node->restart;
$session = session($node, 'updated');
use_as_roles('after a restart');
is(join("\n", complaints($session)), '', 'all is well after a restart');

# A dump does not tell the version: a store of 1.0 is restored as the latest.
my $dumped = session($node, 'unused');
my $folder = PostgreSQL::Test::Utils::tempdir;
run_ok('dump a store of 1.0', 'pg_dump', connect_options($node), '-Fc', '-f', "$folder/dump", 'unused');
session($node)->do('CREATE DATABASE restored');
run_ok('restore it', 'pg_restore', connect_options($node), '-e', '-d', 'restored', "$folder/dump");
my $restored = session($node, 'restored');
is_deeply(catalog($restored), catalog(session($node, 'fresh')), 'it is of the latest version');
is_deeply(snapshot($restored), snapshot($dumped), 'everything is there');
is(value($restored, q{SELECT store_put('new', '1')}), 9, 'the numbers go on');
is(join("\n", complaints($restored)), '', 'and all is well');

done_testing();
