# pg_upgrade carries stores whole: keys, log, floor, rule and numbers.
#
# STORE_TEST_OLD_INSTALL names the installation of an older PostgreSQL that has
# the extension, too; scripts/check-upgrade sees to that.  Otherwise this is from
# one version to the same, which pg_upgrade allows.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BackupTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

# Servers to upgrade from and to have to agree on checksums, for which the
# default is not the same in all versions.
my @init = (extra => ['--data-checksums']);
my $conf = "shared_preload_libraries = 'storeengine'\nlog_min_messages = debug1\n";
my $install = $ENV{STORE_TEST_OLD_INSTALL};
my $old = PostgreSQL::Test::Cluster->new('old', $install ? (install_path => $install) : ());
my $new = PostgreSQL::Test::Cluster->new('new');

$old->init(@init);
$new->init(@init);
$_->append_conf('postgresql.conf', $conf) for $old, $new;
$old->start;
note('from ', $old->safe_psql('postgres', 'SELECT version()'));

# A store as in version 1.0, one in a schema of its own, and one that has been
# emptied by pruning.  In each the last number was taken by a write that was
# rolled back.
my %last;
my %before;
my %schema = (first => 'public', second => 'kv', third => 'public');
for my $database (sort keys %schema)
{
	my $schema = $schema{$database};

	$old->safe_psql('postgres', "CREATE DATABASE $database");
	my $session = session($old, $database);
	$session->do('SET client_min_messages = warning');
	$session->do("CREATE SCHEMA IF NOT EXISTS $schema");
	$session->do("CREATE EXTENSION storeengine SCHEMA $schema"
		  . ($database eq 'first' ? q{ VERSION '1.0'} : ''));
	$session->do("SET search_path = $schema");
	$last{$database} = build_history($session);
	$session->do('SELECT store_prune_batch_log(1000)') if $database eq 'third';
}
start_load($old, 'first');
wait_load(session($old, 'first'));
is(stop_load(), 0, 'the writers end');
wait_complete(session($old, 'first'));
$last{first} = value(session($old, 'first'), 'SELECT last_value FROM store_sequence');

# Read a store by all means.
sub everything
{
	my ($node, $database) = @_;
	my $session = in_schema($node, $database, $schema{$database});
	my $seen = snapshot($session);

	$seen->{rule} = value($session, 'SELECT rule FROM store_retention');
	$seen->{histories} = $session->selectall_arrayref('TABLE store_histories ORDER BY 1, 2')
	  if value($session, q{SELECT to_regclass('store_histories')});
	$seen->{feed} = $session->selectall_arrayref(
		'SELECT sequence_number, op, key, value FROM store_read_log(?::bigint, max_batches => NULL)',
		undef, $seen->{floor});
	return $seen;
}

$before{$_} = everything($old, $_) for sort keys %schema;
my @acknowledged = acknowledged();
$old->stop;

chdir $PostgreSQL::Test::Utils::tmp_check or die $!;
$new->command_ok(
	[
		'pg_upgrade', '--no-sync', '--retain', '-d', $old->data_dir, '-D', $new->data_dir,
		'-b', $old->config_data('--bindir'), '-B', $new->config_data('--bindir'),
		'-s', $new->host, '-p', $old->port, '-P', $new->port
	],
	'pg_upgrade');

# While it was at work, nobody else was.
my $registered = qr/registering background worker "storeengine launcher"/;
my $server_logs = join '', map { slurp_file($_) }
  glob $new->data_dir . '/pg_upgrade_output.d/*/log/pg_upgrade_server.log';
like($server_logs, qr/starting PostgreSQL/, 'the servers that pg_upgrade started have a log');
unlike($server_logs, $registered, 'they had no launcher');
$new->start;
like(slurp_file($new->logfile), $registered, 'the upgraded server has one');

for my $database (sort keys %schema)
{
	my $session = in_schema($new, $database, $schema{$database});

	# A5, D5
	is_deeply(everything($new, $database), $before{$database}, "$database: everything is there");
	$session->do('ALTER EXTENSION storeengine UPDATE');
	# A4
	is(value($session, q{SELECT store_put('new', '1')}), $last{$database} + 1,
		"$database: the numbers go on");
	# A2
	is(wait_complete($session), $last{$database} + 1, "$database: holes are filled");
	is(join("\n", complaints($session)), '', "$database: all is well");
}
is(missing(snapshot(session($new, 'first')), @acknowledged),
	'', 'nothing that was acknowledged is missing');

done_testing();
