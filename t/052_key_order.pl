# A9: of two writers of a key, the one that comes later also has the higher
# number, even if one of them had to wait in the middle of its batch.

use strict;
use warnings;

use DBD::Pg ':async';
use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $holder = session($node);
my $waiter = session($node);
my $other = session($node);
my $reader = session($node);

# Start a write that may have to wait for somebody; true if it does.
sub start_write
{
	my ($session, $sql) = @_;

	$session->do($sql, { pg_async => PG_ASYNC });
	return wait_until(
		'the write waits or is done',
		sub {
			return 'done' if $session->pg_ready;
			return value($reader,
				q{SELECT 'waits' FROM pg_stat_activity WHERE pid = ? AND wait_event_type = 'Lock'},
				$session->{pg_pid});
		}) eq 'waits';
}

# The waiter's batch has a key that the holder has locked.
sub while_holder_has_b
{
	my ($name, $waiting, $overtaking, $overtakes) = @_;

	$holder->do(q{BEGIN; SELECT store_put('b', 'holder')});
	ok(start_write($waiter, $waiting), "$name: the first waits");
	is(start_write($other, $overtaking) ? 'waits' : 'overtakes', $overtakes, "$name: the second $overtakes");
	$holder->do('COMMIT');
	$waiter->pg_result;
	$other->pg_result;
	is(join("\n", problems(snapshot($reader))), '', "$name: the table is the log replayed");
	return;
}

my $put_bc = q{SELECT store_put_batch('{b,c}', '{first,first}')};
my $put_ab = q{SELECT store_put_batch('{a,b}', '{first,first}')};
my $put_a = q{SELECT store_put('a', 'second')};
my $put_c = q{SELECT store_put('c', 'second')};
my $delete_a = q{SELECT store_delete_batch('{a}')};
my $delete_c = q{SELECT store_delete_batch('{c}')};
my $delete_ab = q{SELECT store_delete_batch('{a,b}')};
my $delete_bc = q{SELECT store_delete_batch('{b,c}')};

# In each pass keys are absent for the first time, then present or deleted.
for my $pass (1 .. 3)
{
	$reader->do($delete_a) if $pass == 3;
	$reader->do($delete_c) if $pass == 3;
	while_holder_has_b("put b c, put c, pass $pass", $put_bc, $put_c, 'overtakes');
	while_holder_has_b("delete a b, put a, pass $pass", $delete_ab, $put_a, 'waits');
	while_holder_has_b("put a b, delete a, pass $pass", $put_ab, $delete_a, 'waits');
	while_holder_has_b("delete a b, delete a, pass $pass", $delete_ab, $delete_a, 'waits');
	while_holder_has_b("delete b c, put c, pass $pass", $delete_bc, $put_c, 'overtakes');
	while_holder_has_b("put b c, delete c, pass $pass", $put_bc, $delete_c, 'overtakes');
	while_holder_has_b("delete b c, delete c, pass $pass", $delete_bc, $delete_c, 'overtakes');
}
is_deeply([ verify($reader) ], [], 'store_verify() finds nothing');

done_testing();
