# A2, A9: sessions put the same new keys at the same time, in batches and alone, by
# SQL and directly, and some roll back.  Whoever comes second finds out when it adds
# a row that it had not seen: it goes on, nobody waits for ever, and what is in the
# table is what the log tells.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $rounds = 60;
my $node = store_node('main');
my $admin = session($node);
my $folder = PostgreSQL::Test::Utils::tempdir;

$admin->do(q{CREATE FUNCTION put(round int, client int, way text) RETURNS bigint LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM set_config('storeengine.debug_access', way, true);
		RETURN (SELECT store_put_batch(array_agg(int4send(round) || int4send(i)), array_agg(int4send(client)))
				FROM generate_series(1, CASE client WHEN 4 THEN 1 ELSE 400 END) AS i);
	END $$});

# Each round begins when all are ready for it: when they all hold its lock.
sub run_client
{
	my ($client) = @_;

	return fork_client(
		sub {
			my $session = session($node);
			open my $report, '>', "$folder/$client" or die $!;
			for my $round (1 .. $rounds)
			{
				my $way = ($round + $client) % 4 == 0 ? 'sql' : 'direct';

				$session->do('SELECT pg_advisory_lock_shared(?)', undef, $round);
				next if eval {
					$session->do('BEGIN');
					$session->do('SELECT put(?, ?, ?)', undef, $round, $client, $way);
					$session->do(($round + $client) % 5 == 0 ? 'ROLLBACK' : 'COMMIT');
					1;
				};
				print $report $session->state . ' ' . $session->errstr . "\n";
				$session->do('ROLLBACK');
			}
		});
}

# The lock of the next round is ours until the others wait for it.
$admin->do('SELECT pg_advisory_lock(1)');
my @clients = map { run_client($_) } 1 .. 4;
for my $round (1 .. $rounds)
{
	$admin->do('SELECT pg_advisory_lock(?)', undef, $round + 1);
	wait_until(
		"all wait for round $round",
		sub {
			value($admin,
				q{SELECT count(*) = 4 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = ?}, $round);
		});
	$admin->do('SELECT pg_advisory_unlock(?)', undef, $round);
}
is(wait_clients(@clients), 0, 'the clients end');
is(join('', map { slurp_file("$folder/$_") } 1 .. @clients), '', 'nobody fails');

# A2, A9
wait_complete($admin);
is(join("\n", problems(snapshot($admin))), '', 'the log tells what is in the table');
is_deeply([ verify($admin) ], [], 'the store is sound');
is(value($admin, 'SELECT count(*) FROM store_kv'), 400 * $rounds, 'all keys are there, once');

done_testing();
