# Dumps that are taken while others write restore to whole stores: what had been
# acknowledged before is there, and of what came later nothing or all.

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
my $admin = session($node);

$admin->do('CREATE DATABASE original');
my $session = session($node, 'original');
$session->do('CREATE EXTENSION storeengine');
start_load($node, 'original');
wait_load($session);

# See that a restored store has what had been acknowledged, and write to it.
sub check_restored
{
	my ($database, $how, $server, @acknowledged) = @_;
	my $restored = session($server, $database);
	my $current = wait_complete($restored);
	my $seen = snapshot($restored);

	cmp_ok(scalar @acknowledged, '>', 0, "$how: something had been acknowledged");
	# B9
	is(missing($seen, @acknowledged), '', "$how: all of it is there");
	# A2 A9
	is(join("\n", complaints($restored)), '', "$how: all is well");
	# A4
	my ($highest) = sort { $b <=> $a } keys %{ $seen->{log} };
	cmp_ok(value($restored, q{SELECT store_put('new', '1')}),
		'>', $highest, "$how: the numbers go on");
	wait_complete($restored);
	is(join("\n", complaints($restored)), '', "$how: and all is still well");
	return;
}

# Both the dump and the restoring take place while the load goes on.
sub check_archive
{
	my ($how, @options) = @_;
	my @acknowledged = acknowledged();

	run_ok("$how: dump", 'pg_dump', @connect, @options, '-f', "$folder/$how", 'original');
	wait_load($session);
	$admin->do("CREATE DATABASE $how");
	run_ok("$how: restore", 'pg_restore', @connect, '-e', '-j', '2', '-d', $how, "$folder/$how");
	check_restored($how, $how, $node, @acknowledged);
	return;
}

check_archive('custom', '-Fc');
check_archive('directory', '-Fd', '-j', '2');

$session->do('SELECT store_prune_batch_log(store_current_sequence() / 2)');
check_archive('pruned', '-Fc');

my @acknowledged = acknowledged();
run_ok('dump the server', 'pg_dumpall', @connect, '--no-sync', '-f', "$folder/all");
wait_load($session);
is(stop_load(), 0, 'the writers end');

my $other = store_node('other', extension => 0);
run_ok('restore it on another',
	'psql', '-X', '-q', '-o', '/dev/null', connect_options($other), '-f', "$folder/all", 'postgres');
check_restored('original', 'server', $other, @acknowledged);

wait_complete($session);
is(join("\n", complaints($session)), '', 'the original is well, too');

done_testing();
