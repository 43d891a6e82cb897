# What hangs on the log runs in the worker with the rights of the log's owner,
# not with those of a superuser.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $admin = session($node);

$admin->do('CREATE ROLE joe LOGIN; CREATE SCHEMA joe AUTHORIZATION joe');
$admin->do('GRANT ALL ON SCHEMA public TO joe');
$admin->do('ALTER TABLE store_batch_log OWNER TO joe');

my $joe = session($node, 'postgres', 'joe');
$joe->do(
	q{CREATE TABLE joe.seen (trigger name, who name, can_reset boolean);
	  CREATE FUNCTION joe.look() RETURNS trigger LANGUAGE plpgsql AS $$
	  DECLARE
	    can_reset boolean := true;
	  BEGIN
	    BEGIN
	      RESET ROLE;
	      SET SESSION AUTHORIZATION DEFAULT;
	    EXCEPTION WHEN insufficient_privilege THEN
	      can_reset := false;
	    END;
	    INSERT INTO joe.seen VALUES (tg_name, current_user, can_reset);
	    RETURN new;
	  END$$;
	  CREATE TRIGGER each_row BEFORE INSERT ON store_batch_log
	    FOR EACH ROW WHEN (new.payload = '') EXECUTE FUNCTION joe.look();
	  CREATE TRIGGER each_row_after AFTER INSERT ON store_batch_log
	    FOR EACH ROW WHEN (new.payload = '') EXECUTE FUNCTION joe.look();
	  ALTER TABLE store_batch_log ENABLE ALWAYS TRIGGER each_row});

my $hole = leave_hole($admin);
ok(wait_until('the hole is filled', sub { is_logged($admin, $hole) }), 'a hole is filled');
is_deeply(
	$admin->selectall_arrayref('SELECT trigger, who, can_reset FROM joe.seen ORDER BY 1'),
	[ [ 'each_row', 'joe', 0 ], [ 'each_row_after', 'joe', 0 ] ],
	'triggers run with the rights of joe, and cannot get others');

# A deferred one would run at commit, when the rights are ours again.
$joe->do('DROP TRIGGER each_row ON store_batch_log; DROP TRIGGER each_row_after ON store_batch_log');
$joe->do('TRUNCATE joe.seen');
$joe->do(
	q{CREATE CONSTRAINT TRIGGER late AFTER INSERT ON store_batch_log
	  DEFERRABLE INITIALLY DEFERRED
	  FOR EACH ROW WHEN (new.payload = '') EXECUTE FUNCTION joe.look()});
my $log = -s $node->logfile;
$hole = leave_hole($admin);
wait_until(
	'the worker has tried',
	sub {
		is_logged($admin, $hole)
		  || PostgreSQL::Test::Utils::slurp_file($node->logfile, $log) =~ /ERROR:  cannot fire deferred trigger/;
	});
is(value($admin, q{SELECT count(*) FROM joe.seen WHERE who <> 'joe'}), 0,
	'a deferred trigger gets no other rights either');

$joe->do('DROP TRIGGER late ON store_batch_log');
# A2
ok(wait_until('the hole is filled', sub { is_logged($admin, $hole) }), 'without it the hole is filled');

done_testing();
