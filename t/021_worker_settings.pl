# Defaults of the database and of roles do not keep the worker from its work.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main', extension => 0);
my $admin = session($node);
my $superuser = value($admin, 'SELECT current_user');

# Sets a database up, and has a hole filled there under a default.
sub filled_with
{
	my ($name, $default, @clean_up) = @_;

	$admin->do("CREATE DATABASE $name");
	my $session = session($node, $name);
	$session->do('CREATE EXTENSION storeengine; CREATE SCHEMA empty');
	$admin->do($default);
	# This session is from before the default, the worker from after.
	my $hole = leave_hole($session);
	ok(wait_until('the hole is filled', sub { is_logged($session, $hole) }), $default);
	$admin->do($_) for @clean_up;
}

# A2
my $number = 0;
for my $setting (
	'default_transaction_read_only = on',
	'default_transaction_isolation = serializable',
	q{default_transaction_isolation = 'repeatable read'},
	'default_transaction_deferrable = on',
	q{statement_timeout = '1ms'},
	q{lock_timeout = '1ms'},
	q{idle_in_transaction_session_timeout = '1ms'},
	($node->pg_version >= 17 ? q{transaction_timeout = '1ms'} : ()),
	'synchronous_commit = off',
	'search_path = empty',
	'row_security = off',
	'session_replication_role = replica',
	'role = pg_monitor',
	'session_authorization = pg_monitor')
{
	$number++;
	filled_with("store$number", "ALTER DATABASE store$number SET $setting");
}

filled_with(
	'store_role',
	qq{ALTER ROLE "$superuser" SET statement_timeout = '1ms'},
	qq{ALTER ROLE "$superuser" RESET statement_timeout});
filled_with(
	'store_both',
	qq{ALTER ROLE "$superuser" IN DATABASE store_both SET default_transaction_read_only = on});
filled_with('store_limit', 'ALTER DATABASE store_limit CONNECTION LIMIT 0');

# A setting by which an error ends the session would keep it from being noted.
$admin->do('CREATE DATABASE store_error');
my $session = session($node, 'store_error');
$session->do('CREATE EXTENSION storeengine');
$admin->do('ALTER DATABASE store_error SET exit_on_error = on');
$session->do(
	q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not now'; END$$;
	  CREATE TRIGGER refuse BEFORE INSERT ON store_batch_log
	  FOR EACH ROW WHEN (new.payload = '') EXECUTE FUNCTION refuse()});
my $hole = leave_hole($session);
is(wait_until('the error is told', sub { value($session, 'SELECT last_error FROM store_status') }),
	'not now', 'exit_on_error = on');
$session->do('DROP TRIGGER refuse ON store_batch_log');
ok(wait_until('the hole is filled', sub { is_logged($session, $hole) }), 'the hole is filled after all');

done_testing();
