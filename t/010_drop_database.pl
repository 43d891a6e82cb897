# A database can be dropped and renamed right after writes that call the
# worker: the worker gets out of the way.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main', extension => 0);
my $admin = session($node);

# Have a worker work in a database, and leave it.
sub employ_worker
{
	my ($database) = @_;
	my $session = session($node, $database);

	leave_hole($session) for 1 .. 5;
	wait_until('there is a worker', sub { worker_pid($session) });
	$session->disconnect;
}

for my $round (1 .. 3)
{
	$admin->do('CREATE DATABASE doomed');
	session($node, 'doomed')->do('CREATE EXTENSION storeengine');
	employ_worker('doomed');
	is(failure($admin, 'DROP DATABASE doomed'), '', "DROP DATABASE $round")
	  or diag $admin->errstr;
}

# Nor does a worker stay for those who do not wait any more.
$admin->do('CREATE DATABASE doomed');
{
	my $waiter = session($node, 'doomed');

	$waiter->do('CREATE EXTENSION storeengine');
	$waiter->do(q{SELECT store_put('k', 'v')});
	$waiter->do(q{CALL store_wait_for_sequence(100, '100 ms')});
	$waiter->disconnect;
}
is(failure($admin, 'DROP DATABASE doomed'), '', 'DROP DATABASE after a wait') or diag $admin->errstr;

$admin->do('CREATE DATABASE old_name');
session($node, 'old_name')->do('CREATE EXTENSION storeengine');
employ_worker('old_name');
is(failure($admin, 'ALTER DATABASE old_name RENAME TO new_name'), '', 'ALTER DATABASE RENAME')
  or diag $admin->errstr;

my $session = session($node, 'new_name');
# A2 A4
my $hole = leave_hole($session);
is(wait_complete($session), $hole + 1, 'the store goes on under the new name');
is(join("\n", problems(snapshot($session))), '', 'all is well');

done_testing();
