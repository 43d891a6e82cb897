# The library of version 1.0, put back after an update, does what it did before,
# and what is not of its version fails with a clear error, the feed included; then
# the new one goes on where it left off.
#
# STORE_TEST_OLD_LIBRARY names the old library; scripts/check-upgrade builds it,
# and has the server's libraries in a folder in which they can be exchanged.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use BackupTest;
use File::Copy qw(copy);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $old = $ENV{STORE_TEST_OLD_LIBRARY};

plan skip_all => 'needs the library of version 1.0: see scripts/check-upgrade' if !$old;

my $node = store_node('main');
my $new = $node->config_data('--pkglibdir') . '/storeengine.so';
my $kept = PostgreSQL::Test::Utils::tempdir . '/storeengine.so';

copy($new, $kept) or die $!;
END { install($kept) if defined $kept && -e $kept }

# Put a library in the place of the one there, which may be in use.
sub install
{
	my ($library) = @_;

	copy($library, "$new.next") && rename "$new.next", $new or die "could not install $library: $!";
	return;
}

# Restart the server with a library.
sub restart_with
{
	my ($library) = @_;

	$node->stop;
	install($library);
	$node->start;
	return session($node);
}

my $session = session($node);
my $last = build_history($session);
$session->do('CREATE DATABASE unused');
session($node, 'unused')->do('CREATE EXTENSION storeengine');
$session->do('CREATE DATABASE not_updated');
session($node, 'not_updated')->do(q{CREATE EXTENSION storeengine VERSION '1.0'});
my $before = snapshot($session);

$session = restart_with($old);
is_deeply(snapshot($session), $before, 'the old library: everything is there');
is(value($session, q{SELECT store_put('old', '1')}), $last + 1, 'the old library: the numbers go on');
is(wait_complete($session), $last + 1, 'the old library: holes are filled');
is(join("\n", problems(snapshot($session))), '', 'the old library: all is well');
use_all(session($node, 'not_updated'), 'the old library, without an update');
use_all(session($node, 'unused'), 'the old library', qr/store_read_log/);

# What the old library does not have.  It does have a store_read_log(), which
# would not look at the history that it is given, and return a column too few:
# the function of version 1.1 must not find it.
for my $case (
	[ 'store_verify', 'SELECT * FROM store_verify()' ],
	[ 'store_history', 'SELECT store_history()' ],
	[ 'store_history', 'SELECT * FROM store_read_log(NULL)' ])
{
	my ($function, $sql) = @$case;

	next unless value($session, 'SELECT to_regproc(?)', $function);
	is(failure($session, $sql), '42883', "the old library: $sql is refused");
	like($session->errstr, qr/could not find function "\w+" in file/, 'for what it is');
}

my $between = snapshot($session);
$session = restart_with($kept);
is_deeply(snapshot($session), $between, 'the new library again: everything is there');
is(value($session, q{SELECT store_put('new', '1')}), $last + 2, 'the new library: the numbers go on');
is(wait_complete($session), $last + 2, 'the new library: the log is complete');
is(join("\n", complaints($session)), '', 'the new library: all is well');

done_testing();
