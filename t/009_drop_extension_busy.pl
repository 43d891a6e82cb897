# DROP EXTENSION under load, with the worker busy: it succeeds, and nobody
# fails in any other way than that there is no store.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $rounds = 10;
my $node = store_node('main');
my $admin = session($node);
my $folder = PostgreSQL::Test::Utils::tempdir;

# What a client may be told: the functions or the tables are not there, or
# locked, by store_status.
my %expected = map { $_ => 1 } qw(42883 42P01 55000 55P03);

# What PostgreSQL itself says when a function goes while it is called, or the
# tables of one in SQL.
my $gone = qr/cache lookup failed for function|could not open relation .* SQL function/s;

# What clients do; each locks the tables in an order of its own.
my @work = (
	(\&leave_hole) x 4,
	map {
		my $sql = $_;
		sub { $_[0]->do($sql) }
	} (
		q{SELECT store_delete_batch('{done}')},
		'SELECT store_prune_batch_log(greatest(store_current_sequence() - 5, 0))',
		'SELECT store_current_sequence()',
		q{SELECT store_get('done', 0)},
		q{SELECT count(*) FROM store_get_many('{done}', 0)},
		'SELECT count(*) FROM store_range_scan(min_sequence_number => 0)',
		'SELECT count(*) FROM store_status',
		q{BEGIN; SELECT store_current_sequence(); SELECT store_put('done', '2'); COMMIT}));

# Do such things until the file "stop" is there; note down what is
# unexpected.
sub run_client
{
	my ($number) = @_;

	return fork_client(
		sub {
			my $session = session($node);
			open my $report, '>', "$folder/$number" or die $!;
			until (-e "$folder/stop")
			{
				next if eval {
					$work[ rand @work ]->($session);
					1;
				};
				my ($state, $error) = ($session->state, $session->errstr);
				print $report "$state $error\n"
				  unless $expected{$state} || $error =~ $gone;
				$session->do('ROLLBACK') unless $session->ping == 1;
			}
		});
}

my @clients = map { run_client($_) } 1 .. 4;
for my $round (1 .. $rounds)
{
	wait_until(
		'the worker has been at it',
		sub { value($admin, q{SELECT count(*) > 20 FROM store_batch_log WHERE payload = ''}) });
	is(failure($admin, 'DROP EXTENSION storeengine'), '', "drop $round")
	  or diag $admin->errstr;
	is(failure($admin, 'CREATE EXTENSION storeengine'), '', "create $round")
	  or diag $admin->errstr;
}
open my $stop, '>', "$folder/stop" or die $!;
is(wait_clients(@clients), 0, 'the clients end');
is(join('', map { slurp_file("$folder/$_") } 1 .. @clients), '',
	'no client saw anything but a missing store');
# A2
wait_complete($admin);
is(join("\n", problems(snapshot($admin))), '', 'the last store is complete');

done_testing();
