# Who looks in while a store is being restored, or tries to write too early,
# does no harm: the restored store is the same.

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
my @connect = ('-h', $node->host, '-p', $node->port);
my $session = session($node);
my $writer;

# Two histories: whoever begins one too early is overtaken by the second.
$session->do(q{SELECT store_put('former', '1')});
$node->restart;
$session = session($node);
$writer = session($node);

# A log of which the remaining part was written while batch 101 was open: none
# of it vouches for more than batch 100.
$session->do(q{SELECT store_put('a', '1')}) for 2 .. 100;
$writer->do('BEGIN');
$writer->do(q{SELECT store_put('long', '1')});
$session->do(q{SELECT store_put('a', '2')}) for 1 .. 50;
$writer->do('COMMIT');
my $current = wait_complete($session);
$session->do('SELECT store_prune_batch_log(131)');
my $before = snapshot($session);
ok(run_log([ 'pg_dump', @connect, '-Fc', '-f', "$folder/dump", 'postgres' ]), 'dump');

$session->do('CREATE DATABASE restored');
my $restored = session($node, 'restored');
$restored->do('CREATE EXTENSION storeengine');
for my $table (qw(store_kv store_batch_log store_control store_histories store_sequence))
{
	ok( run_log([ 'pg_restore', @connect, '-e', '--data-only', '-t', $table, '-d', 'restored',
				"$folder/dump" ]),
		"restore $table");
	value($restored, "SELECT $_")
	  for qw(store_current_sequence() store_oldest_retained_batch() store_get_batch(120));
	failure($restored, q{BEGIN; SELECT store_put('early', '1')}) if $table eq 'store_batch_log';
	$restored->do('ROLLBACK');
}

# D5, A5
is_deeply(snapshot($restored), $before, 'the restored store is the same');
# A2
my $hole = leave_hole($restored);
is(wait_complete($restored), $hole + 1, 'holes are filled');
# D5
is(join("\n", problems(snapshot($restored))), '', 'and nothing else is');
# A4
cmp_ok($hole, '>', $current, 'the numbers go on');
# F8: what it writes is in a history of its own, not in that which was restored
# on top of the one it was about to begin.
my $history = value($session, 'SELECT store_history()');
my $read = "SELECT * FROM store_read_log(?, since_history => '$history')";
is($restored->do($read, undef, $current) > 0, 1, 'a cursor from the origin is good up to the dump');
is(failure($restored, $read =~ s/\?/$hole/r), 'SE004', 'and not beyond');
is(value($restored, 'SELECT max(ordinal) FROM store_histories'), 3, 'after the two of the origin');
is_deeply([ verify($restored) ], [], 'store_verify() finds nothing');

done_testing();
