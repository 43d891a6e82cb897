# A trigger that deletes what the worker fills does not keep the worker busy: it
# says so, waits ever longer, and goes on when the trigger has gone.  And
# store_status tells when there is no launcher.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $session = session($node);

$session->do($_)
  for q{CREATE FUNCTION take_away() RETURNS trigger LANGUAGE plpgsql AS
		$$BEGIN DELETE FROM public.store_batch_log WHERE sequence_number = NEW.sequence_number; RETURN NULL; END$$},
  q{CREATE TRIGGER take_away AFTER INSERT ON store_batch_log FOR EACH ROW
	WHEN (octet_length(NEW.payload) = 0) EXECUTE FUNCTION take_away()};
my $hole = leave_hole($session);
is( wait_until(
		'the worker complains',
		sub { value($session, 'SELECT last_error FROM store_status') }),
	"batch $hole was filled and is missing again",
	'what is wrong is told');
# A2
is(value($session, 'SELECT store_current_sequence()'), $hole - 1, 'the current number waits');
$session->do('DROP TRIGGER take_away ON store_batch_log');
ok(wait_until('the hole is filled', sub { is_logged($session, $hole) }), 'without the trigger the hole is filled');
is(wait_complete($session), $hole + 1, 'and the log is complete');

# It comes back after a second, so try until it is seen to be away.
wait_until('there is no worker', sub { !worker_pid($session) });
ok( wait_until(
		'store_status tells',
		sub {
			my $launcher = launcher_pid($session);
			value($session, 'SELECT pg_terminate_backend(?)', $launcher) if $launcher;
			value($session, 'SELECT worker_state FROM store_status') eq 'stopped';
		}),
	'the launcher has stopped');
ok(wait_until('there is a launcher', sub { launcher_pid($session) }), 'it is started again');

done_testing();
