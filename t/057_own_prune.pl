# A transaction that prunes batches of its own, which nobody else can rely on
# having been there, does not move anybody else's frontier.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $slow = session($node);
my $quick = session($node);

sub put
{
	my ($session) = @_;

	return value($session, q{SELECT store_put(?, 'value')}, "key of $session");
}

sub current
{
	return value($quick, 'SELECT store_current_sequence()');
}

put($quick) for 1 .. 3;
for my $end ('ROLLBACK', 'COMMIT')
{
	my $before = current();

	# So many batches that writers look at the log in between.
	$slow->do('BEGIN');
	my $held = put($slow);
	failure($slow, 'SELECT store_prune_batch_log(1000000)');
	put($slow) for 1 .. 50;
	put($quick) for 1 .. 50;
	# A6, A7
	is(current(), $before, "the frontier is below the writer in flight, before $end") or last;
	$slow->do($end);
	# A2
	is(wait_complete($quick), $held + 100, "the log is complete after $end");
	is(join("\n", problems(snapshot($quick))), '', "all is well after $end");
}
is_deeply([ verify($quick) ], [], 'store_verify() finds nothing');

done_testing();
