# PREPARE TRANSACTION after a write is refused, and leaves nothing behind.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main', conf => "max_prepared_transactions = 5\n");
my $session = session($node);

$session->do(q{SELECT store_put('a', '1')});

# B11
$session->do('BEGIN');
my $refused = value($session, q{SELECT store_put('b', '1')});
is(failure($session, q{PREPARE TRANSACTION 'one'}), '0A000', 'after a write it is refused');
is(value($session, 'SELECT count(*) FROM pg_prepared_xacts'), 0, 'nothing is prepared');
is(value($session, 'SELECT in_flight FROM store_status'), 0, 'nobody is in flight');
is(value($session, q{SELECT store_get('b')}), undef, 'the write is gone');
# A3
is(value($session, q{SELECT store_put('c', '1')}), $refused + 1, 'the next write gets the next number');
# A2
is(wait_complete($session), $refused + 1, 'the number refused is filled');

$session->do('BEGIN');
$session->do('SAVEPOINT one');
$session->do(q{SELECT store_put('b', '1')});
$session->do('RELEASE one');
is(failure($session, q{PREPARE TRANSACTION 'one'}), '0A000',
	'after a write in a released savepoint it is refused, too');

# Where no number is held, there is no reason to refuse.
$session->do('CREATE TABLE other (n int)');
$session->do('BEGIN');
$session->do('SAVEPOINT one');
$session->do(q{SELECT store_put('b', '1')});
$session->do('ROLLBACK TO one');
$session->do('INSERT INTO other VALUES (1)');
is(failure($session, q{PREPARE TRANSACTION 'two'}), '', 'after a write that was rolled back it is not');
my $next = value($session, q{SELECT store_put('d', '1')});
is(wait_complete($session), $next, 'a prepared transaction holds nothing up');
$session->do(q{COMMIT PREPARED 'two'});
is(value($session, 'SELECT count(*) FROM other'), 1, 'it can be committed');

$session->do('BEGIN');
$session->do('SELECT store_prune_batch_log(3)');
is(failure($session, q{PREPARE TRANSACTION 'three'}), '', 'after a prune it is not');
is(value($session, 'SELECT store_oldest_retained_batch()'), 1, 'the prune is not there yet');
# D5
crash($node);
$session = session($node);
is(value($session, 'SELECT store_oldest_retained_batch()'), 1, 'nor is it after a crash');
$session->do(q{COMMIT PREPARED 'three'});
is(value($session, 'SELECT store_oldest_retained_batch()'), 3, 'when committed, it is');
is(join("\n", problems(snapshot($session))), '', 'all is well');

# G2: a rule is for the worker, whom COMMIT PREPARED could not tell of it.
$session->do('BEGIN');
$session->do(q{SELECT store_set_retention('{"keepLatest": {"count": "1"}}')});
is(failure($session, q{PREPARE TRANSACTION 'four'}), '0A000', 'after a retention rule was set it is refused')
  or $session->do(q{ROLLBACK PREPARED 'four'});
is(value($session, 'SELECT count(*) FROM store_retention'), 0, 'the rule is not there');
$session->do(q{SELECT store_set_retention('{"keepLatest": {"count": "1000"}}')});
$session->do('BEGIN');
$session->do(q{SELECT store_get('a')});
$session->do('INSERT INTO other VALUES (2)');
is(failure($session, q{PREPARE TRANSACTION 'five'}), '', 'after a read it is not');
$session->do(q{COMMIT PREPARED 'five'});

done_testing();
