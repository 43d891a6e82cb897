# The worker fills holes below batches that are there, never above: numbers
# that the sequence has passed may yet come, from a restore that has set the
# sequence before it loads the log.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $session = session($node);

# As pg_restore may do it, in any order.
$session->do(q{SELECT setval('store_sequence', 20)});
$session->do('BEGIN');
is(value($session, q{SELECT store_put('undone', 'undone')}), 21, 'numbers go on from there');
$session->do('ROLLBACK');

# The worker has been called, and leaves when there is nothing to do.
wait_until('the worker comes', sub { worker_pid($session) });
wait_until('the worker leaves', sub { !worker_pid($session) });
is(value($session, 'SELECT count(*) FROM store_batch_log'), 0, 'nothing has been filled');
is(value($session, 'SELECT store_current_sequence()'), 0, 'the store is empty');

# A4
is( failure(
		$session,
		q{INSERT INTO store_batch_log (sequence_number, stable, written_at, payload)
		  SELECT n, 0, now(), '' FROM generate_series(1, 20) AS n}),
	'',
	'the log can be loaded');
is(value($session, 'SELECT store_current_sequence()'), 20, 'the log is complete');

# A3
is(value($session, q{SELECT store_put('a', '1')}), 22, 'what was rolled back is not reused');
is(wait_complete($session), 22, 'and is filled when there is something above');
is(value($session, 'SELECT cardinality(store_get_batch(21))'), 0, 'with an empty batch');
is_deeply([ verify($session) ], [], 'store_verify() finds nothing');

done_testing();
