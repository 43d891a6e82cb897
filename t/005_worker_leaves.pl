# A worker is there while there is work, and leaves when there is none.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $session = session($node);

wait_until('there is no worker', sub { !worker_pid($session) });
is(value($session, 'SELECT worker_state FROM store_status'), 'idle', 'no work, no worker');

my $hole = leave_hole($session);
my $worker = wait_until('there is a worker',
	sub { value($session, q{SELECT worker_pid FROM store_status WHERE worker_state = 'running'}) });
is($worker, worker_pid($session), 'store_status shows the worker');
# A2
is(wait_complete($session), $hole + 1, 'it does its work');

ok(wait_until(
		'the worker is idle',
		sub { value($session, q{SELECT worker_state = 'idle' AND worker_pid IS NULL FROM store_status}) }),
	'then the worker leaves');
ok(wait_until('there is no worker', sub { !worker_pid($session) }), 'its process is gone');

done_testing();
