# The queries for Prometheus run, with the rights that the README says they
# need, and their columns are those that are described.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = store_node('main');
my $admin = session($node);
my $yaml = slurp_file("$FindBin::RealBin/../contrib/postgres_exporter.yaml");
my ($query) = $yaml =~ /^  query: \|\n((?:    .*\n)+)/m;
my @metrics = $yaml =~ /^    - (\w+):$/mg;

$admin->do(
	'CREATE ROLE monitor LOGIN;
	 GRANT SELECT ON store_status TO monitor;
	 GRANT EXECUTE ON FUNCTION store_status_values TO monitor');
my $monitor = session($node, 'postgres', 'monitor');

sub metrics
{
	my $statement = $monitor->prepare($query);

	$statement->execute;
	is_deeply($statement->{NAME}, \@metrics, 'every column is described, and no other');
	return $statement->fetchrow_hashref;
}

my $empty = metrics();
is($empty->{frontier}, 0, 'an empty store');
is($empty->{worker_able}, 1, 'whose worker can start');

# A store in every state that has a figure of its own.
$admin->do(q{SELECT store_put('k', 'v') FROM generate_series(1, 20)});
$admin->do(q{SELECT store_set_retention('{"keepLatest": {"count": 5}}')});
my $writer = session($node);
$writer->do('BEGIN');
$writer->do(q{SELECT store_put('held', '1')});
my $waiter = fork_client(sub { session($node)->do('CALL store_wait_for_sequence(1000)') });
my $busy = wait_until('somebody waits', sub { my $row = metrics(); $row->{waiters} && $row });

is_deeply([ @$busy{qw(frontier highest_allocated behind in_flight holes oldest_retained has_retention retention_lag waiters)} ],
	[ 20, 21, 1, 1, 0, 16, 1, 0, 1 ], 'the figures are what they should be');
cmp_ok($busy->{holder_age_seconds}, '>', 0, 'a holder has an age');
cmp_ok($busy->{log_bytes}, '>', 0, 'the log has a size');
cmp_ok($busy->{last_prune_age_seconds}, '>', 0, 'a prune has an age');
is($busy->{last_error_age_seconds}, undef, 'no error');

$admin->do(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL%'});
is(wait_clients($waiter), 1, 'the waiter is terminated');
ok(wait_until('nobody waits', sub { metrics()->{waiters} == 0 }), 'and is not counted any more');

done_testing();
