# A subscriber of the log gets batches in the order of their commits.  It does
# not take what is still to come for holes, though nobody is in flight there.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $publisher = store_node('publisher', init => [ allows_streaming => 'logical' ]);
my $subscriber = store_node('subscriber', init => [ allows_streaming => 'logical' ]);
my $slow = session($publisher);
my $quick = session($publisher);
my $reader = session($subscriber);

sub put
{
	my ($session) = @_;

	return value($session, q{SELECT store_put(?, 'value')}, "key of $session");
}

sub current
{
	return value($reader, 'SELECT store_current_sequence()');
}

my $first = put($quick);
$quick->do('CREATE PUBLICATION log FOR TABLE store_batch_log, store_kv');
$reader->do(sprintf q{CREATE SUBSCRIPTION log CONNECTION 'host=%s port=%d dbname=postgres'
					  PUBLICATION log}, $publisher->host, $publisher->port);
wait_until('the first batch arrives', sub { is_logged($reader, $first) });

# A6, A7: time enough for the worker to make a mistake.
$slow->do('BEGIN');
my $held = put($slow);
my $last;
for (1 .. 100)
{
	$last = put($quick);
	wait_until('a batch arrives', sub { is_logged($reader, $last) });
	last if current() != $held - 1;
}
is(current(), $held - 1, 'the frontier of the subscriber is below a writer in flight');
$slow->do('COMMIT');

# A hole of the publisher's is filled there, and its filling arrives.
$last = leave_hole($quick) + 1;
ok(wait_until('the last batch arrives', sub { is_logged($reader, $last) }), 'all arrives');
wait_until('the log is complete', sub { current() == $last });
is(join("\n", problems(snapshot($reader))), '', 'all is well');
is_deeply([ verify($quick) ], [], 'store_verify() finds nothing');
# Sequences are not replicated.
is_deeply([ grep { !/^sequence / } verify($reader) ], [], 'nor does it at the subscriber');

done_testing();
