# The retention rule is kept by the worker: while there are writers and when
# there are none, after a crash, a restore and a promotion, whatever the time
# it takes.  What goes wrong is told, and keeps the worker from nothing else.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = store_node('main', init => [ allows_streaming => 1 ]);
my $session = session($node);

sub oldest
{
	my ($in) = @_;

	return value($in // $session, 'SELECT coalesce(store_oldest_retained_batch(), 0)');
}

sub put
{
	my ($count, $in) = @_;

	value($in // $session, q{SELECT count(store_put('k', 'v')) FROM generate_series(1, ?::int)}, $count);
	return wait_complete($in // $session);
}

# G1 G2: more than one transaction of the worker can prune
$session->do(q{SELECT store_set_retention('{"keepLatest": {"count": 100}}')});
my $current = put(5500);
ok(wait_until('the worker has pruned', sub { oldest() == $current - 99 }), 'the latest are kept');
is(value($session, 'SELECT retention_lag FROM store_status'), 0, 'no lag');
is(value($session, 'SELECT last_prune_at > now() - interval \'1 hour\' FROM store_status'), 1, 'the time is known');
is(value($session, 'SELECT last_error FROM store_status'), undef, 'no error');

# G4: a writer in flight delays retention, not the other way round
my $writer = session($node);
$writer->do('BEGIN');
my $held = value($writer, q{SELECT store_put('held', '1')});
$session->do(q{SELECT store_put('k', 'v') FROM generate_series(1, 300)});
is(oldest(), $held - 100, 'nothing is pruned beyond a writer in flight');
$writer->do('COMMIT');
ok(wait_until('the worker has pruned', sub { oldest() == $held + 300 - 99 }), 'afterwards it is');

# G2: the rule survives a crash, and needs no writer to be kept
$session->do(q{SELECT store_set_retention('{"maxAge": "3 seconds"}')});
$current = put(10);
crash($node);
$session = session($node);
is(value($session, 'SELECT rule->>\'maxAge\' FROM store_retention'), '3 seconds', 'the rule is there after a crash');
ok(wait_until('the log is empty', sub { oldest() == 0 }), 'and is kept though nobody writes');
ok(wait_until('the worker has left', sub { !worker_pid($session) }), 'the worker does not stay for it');
# A5
is(value($session, 'SELECT store_current_sequence()'), $current, 'the current number stays');

# Deletion has to wait for an old snapshot to end, but what it shows is whole.
$session->do(q{SELECT store_set_retention('{"keepLatest": {"count": 10}}')});
$current = put(100);
wait_until('the worker has pruned', sub { oldest() == $current - 9 });
my $reader = session($node);
$reader->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $seen = snapshot_of($reader);
put(7000);
wait_until('the worker has pruned', sub { oldest() == $current + 7000 - 9 });
is(snapshot_of($reader), $seen, 'an old snapshot still shows the log that it showed');
$reader->do('COMMIT');

sub snapshot_of
{
	my ($in) = @_;

	return join ' ', map { "$_->[0]$_->[1]" }
	  @{ $in->selectall_arrayref('SELECT sequence_number, op FROM store_read_log(?)', undef, oldest($in) - 1) };
}

# A rule that cannot be kept: the worker says so, and does all else.
$session->do(
	q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not this one'; END$$;
	  CREATE TRIGGER refuse BEFORE DELETE ON store_batch_log FOR EACH ROW EXECUTE FUNCTION refuse()});
my $log = -s $node->logfile;
put(20);
ok(wait_until('the error is known', sub { value($session, q{SELECT last_error = 'not this one' FROM store_status}) }),
	'store_status tells the last error');
ok(value($session, 'SELECT last_error_at > now() - interval \'1 hour\' FROM store_status'), 'and when it was');
cmp_ok(value($session, 'SELECT retention_lag FROM store_status'), '>=', 20, 'and how far the rule lags');
my $hole = leave_hole($session);
# A2 F5
is(wait_complete($session), $hole + 1, 'holes are filled nevertheless');
$session->do('LISTEN storeengine');
$current = put(1);
ok(wait_until('told', sub { my $told = $session->pg_notifies; $told && $told->[2] >= $current }), 'listeners are told');
$session->do('UNLISTEN storeengine');
wait_until('it has tried again', sub {
	my @errors = slurp_file($node->logfile, $log) =~ /ERROR:  not this one/g;
	@errors > 3;
});
$session->do('DROP TRIGGER refuse ON store_batch_log');
ok(wait_until('the worker has pruned', sub { oldest() == $current - 9 }), 'it gets over it without being asked');

# Who locks what the worker is to change does not stop it for long.
my $locker = session($node);
$locker->do(q{BEGIN; SELECT number FROM store_control WHERE item = 'floor' FOR UPDATE});
$current = put(50);
ok(wait_until('it has given up', sub {
		value($session, q{SELECT last_error = 'canceling statement due to lock timeout' FROM store_status})
	}), 'the worker does not wait for a lock for ever');
$hole = leave_hole($session);
is(wait_complete($session), $hole + 1, 'holes are filled meanwhile');
$locker->do('COMMIT');
ok(wait_until('the worker has pruned', sub { oldest() == $hole + 1 - 9 }), 'what it gave up is made up for');

# Nor does somebody who is pruning.
$locker->do('BEGIN; SELECT store_prune_batch_log(1000000)');
$hole = leave_hole($session);
is(wait_complete($session), $hole + 1, 'holes are filled while somebody prunes');
$locker->do('ROLLBACK');
ok(wait_until('the worker has pruned', sub { oldest() == $hole + 1 - 9 }), 'and then the rule is kept');

# G4: bytes are counted right, whoever prunes.  Each of these batches takes 8.
sub tally
{
	return value($session, q{SELECT coalesce(max(number), 0) FROM store_control WHERE item = 'tally'});
}

$session->do(q{SELECT store_set_retention('{"maxBytes": 100000}')});
$current = put(3000);
wait_until('bytes have been counted', sub { tally() >= $current - 1000 });
my $cutoff = $current - 1000;
$session->do('SELECT store_prune_batch_log(?)', undef, $cutoff);
$current = put(11000);
wait_until('bytes have been counted', sub { tally() >= $current - 1000 });
is(oldest(), $cutoff, 'what fits is kept, what had been pruned does not count');
$current = put(500);
ok(wait_until('the worker has pruned', sub { oldest() == $current - 12500 + 1 }), 'what does not fit goes');

# The same if what is pruned ends where counting did, and if the pruner's
# snapshot is older than the count.
$session->do('SELECT store_prune_batch_log(store_current_sequence() + 1)');
$session->do(q{SELECT store_set_retention('{"maxBytes": 20000}')});
$current = put(2000);
my $counted = wait_until('bytes have been counted', sub { tally() > $current - 1000 && tally() });
$session->do('SELECT store_prune_batch_log(?)', undef, $counted + 1);
$current = put(2000);
wait_until('bytes have been counted', sub { tally() > $counted });
is(oldest(), $counted + 1, 'up to what has been counted');

$current = put(1);
wait_until('the worker has nothing to do', sub { !worker_pid($session) });
$session->do('SELECT store_prune_batch_log(store_current_sequence())');
put(900);
wait_until('the worker has nothing to do', sub { !worker_pid($session) });
$locker->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
$cutoff = value($locker, 'SELECT store_current_sequence() - 1');
my $before = tally();
$session->do(q{SELECT store_put('k', 'v') FROM generate_series(1, 499)});
$session->do(q{SELECT store_put('k', 'v') FROM generate_series(1, 1001)});
wait_until('more bytes have been counted', sub { tally() > $before });
wait_until('the worker has nothing to do', sub { !worker_pid($session) });
$locker->do('SELECT store_prune_batch_log(?)', undef, $cutoff);
$locker->do('COMMIT');
put(900);
# In one look: whether the worker has been there yet must not matter.
is(join(' ', $session->selectrow_array('SELECT retention_lag, oldest_retained FROM store_status')),
	"0 $cutoff", 'by a pruner with an old snapshot');

# G2: a rule that is set while the worker is there is kept from then on, and
# many batches that are too old at once go at once, though nobody writes.
$current = put(5500);
$session->do(q{SELECT store_set_retention('{"maxAge": "2 seconds"}')});
my $began = time;
ok(wait_until('the log is empty', sub { oldest() == 0 }), 'a rule set while a worker is there is kept');
cmp_ok(time - $began, '<', 15, 'at once');

# Whoever owns the log can neither have the worker run code as superuser, nor
# take for something else what it reads.
$session->do('CREATE DATABASE owned');
my $owned = session($node, 'owned');
$owned->do('CREATE EXTENSION storeengine; CREATE ROLE mallory LOGIN; GRANT ALL ON SCHEMA public TO mallory');
$owned->do("ALTER TABLE $_ OWNER TO mallory") for qw(store_batch_log store_control store_retention);
$owned->do(q{SELECT store_put('k', 'v'); SELECT store_set_retention('{"maxBytes": 1000}')});
my $mallory = session($node, 'owned', 'mallory');
$mallory->do(
	q{CREATE TYPE evil AS (b bytea);
	  CREATE FUNCTION evil(evil) RETURNS bytea LANGUAGE plpgsql AS $$
	  BEGIN
	    CREATE TABLE IF NOT EXISTS ran AS SELECT current_user AS who;
	    RETURN ($1).b;
	  END$$;
	  CREATE CAST (evil AS bytea) WITH FUNCTION evil(evil) AS IMPLICIT;
	  ALTER TABLE store_batch_log ALTER payload TYPE evil USING row(payload)::evil});
$mallory->do(q{UPDATE store_retention SET rule = '{"maxBytes": 1}'});
like(failure($owned, 'SELECT retention_lag FROM store_status'), qr/^55000$/, 'an altered log is not read');
$owned->do(q{CREATE FUNCTION noticed() RETURNS boolean LANGUAGE sql AS 'SELECT true'});
$owned->do('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = \'storeengine worker\'');
$log = -s $node->logfile;
$owned->do(q{INSERT INTO store_batch_log VALUES (2, 0, now(), row('')::evil); SELECT setval('store_sequence', 2)});
is(failure($owned, 'SELECT store_current_sequence()'), '55000', 'nor is it walked');
is(value($owned, q{SELECT to_regclass('ran')}), undef, 'nobody ran what its owner hung on it');
is(value($owned, q{SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'}), 0, 'who got no other rights');

# The rule is dumped, and kept where it is restored.
$session->do(q{SELECT store_set_retention('{"keepLatest": {"count": 7}}')});
my $dump = "$PostgreSQL::Test::Utils::tmp_check/retention.sql";
command_ok([ 'pg_dump', '--file', $dump, $node->connstr('postgres') ], 'dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'psql', '--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', '--file', $dump, $node->connstr('restored') ], 'restore');
my $restored = session($node, 'restored');
$current = put(20, $restored);
# G2
ok(wait_until('the worker has pruned', sub { oldest($restored) == $current - 6 }), 'the rule is kept in the restored store');

# ... and where a standby is promoted
my $standby = PostgreSQL::Test::Cluster->new('standby');
$node->backup('backup');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$session->do(q{SELECT store_set_retention('{"keepLatest": {"count": 5}}')});
$node->wait_for_catchup($standby, 'replay');
my $there = session($standby);
is(failure($there, q{SELECT store_set_retention(NULL)}), '25006', 'no rule can be set on a standby');
is(value($there, q{SELECT retention->'keepLatest'->>'count' FROM store_status}), 5, 'but it is known');
$standby->promote;
wait_until('it accepts writes', sub { !failure($there, q{SELECT store_put('k', 'v')}) });
$current = put(20, $there);
ok(wait_until('the worker has pruned', sub { oldest($there) == $current - 4 }), 'after promotion the rule is kept there');
is_deeply([ verify($_->[1]) ], [], "store_verify() finds nothing $_->[0]")
  for [ 'in the store', $session ], [ 'where it was restored', $restored ], [ 'where it was promoted', $there ];

done_testing();
