# Whatever the owner of the tables hangs on them - indexes, checks, defaults,
# domains, rules, policies, triggers - runs in the worker, and where a superuser
# looks at the status, with the owner's rights, and gets no others.  What it
# sets does not outlive it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $node = store_node('main', conf => "autovacuum = off\n");
my $admin = session($node);

$admin->do('CREATE ROLE joe LOGIN; CREATE SCHEMA joe AUTHORIZATION joe; GRANT ALL ON SCHEMA public TO joe');
$admin->do("ALTER TABLE $_ OWNER TO joe") for qw(store_kv store_batch_log store_control store_retention store_histories);
$admin->do('ALTER SEQUENCE store_sequence OWNER TO joe');
$admin->do('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO joe');

# Whatever calls joe.spy() notes who it is, and what it got away with.
my $joe = session($node, 'postgres', 'joe');
$joe->do(
	q{CREATE TABLE joe.seen (what text, who name, escapes text[]);
	  CREATE FUNCTION joe.spy(what text) RETURNS boolean LANGUAGE plpgsql AS $$
	  DECLARE
	    attempt text;
	    escapes text[] := '{}';
	  BEGIN
	    IF session_user <> 'joe' THEN
	      FOREACH attempt IN ARRAY ARRAY[
	        'RESET ROLE', 'SET SESSION AUTHORIZATION DEFAULT', 'ALTER ROLE joe SUPERUSER', 'CREATE ROLE jane',
	        'SET session_replication_role = replica', 'CREATE TEMP TABLE t ()', 'LISTEN storeengine',
	        'SELECT pg_read_file(''postgresql.conf'')', 'SELECT rolpassword FROM pg_authid'] LOOP
	        BEGIN
	          EXECUTE attempt;
	          escapes := escapes || attempt;
	        EXCEPTION WHEN OTHERS THEN
	        END;
	      END LOOP;
	      SET search_path = joe;
	      SET default_transaction_read_only = on;
	      SET synchronous_commit = off;
	      INSERT INTO joe.seen VALUES (what, current_user, escapes);
	    END IF;
	    RETURN true;
	  END $$;
	  CREATE FUNCTION joe.spy_immutable(what text, n bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
	  BEGIN PERFORM joe.spy(what); RETURN n; END $$;
	  CREATE FUNCTION joe.spy_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
	  BEGIN PERFORM joe.spy(tg_argv[0]); RETURN coalesce(new, old); END $$;
	  CREATE DOMAIN joe.spied AS integer CHECK (joe.spy('domain'));
	  CREATE TRIGGER noted BEFORE INSERT OR DELETE ON store_histories FOR EACH ROW EXECUTE FUNCTION joe.spy_trigger('history')});

# The history is noted for whoever writes first, here a superuser.
$admin->do(q{SELECT store_put('first', '')});
is(calls(), 'history', 'noting the history calls what hangs on it');

$joe->do(
	q{CREATE INDEX ON store_batch_log (joe.spy_immutable('index', stable));
	  CREATE INDEX ON store_batch_log (stable) WHERE joe.spy_immutable('predicate', stable) > 0;
	  CREATE STATISTICS joe.spied ON (joe.spy_immutable('statistics', stable)), written_at FROM store_batch_log;
	  ALTER TABLE store_batch_log ADD COLUMN by_default boolean, ADD COLUMN by_domain joe.spied DEFAULT 1,
	    ADD COLUMN generated bigint GENERATED ALWAYS AS (joe.spy_immutable('generated', sequence_number)) STORED;
	  ALTER TABLE store_batch_log ALTER by_default SET DEFAULT joe.spy('default');
	  ALTER TABLE store_batch_log ADD CHECK (joe.spy('check'));
	  CREATE TRIGGER statement BEFORE INSERT ON store_batch_log EXECUTE FUNCTION joe.spy_trigger('statement');
	  CREATE TRIGGER pruned AFTER DELETE ON store_batch_log FOR EACH ROW EXECUTE FUNCTION joe.spy_trigger('pruned');
	  CREATE RULE also AS ON DELETE TO store_batch_log DO ALSO SELECT joe.spy('rule');
	  ALTER TABLE store_control ADD COLUMN by_default boolean DEFAULT joe.spy('control default');
	  CREATE TRIGGER control BEFORE INSERT OR DELETE ON store_control FOR EACH ROW EXECUTE FUNCTION joe.spy_trigger('control');
	  ALTER TABLE store_retention ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	  CREATE POLICY spied ON store_retention USING (joe.spy('policy'))});

# What was called, in the worker or by the superuser, since the last time.
sub calls
{
	my $wrong = value($admin,
		q{SELECT string_agg(format('%s as %s: %s', what, who, escapes), '; ')
		  FROM joe.seen WHERE who <> 'joe' OR escapes <> '{}'});

	is($wrong, undef, '... with the rights of joe, and no way out');
	my $calls = join ' ', sort map { $_->[0] } @{ $admin->selectall_arrayref('SELECT DISTINCT what FROM joe.seen') };
	$admin->do('TRUNCATE joe.seen');
	return $calls;
}

# The superuser's own writes would run all that as the superuser, as plain SQL
# does, so joe writes.
my $hole = leave_hole($joe);
wait_until('the hole is filled', sub { is_logged($admin, $hole) });
# before it fills, the worker has looked for a rule
like(calls(), qr/^check default domain generated index (policy )?predicate statement$/, 'filling a hole calls what hangs on the log');

$joe->do(q{SELECT store_put('a', 'x') FROM generate_series(1, 50)});
$joe->do(q{INSERT INTO store_retention VALUES (true, '{"keepLatest": {"count": "10"}, "maxAge": "1 day", "maxBytes": "1000000"}')});
$joe->do(q{SELECT store_put('a', 'y')});
wait_until('the worker prunes', sub { value($admin, 'SELECT store_oldest_retained_batch() > 40') });
like(calls(), qr/control.* policy pruned rule/, 'the worker prunes');

# A superuser looks at the status.
is(value($admin, 'SELECT retention IS NOT NULL FROM store_status'), 1, 'the status is told');
like(calls(), qr/\bpolicy\b/, 'the status calls what hangs on the rule');

# A policy on the log, forced upon its owner, is in the way of pruning; telling
# the status and counting bytes goes by it.
$joe->do(q{ALTER TABLE store_batch_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	CREATE POLICY spied ON store_batch_log USING (joe.spy('policy of the log'))});
is(value($admin, 'SELECT oldest_written_at IS NOT NULL FROM store_status'), 1, 'the status is told');
like(calls(), qr/policy of the log/, 'the status calls what hangs on the log');
$joe->do(q{SELECT store_put('a', 'z')});
is(wait_until('the worker fails', sub { value($admin, 'SELECT last_error FROM store_status') }),
	'cannot prune the batch log under row-level security', 'the worker may not prune');
calls();
$joe->do('ALTER TABLE store_batch_log DISABLE ROW LEVEL SECURITY');
# G2
my $last = value($joe, q{SELECT store_put('a', 'z')});
ok(wait_until('the worker prunes', sub { value($admin, 'SELECT store_oldest_retained_batch() >= ?', $last - 10) }),
	'without the policy it prunes');

# Code that sees to it that a later statement means something else.
$joe->do(
	q{CREATE FUNCTION joe.alter_log() RETURNS boolean LANGUAGE plpgsql AS $$
	  BEGIN
	    IF session_user <> 'joe' THEN
	      ALTER TABLE public.store_batch_log ALTER written_at TYPE text;
	      INSERT INTO joe.seen VALUES ('altered', current_user, '{}');
	    END IF;
	    RETURN true;
	  END $$;
	  CREATE POLICY alters ON store_retention AS RESTRICTIVE USING (joe.alter_log())});
$joe->do('TRUNCATE joe.seen');
is(failure($admin, 'SELECT * FROM store_status'), '55000', 'a table altered in the midst is noticed');
like($admin->errstr, qr/column "written_at" of table "store_batch_log" has been altered/, '... and named');
my $log = -s $node->logfile;
$joe->do(q{SELECT store_put('b', '1')});
ok(wait_until('the worker fails',
		sub { slurp_file($node->logfile, $log) =~ /ERROR:  column "written_at" of table "store_batch_log" has been altered/ }),
	'also by the worker');
$joe->do('DROP POLICY alters ON store_retention');
$hole = leave_hole($joe);
ok(wait_until('the hole is filled', sub { is_logged($admin, $hole) }), 'the worker works on');
is(value($admin, q{SELECT rolsuper::int FROM pg_roles WHERE rolname = 'joe'}), 0, 'joe is what he was');
is(value($admin, q{SELECT count(*) FROM pg_roles WHERE rolname = 'jane'}), 0, 'and alone');

done_testing();
