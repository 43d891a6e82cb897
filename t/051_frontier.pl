# The frontier stops at writers in flight, whatever has been seen or written
# above them, and a snapshot's frontier at what the snapshot shows.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use StoreTest;
use Test::More;

my $node = store_node('main');
my $slow = session($node);
my $quick = session($node);
my $reader = session($node);

sub put
{
	my ($session) = @_;

	return value($session, q{SELECT store_put(?, 'value')}, "key of $session");
}

sub current
{
	my ($session) = @_;

	return value($session, 'SELECT store_current_sequence()');
}

put($quick);

# A6, A7
$slow->do('BEGIN');
my $held = put($slow);
put($quick);
put($quick);
is(current($reader), $held - 1, 'the frontier is below a writer in flight');
is(current($slow), $held + 2, 'for the writer itself it is not');
# The writer has looked, and must not have told: its own rows are nobody else's.
put($quick);
is(current($reader), $held - 1, 'nobody relies on what the writer has seen');
$slow->do('COMMIT');
is(current($reader), $held + 3, 'the frontier moves on when the writer commits');

# Nor do they rely on the looks that writers take at the log from time to time.
$slow->do('BEGIN');
$held = put($slow);
put($slow) for 1 .. 50;
put($quick) for 1 .. 50;
is(current($reader), $held - 1, 'many batches above a writer in flight do not change that');
$slow->do('COMMIT');
is(current($reader), $held + 100, 'until it commits');

# Nor on what the worker notes down after a long walk.
my $other = session($node);
$_->do('BEGIN') for $slow, $quick, $other;
put($slow);
put($quick) for 1 .. 300;
$held = put($other);
$quick->do('COMMIT');
put($quick);
$slow->do('COMMIT');
my $anchor = wait_until('the worker has noted the frontier down',
	sub { value($reader, q{SELECT max(number) FROM store_control WHERE item = 'anchor'}) });
is($anchor, $held - 1, 'the frontier noted down is below a writer in flight');
is(current($reader), $held - 1, 'and so is the one that is seen');
$other->do('COMMIT');
is(current($reader), $held + 1, 'until it commits');

# Own rows are stamped with what others know by then.
for my $isolation ('REPEATABLE READ', 'SERIALIZABLE')
{
	for my $batches (1, 50)
	{
		$slow->do("BEGIN ISOLATION LEVEL $isolation");
		my $shown = current($slow);
		put($quick);
		put($quick);
		is(current($reader), $shown + 2, 'the log is complete for others');
		put($slow) for 1 .. $batches;
		is(current($slow), $shown, "own rows do not move the frontier, $isolation, $batches");
		$slow->do('SAVEPOINT s');
		put($slow);
		is(current($slow), $shown, 'nor do those of a savepoint');
		$slow->do('RELEASE SAVEPOINT s');
		is(current($slow), $shown, 'nor when it is released');
		$slow->do('COMMIT');
	}
}

# A2: a session that starts from what it found before still tells of a hole that
# nobody else knows of, though not at the look that reaches it.
wait_until('the worker has left',
	sub { value($reader, q{SELECT worker_state = 'idle' FROM store_status}) });
$held = current($reader);
$quick->do(q{SELECT nextval('store_sequence')});
put($quick);
is(current($reader), $held, 'the frontier stops at a number that was taken by hand');
wait_until('the worker has been told of it', sub { current($reader) == $held + 2 });
is(join("\n", problems(snapshot($reader))), '', 'all is well');
is_deeply([ verify($reader) ], [], 'store_verify() finds nothing');

done_testing();
