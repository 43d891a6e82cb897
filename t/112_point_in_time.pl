# A base backup that is taken under load, and the archived WAL, make the store of
# any later point: a named one, an LSN, a time.  What had been acknowledged by
# then is there, what began later is not, and the numbers go on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BackupTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;
use Time::HiRes qw(time);

my $node = store_node('main',
	init => [ has_archiving => 1, allows_streaming => 1 ],
	conf => "max_connections = 20\n");
my $session = session($node);
my @cursor; # of a subscriber that has read everything

# Wait for load before and after a point: {setting, value, before, after}.  Who
# had been acknowledged before "before" is in it, and who began after "after"
# is not.
sub make_point
{
	my ($setting, $query) = @_;
	my %point = (setting => $setting);

	wait_load($session);
	$point{before} = time;
	$point{value} = value($session, $query);
	$point{after} = time;
	wait_load($session);
	return \%point;
}

# Restore the backup up to a point, and see what is there.
sub check_point
{
	my ($point, @acknowledged) = @_;
	my $setting = $point->{setting};
	my $restored = PostgreSQL::Test::Cluster->new($setting);

	$restored->init_from_backup($node, 'backup', has_restoring => 1, standby => 0);
	$restored->append_conf('postgresql.conf',
		"$setting = '$point->{value}'\nrecovery_target_action = promote\narchive_mode = off\n");
	$restored->start;
	my $there = session($restored);
	wait_until('recovery has ended', sub { !value($there, 'SELECT pg_is_in_recovery()') });
	wait_complete($there);
	my $seen = snapshot($there);

	# B9
	my @before = grep { $_->{end} < $point->{before} } @acknowledged;
	my @after = grep { $_->{begin} > $point->{after} } @acknowledged;
	cmp_ok(scalar @before, '>', 100, "$setting: something had been acknowledged");
	is(missing($seen, @before), '', "$setting: all of it is there");
	cmp_ok(scalar @after, '>', 50, "$setting: something was written later");
	is(scalar(grep { defined $seen->{pairs}{ $_->{key} } } @after),
		0, "$setting: nothing of it is there");
	# A2 A6 A9
	is(join("\n", complaints($there)), '', "$setting: all is well");
	# F8: a subscriber that has read more than is here cannot go on; whether it may
	# wait depends on whether there was a hole to fill, which begins a history
	my $read = "SELECT FROM store_read_log($cursor[0], since_history => '$cursor[1]')";
	like(failure($there, $read), qr/^SE00[34]$/,
		"$setting: what a subscriber has read is not there");
	# A4: but for those that are not here, as the history is another now
	my ($highest) = sort { $b <=> $a } keys %{ $seen->{log} };
	my $new = value($there, q{SELECT store_put('new', '1')});
	cmp_ok($new, '>', $highest, "$setting: the numbers go on");
	is(wait_complete($there), $new, "$setting: the log is complete up to it");
	is(join("\n", complaints($there)), '', "$setting: and all is still well");
	is(failure($there, $read), 'SE004', "$setting: nor will it be");
	$restored->stop;
	return;
}

start_load($node, 'postgres');
wait_load($session);
$node->backup('backup');

my @points = (
	make_point('recovery_target_name', q{SELECT 'here' FROM pg_create_restore_point('here')}),
	make_point('recovery_target_lsn', 'SELECT pg_current_wal_insert_lsn()'),
	make_point('recovery_target_time', 'SELECT clock_timestamp()'));
is(stop_load(), 0, 'the writers end');
my $last_segment = value($session, 'SELECT pg_walfile_name(pg_switch_wal())');
wait_until('the WAL is archived',
	sub { value($session, 'SELECT last_archived_wal >= ? FROM pg_stat_archiver', $last_segment) });

wait_complete($session);
@cursor = $session->selectrow_array('SELECT sequence_number, history FROM store_read_log(NULL)');

check_point($_, acknowledged()) for @points;
is(join("\n", complaints($session)), '', 'the original is well, too');

done_testing();
