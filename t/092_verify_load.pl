# store_verify() finds nothing in a store that is sound, however busy it is:
# beside writers, deleters, pruners and rolled back writes, in every isolation
# level, on the primary and on a hot standby.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{STORE_TEST_LONG} ? 300 : 4;
my $folder = PostgreSQL::Test::Utils::tempdir;
my $primary = store_node('primary',
	init => [ allows_streaming => 1 ],
	conf => "work_mem = '64kB'\n");
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = -1\n");
$standby->start;

# Write, until the time is over: several batches in a transaction now and then,
# savepoints, deletes, values large and small, over few keys and over many.
sub run_writer
{
	my ($number) = @_;

	return fork_client(
		sub {
			my $session = session($primary);
			my $end = time + $seconds;
			srand($number);
			while (time < $end)
			{
				$session->do('BEGIN');
				for (1 .. 1 + rand 3)
				{
					my $way = rand;
					my @keys = sort map { 'key ' . int(rand(rand() < 0.5 ? 5 : 500)) } 1 .. 1 + rand 10;
					$session->do('SAVEPOINT s');
					my $fine = eval {
						$session->do('SELECT store_put_batch(?::bytea[], ?::bytea[])',
							undef, \@keys, [ map { $_ x rand(1 + rand 500) } @keys ])
						  if $way < 0.8;
						$session->do('SELECT store_delete_batch(?::bytea[])', undef, \@keys)
						  if $way >= 0.8;
						1;
					};
					die $@ if !$fine && $session->state ne '40P01';
					$session->do(!$fine || $way < 0.1 ? 'ROLLBACK TO s' : 'RELEASE s');
				}
				$session->do(rand() < 0.2 ? 'ROLLBACK' : 'COMMIT');
				$session->do('SELECT store_prune_batch_log(greatest(store_current_sequence() - 200, 0))')
				  if $number == 1 && rand() < 0.02;
			}
		});
}

# Verify again and again, and write down what is found, and how often there was
# a number missing.  On a standby, that makes a check that is skipped.
sub run_verifier
{
	my ($name, $node, $begin) = @_;

	return fork_client(
		sub {
			my $session = session($node);
			my $end = time + $seconds;
			my ($calls, $missing) = (0, 0);
			open my $out, '>', "$folder/$name" or die $!;
			while (time < $end)
			{
				$session->do($begin);
				$session->do(q{SELECT store_put('key of verifier', 'value')}) if $begin =~ /WRITE/;
				for my $row (
					@{ $session->selectall_arrayref(
							q{SELECT check_name, result, checked, sequence_number, encode(key, 'escape'), detail
							  FROM store_verify()}) })
				{
					my $skipped = $row->[0] eq 'numbers' && $row->[1] eq 'skipped' && $node == $standby;
					$missing++ if $row->[0] eq 'numbers' && ($skipped || $row->[2]);
					print $out join(' ', map { $_ // '-' } @$row), "\n" if $row->[1] ne 'ok' && !$skipped;
				}
				$session->do('COMMIT');
				$calls++;
			}
			close $out or die $!;
			append_to_file("$folder/counts", "$name: $calls calls, $missing with numbers missing\n");
		});
}

my %verifiers = (
	committed => [ $primary, 'BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY' ],
	repeatable => [ $primary, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE' ],
	serializable => [ $primary, 'BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY' ],
	standby => [ $standby, 'BEGIN ISOLATION LEVEL REPEATABLE READ' ]);

is(wait_clients((map { run_writer($_) } 1 .. 4), map { run_verifier($_, @{ $verifiers{$_} }) } sort keys %verifiers),
	0, 'all clients end');
# A2 A6 A9
is(slurp_file("$folder/$_"), '', "nothing is found: $_") for sort keys %verifiers;
my $counts = slurp_file("$folder/counts");
like($counts, qr/^$_: ([3-9]|\d\d)/m, "enough was looked at: $_") for sort keys %verifiers;
like($counts, qr/[1-9]\d* with numbers missing/, 'and numbers were missing at times');
note $counts;

my $session = session($primary);
is(wait_complete($session), value($session, 'SELECT max(sequence_number) FROM store_batch_log'), 'the log is complete');
is_deeply([ verify($session) ], [], 'nothing is found in the end');

done_testing();
