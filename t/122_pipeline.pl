# Waiting and reading in one round trip: in a pipeline the read has a snapshot of
# its own, taken after the wait.  (Statements of a pipeline are one transaction.)

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $transactions = $ENV{STORE_TEST_LONG} ? 5000 : 100;
my $node = store_node('main');
my $admin = session($node);
my $folder = PostgreSQL::Test::Utils::tempdir;
$admin->do(q{SELECT store_put('k', '0')});

# Somebody else writes.
my $writer = fork_client(
	sub {
		my $session = session($node);
		$session->do(q{SELECT store_put('k', '1')}) until -e "$folder/stop";
	});

# Each waits for a number that is not there yet, and reads not below it.
for my $mode (qw(extended prepared))
{
	# C7
	$node->pgbench(
		"--no-vacuum --client=3 --transactions=$transactions --protocol=$mode",
		0,
		[qr/processed: @{[ 3 * $transactions ]}\/@{[ 3 * $transactions ]}/],
		[qr/^(?!.*(ERROR|aborted))/s],
		"wait and read, $mode",
		{
			"wait_$mode" => q{
				SELECT store_current_sequence() + 3 AS n \gset
				\startpipeline
				CALL store_wait_for_sequence(:n, '2 min');
				SELECT store_get('k', :n);
				SELECT * FROM store_range_scan(min_sequence_number => :n);
				SELECT * FROM store_read_log(:n, min_sequence_number => :n);
				SELECT store_current_sequence();
				CALL store_wait_for_sequence(:n + 1, '2 min');
				SELECT store_get('k', :n + 1);
				\endpipeline
			}
		});
}

# To wait for what the pipeline itself has written is refused: it is not committed.
$node->pgbench(
	'--no-vacuum --client=1 --transactions=1 --protocol=extended',
	2,
	[],
	[qr/store_wait_for_sequence\(\) cannot be called in a transaction that has written/],
	'write and wait',
	{
		write_wait => q{
			\startpipeline
			SELECT store_put('a', '1');
			CALL store_wait_for_sequence(1, '1 s');
			\endpipeline
		}
	});

open my $stop, '>', "$folder/stop" or die $!;
is(wait_clients($writer), 0, 'the writer ends');
is(value($admin, q{SELECT store_get('a')}), undef, 'what the refused pipeline wrote is gone');
wait_complete($admin);
is(join("\n", problems(snapshot($admin)), verify($admin)), '', 'all is well');

done_testing();
