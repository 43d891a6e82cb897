# storeengine.max_databases limits how many databases are written to; the
# place of a dropped one is free for another.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main', extension => 0, conf => <<~CONF);
	storeengine.max_databases = 2
	log_min_messages = debug1
	CONF
my $admin = session($node);
my %session;

# The one that is looked at first after a restart is not the one that is used
# first.
for my $name (qw(third first second))
{
	$admin->do("CREATE DATABASE $name");
	$session{$name} = session($node, $name);
	$session{$name}->do('CREATE EXTENSION storeengine');
}

is(value($session{first}, q{SELECT store_put('a', '1')}), 1, 'a first database can be written to');
is(value($session{second}, q{SELECT store_put('a', '1')}), 1, 'a second one, too');
is(failure($session{third}, q{SELECT store_put('a', '1')}), '53400', 'a third one cannot');
like($session{third}->errstr, qr/HINT:.*storeengine\.max_databases/, 'with a hint');
is(value($session{third}, 'SELECT store_current_sequence()'), 0, 'but it can be read');

# The launcher's round through all databases gives no place away.
my $log_size = -s $node->logfile;
$_->disconnect for values %session;
$node->restart;
$admin = session($node);
%session = map { $_ => session($node, $_) } keys %session;
wait_until('a worker has been everywhere',
	sub { 3 == grep { worker_has_left($node, $_, $log_size) } values %session });
is(failure($session{first}, q{SELECT store_put('a', '1')}), '', 'the first one after a restart');
is(failure($session{second}, q{SELECT store_put('a', '1')}), '', 'the second one after a restart');

$session{first}->disconnect;
$admin->do('DROP DATABASE first');
# A1
is(value($session{third}, q{SELECT store_put('a', '1')}), 1,
	'when another is dropped, it can be written to');
# A2
my $hole = leave_hole($session{third});
is(wait_complete($session{third}), $hole + 1, 'and its holes are filled');
is(value($session{second}, q{SELECT store_put('a', '1')}), 3, 'the second one goes on');

# A2: a crash leaves holes in both, of which one does not get a place afterwards.
my (%above, @open);
for my $name (qw(second third))
{
	my $open = session($node, $name);
	push @open, $open;
	$open->do('BEGIN');
	$open->do(q{SELECT store_put('open', '')});
	$above{$name} = value($session{$name}, q{SELECT store_put('above', '')});
	push @open, $open;
}
$node->append_conf('postgresql.conf', 'storeengine.max_databases = 1');
crash($node);
%session = map { $_ => session($node, $_) } qw(second third);
is(wait_complete($session{$_}), $above{$_}, "the hole of the $_ is filled") for qw(second third);
is_deeply([ sort map { failure($_, q{SELECT store_put('a', '1')}) } values %session ],
	[ '', '53400' ], 'though there is no place for one of them');
is_deeply([ verify($session{$_}) ], [], "store_verify() finds nothing in the $_") for qw(second third);

done_testing();
