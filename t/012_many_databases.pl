# Holes are filled in every database that has a store.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main', extension => 0);
my $admin = session($node);
my @names = map { "store$_" } 1 .. 5;
my %session;

# Leave holes in all databases at once; the numbers.
sub leave_holes
{
	my ($what) = @_;
	my %hole;

	wait_until('there is no worker',
		sub { value($admin, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'storeengine worker'}) });
	my $launcher = launcher_pid($admin);
	kill 'STOP', $launcher;
	$hole{$_} = leave_hole($session{$_}) for @names;
	return ($launcher, \%hole);
}

for my $name (@names)
{
	$admin->do("CREATE DATABASE $name");
	$session{$name} = session($node, $name);
	$session{$name}->do('CREATE EXTENSION storeengine');
}

# A2
my ($launcher, $hole) = leave_holes();
kill 'CONT', $launcher;
ok(wait_until('the hole is filled', sub { is_logged($session{$_}, $hole->{$_}) }),
	"$_: a hole is filled")
  for @names;

# The launcher's round after a start gets everywhere.
($launcher, $hole) = leave_holes();
crash($node, $launcher);
%session = map { $_ => session($node, $_) } @names;
ok(wait_until('the hole is filled', sub { is_logged($session{$_}, $hole->{$_}) }),
	"$_: a hole from before a crash is filled")
  for @names;

done_testing();
