# G3: once a rule is cleared, nobody prunes by it, though the worker may have
# read it before.

use strict;
use warnings;

use DBD::Pg ':async';
use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $session = session($node);
my $locker = session($node);
my $clearer = session($node);

# The worker reads the rule as the owner of its table, whose policy waits.
$session->do(
	q{CREATE ROLE joe;
	  CREATE FUNCTION wait() RETURNS boolean LANGUAGE plpgsql AS $$
	  BEGIN
		IF current_user = 'joe' THEN
			PERFORM pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1);
		END IF;
		RETURN true;
	  END$$;
	  ALTER TABLE store_retention OWNER TO joe;
	  ALTER TABLE store_retention ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	  CREATE POLICY waits ON store_retention USING (public.wait())});
$session->do(q{SELECT store_set_retention('{"keepLatest": {"count": 3}}')});
$locker->do('SELECT pg_advisory_lock(1)');
$session->do(q{SELECT store_put('a', '')}) for 1 .. 5;
wait_until(
	'the worker reads the rule',
	sub {
		value($session, q{SELECT true FROM pg_stat_activity
						  WHERE backend_type = 'storeengine worker' AND wait_event = 'advisory'});
	});

my $query = $clearer->prepare('SELECT store_set_retention(NULL)', { pg_async => PG_ASYNC });
$query->execute;
wait_until(
	'the rule is cleared, or the worker is waited for',
	sub {
		$clearer->pg_ready
		  || value($session, q{SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = ?},
			$clearer->{pg_pid});
	});
if ($clearer->pg_ready)
{
	$session->do(q{SELECT store_put('a', '')}) for 1 .. 5;
}
$locker->do('SELECT pg_advisory_unlock(1)');
$clearer->pg_result;
my ($oldest) = $query->fetchrow_array;

# Whatever the worker still does by the rule, it does before it leaves.
$session->do(q{SELECT store_put('a', '')}) for 1 .. 10;
wait_until('it has left', sub { !worker_pid($session) });
is(value($session, 'SELECT store_oldest_retained_batch()'), $oldest,
	'what was there when the rule was cleared stays');
is_deeply([ verify($session) ], [], 'store_verify() finds nothing');

done_testing();
