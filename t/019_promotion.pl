# After failover to a synchronous standby nothing acknowledged is missing, the
# holes are filled and the numbers go on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(max);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir;
my $primary = store_node('primary',
	init => [ allows_streaming => 1 ],
	conf => "max_connections = 20\n");
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
$primary->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = '*'});
$primary->reload;
my $session = session($primary);
wait_until('the standby is synchronous',
	sub { value($session, q{SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'}) });

# No launcher, no worker: the holes are left to the standby.
wait_until('there is no worker', sub { !worker_pid($session) });
my $launcher = launcher_pid($session);
kill 'STOP', $launcher;
my $hole = leave_hole($session);

# Writers until the primary is gone, who note what was acknowledged.
my @writers = map {
	my $number = $_;
	fork_client(
		sub {
			open my $ledger, '>', "$folder/$number" or die $!;
			$ledger->autoflush(1);
			my $writer = session($primary);
			1 while eval {
				$writer->do('BEGIN');
				my $got = value($writer, 'SELECT store_put(?, ?)', "key $number", 'value');
				my $end = rand() < 0.3 ? 'ROLLBACK' : 'COMMIT';
				$writer->do($end);
				print $ledger "$got\n" if $end eq 'COMMIT';
				1;
			};
		})
} 1 .. 4;
wait_until('there has been load',
	sub { value($session, 'SELECT last_value FROM store_sequence') > 200 });
$primary->kill9;
kill 'KILL', $launcher;
wait_clients(@writers);
$standby->promote;

$session = session($standby);
# A2
ok(wait_until('the hole is filled', sub { is_logged($session, $hole) }),
	'the new primary has holes filled by itself');
wait_complete($session);
my $seen = snapshot($session);
is(join("\n", problems($seen)), '', 'its log is complete');

# B9
my @acknowledged = map { split ' ', slurp_file("$folder/$_") } 1 .. @writers;
cmp_ok(scalar @acknowledged, '>', 50, 'there was something to lose');
is(join(' ', grep { !$seen->{log}{$_} || !@{ $seen->{log}{$_}{puts} } } @acknowledged),
	'', 'nothing that was acknowledged is missing');
# A4
cmp_ok(value($session, q{SELECT store_put('a', '1')}),
	'>', max($seen->{current}, @acknowledged), 'the numbers go on');
$hole = leave_hole($session);
is(wait_complete($session), $hole + 1, 'the new primary fills new holes');
is(join("\n", problems(snapshot($session))), '', 'all is well');
is_deeply([ verify($session) ], [], 'store_verify() finds nothing');

done_testing();
