# What operators do to the tables - lock them, rewrite them, build their indexes
# anew, alter them, try to empty them - beside writers and a subscriber: nobody
# fails, the subscriber gets every batch once, and the log has no hole.  With
# STORE_TEST_LONG it goes on for as many rounds.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $rounds = $ENV{STORE_TEST_LONG} ? 20 : 2;
my $node = store_node('main', conf => "allow_in_place_tablespaces = on\nmax_prepared_transactions = 2\n");
my $admin = session($node);
my $folder = PostgreSQL::Test::Utils::tempdir;

# Put, delete, prune pairs and roll back, until the file "stop" is there.
sub run_writer
{
	my ($number) = @_;

	return fork_client(
		sub {
			my $session = session($node);
			for (my $i = 0; !-e "$folder/stop"; $i++)
			{
				my $key = "$number/" . $i % 20;
				$session->do('SELECT store_put_batch(ARRAY[?, ?]::bytea[], ARRAY[?, ?]::bytea[])',
					undef, $key, "$key/too", $i, "$i too");
				$session->do('SELECT store_delete_batch(ARRAY[?]::bytea[])', undef, $key) if $i % 7 == 0;
				leave_hole($session) if $i % 11 == 0;
				$session->do('SELECT store_get(?, ?)', undef, $key, 0) if $i % 3 == 0;
			}
		});
}

# Follow the log until it has the number in the file "last"; note down what is
# read.  It dies of what is missing or comes twice.
sub run_subscriber
{
	return fork_client(
		sub {
			my $session = session($node);
			my ($cursor, $rows, $last) = (0, 0);
			until ($last && $cursor >= $last)
			{
				value($session, q{CALL store_wait_for_sequence(?, '100 ms')}, $cursor + 1);
				my $read = $session->selectall_arrayref(
					'SELECT sequence_number, op FROM store_read_log(?, max_batches => 500)', undef, $cursor);
				my $progress = pop @$read;
				die "row of batch $_->[0] after batch $cursor" for grep { $_->[0] <= $cursor } @$read;
				$rows += @$read;
				$cursor = $progress->[0];
				$last = slurp_file("$folder/last") if -e "$folder/last";
			}
			open my $report, '>', "$folder/rows" or die $!;
			print $report $rows;
		});
}

# Wait until there are more batches than now, to see that the writers are at it.
sub wait_for_writers
{
	my $now = value($admin, 'SELECT last_value FROM store_sequence');

	wait_until('the writers write',
		sub { value($admin, 'SELECT store_current_sequence() > ?', $now + 20) });
	return;
}

$admin->do('CREATE TABLESPACE other LOCATION \'\'');
my @clients = ((map { run_writer($_) } 1 .. 3), run_subscriber());

for my $round (1 .. $rounds)
{
	for my $sql (
		(map { ("VACUUM FULL $_", "VACUUM (FREEZE) $_", "ANALYZE $_", "REINDEX TABLE $_", "REINDEX TABLE CONCURRENTLY $_", "CLUSTER $_ USING ${_}_pkey") }
			qw(store_kv store_batch_log store_control store_histories)),
		'BEGIN; LOCK TABLE store_batch_log; LOCK TABLE store_control; COMMIT',
		'BEGIN; LOCK TABLE store_kv IN SHARE MODE; COMMIT',
		'CREATE INDEX CONCURRENTLY extra ON store_kv (value)',
		'DROP INDEX CONCURRENTLY extra',
		q{ALTER TABLE store_kv ADD COLUMN extra text DEFAULT 'x'},
		'ALTER TABLE store_kv DROP COLUMN extra',
		'ALTER TABLE store_batch_log ADD CHECK (length(payload) >= 0) NOT VALID',
		'ALTER TABLE store_batch_log VALIDATE CONSTRAINT store_batch_log_payload_check',
		'ALTER TABLE store_batch_log DROP CONSTRAINT store_batch_log_payload_check',
		'ALTER TABLE store_batch_log SET (autovacuum_enabled = off)',
		'ALTER TABLE store_batch_log RESET (autovacuum_enabled)',
		'ALTER TABLE store_kv SET TABLESPACE other',
		'ALTER TABLE store_kv SET TABLESPACE pg_default',
		'ALTER INDEX store_batch_log_pkey SET TABLESPACE other',
		'ALTER INDEX store_batch_log_pkey SET TABLESPACE pg_default',
		'CREATE ROLE somebody',
		'ALTER TABLE store_batch_log OWNER TO somebody',
		'ALTER TABLE store_batch_log OWNER TO CURRENT_USER',
		'DROP ROLE somebody',
		'ALTER TABLE store_kv ENABLE ROW LEVEL SECURITY',
		'ALTER TABLE store_kv DISABLE ROW LEVEL SECURITY')
	{
		is(failure($admin, $sql), '', "round $round: $sql") or diag $admin->errstr;
		wait_for_writers() if $sql =~ /^(VACUUM FULL|BEGIN|REINDEX)/;
	}
	for my $table (qw(store_kv store_batch_log store_control store_histories))
	{
		is(failure($admin, "TRUNCATE $table"), '55000', "round $round: TRUNCATE $table is refused");
	}
}

wait_for_writers();
open my $stop, '>', "$folder/stop" or die $!;
is(wait_clients(@clients[0 .. 2]), 0, 'no writer failed');
$admin->do(q{SELECT store_put('last', '')});
my $last = wait_complete($admin);
open my $file, '>', "$folder/last.new" or die $!;
print $file $last;
close $file;
rename "$folder/last.new", "$folder/last" or die $!;
is(wait_clients($clients[3]), 0, 'the subscriber did not fail');

# A2, A6, A9, F2
my $seen = snapshot($admin);
my $rows = 0;
$rows += @{ $_->{puts} } + @{ $_->{deletes} } for values %{ $seen->{log} };
is(slurp_file("$folder/rows"), $rows, 'the subscriber got every row once');
is(join("\n", problems($seen), verify($admin)), '', 'the log is complete and the table as it says');

done_testing();
