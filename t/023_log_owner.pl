# The worker does its work when one role owns the log and others own the other
# tables, also after a long writer.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $session = session($node);
my $writer = session($node);

$session->do('CREATE ROLE joe; ALTER TABLE store_batch_log OWNER TO joe');

# Readers face a long walk now, and there is a hole at its end.
$writer->do('BEGIN');
$writer->do(q{SELECT store_put('long', '1')});
$session->do(q{SELECT store_put('a', '1') FROM generate_series(1, 1000)});
my $hole = leave_hole($session);
$writer->do('COMMIT');

# A2
ok(wait_until('the hole is filled', sub { is_logged($session, $hole) }), 'the hole is filled');
is(wait_complete($session), $hole + 1, 'the log is complete');

done_testing();
