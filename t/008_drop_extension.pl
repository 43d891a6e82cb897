# DROP EXTENSION and CREATE EXTENSION again, in the midst of sessions that have
# used the store: they find the new one.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $admin = session($node);

# Sessions that have been used, each in another way.
my %session = map { $_ => session($node) } qw(plain prepared function reader bystander);
$session{prepared}->do(q{PREPARE write AS SELECT store_put('prepared', '1')});
$session{prepared}->do(q{PREPARE read AS SELECT count(*) FROM store_range_scan()});
$session{function}->do(
	q{CREATE FUNCTION write() RETURNS bigint LANGUAGE plpgsql AS
	  $$BEGIN RETURN store_put('function', '1'); END$$});

my %write = (
	plain => q{SELECT store_put('plain', '1')},
	prepared => 'EXECUTE write',
	function => 'SELECT write()');
my %read = (
	prepared => 'EXECUTE read',
	reader => 'SELECT count(*) FROM store_range_scan()',
	plain => q{SELECT count(value) FROM store_get_many('{plain,prepared,function}')});

# Have each session write and read; the numbers they got.
sub use_store
{
	my @numbers = map { value($session{$_}, $write{$_}) } sort keys %write;

	value($session{$_}, $read{$_}) >= 3 or die "$_ does not see 3 keys"
	  for sort keys %read;
	return join ' ', @numbers;
}

is(use_store(), '1 2 3', 'the first store');
is(use_store(), '4 5 6', 'the first store, with everything cached');

# A session that is in a transaction, but not in the store.
$session{bystander}->do('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
$admin->do('DROP EXTENSION storeengine');
is(failure($session{plain}, $write{plain}), '42883', 'no store, no function');
$admin->do('CREATE EXTENSION storeengine');
is(value($session{bystander}, 'SELECT store_current_sequence()'), 0,
	'a transaction that has begun before does not mind');
$session{bystander}->do('COMMIT');
# A1
is(use_store(), '1 2 3', 'a new store starts at 1');
is(use_store(), '4 5 6', 'and goes on');

$admin->do('BEGIN; DROP EXTENSION storeengine; ROLLBACK');
# A4
is(use_store(), '7 8 9', 'DROP rolled back: the numbers go on');

$admin->do('BEGIN; DROP EXTENSION storeengine; CREATE EXTENSION storeengine');
is(value($admin, q{SELECT store_put('a', '1')}), 1, 'a new store in a transaction');
$admin->do('ROLLBACK');
is(use_store(), '10 11 12', 'rolled back: the old one is there');
is(wait_complete($admin), 12, 'and complete');
is(join("\n", problems(snapshot($admin))), '', 'with all its data');

$admin->do('BEGIN; DROP EXTENSION storeengine; CREATE EXTENSION storeengine');
is(value($admin, q{SELECT store_put('plain', '0')}), 1, 'a new store in a transaction');
$admin->do('COMMIT');
is(use_store(), '2 3 4', 'committed: all go on with the new one');

# In another schema, that has to be quoted.
$admin->do('DROP EXTENSION storeengine; CREATE SCHEMA "other Schema"');
$admin->do('CREATE EXTENSION storeengine SCHEMA "other Schema"');
$_->do('SET search_path = "other Schema", public') for values %session, $admin;
is(use_store(), '1 2 3', 'a new store in another schema');
leave_hole($session{plain});
is(wait_complete($admin), 5, 'its holes are filled');
is(value($session{reader}, 'SELECT worker_state IN (\'idle\', \'running\') FROM store_status'),
	1, 'its status can be read');

# The schema changes its name.
$admin->do('ALTER SCHEMA "other Schema" RENAME TO renamed');
$_->do('SET search_path = renamed, public') for values %session, $admin;
is(use_store(), '6 7 8', 'the schema renamed');
is(join("\n", problems(snapshot($admin))), '', 'all is well');

done_testing();
