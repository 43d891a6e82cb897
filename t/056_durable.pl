# What the ends of the log have been seen at is not lost in a crash, though
# the settings do not ask for durable commits.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

# Nobody flushes the WAL who does not have to.
my $node = store_node('main', conf => <<'CONF');
synchronous_commit = off
wal_writer_delay = 10s
CONF
my $session = session($node);

# D5
$session->do(q{SELECT store_put('a', '1')}) for 1 .. 5;
is(value($session, 'SELECT store_prune_batch_log(4)'), 3, 'prune');
is(value($session, 'SELECT store_oldest_retained_batch()'), 4, 'it has been seen');
crash($node);
$session = session($node);
is(value($session, 'SELECT store_oldest_retained_batch()'), 4, 'the prune has survived');

# A5: the batch above the hole is durable, so the hole's filling must be.
$session->do('SET synchronous_commit = on');
my $hole = leave_hole($session);
is(wait_complete($session), $hole + 1, 'the hole is filled, and that has been seen');
# Without the library, there is no worker that could fill it once more.
$node->append_conf('postgresql.conf', q{shared_preload_libraries = ''});
crash($node);
$session = session($node);
is(value($session, 'SELECT store_current_sequence()'), $hole + 1, 'the filling has survived');
is_deeply([ verify($session) ], [], 'store_verify() finds nothing');

done_testing();
