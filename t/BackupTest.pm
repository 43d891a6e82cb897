# Helpers for the tests of dumps, backups and upgrades, besides StoreTest.
package BackupTest;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;
use Time::HiRes qw(time);

our @EXPORT = qw(
  run_ok connect_options in_schema complaints build_history use_all
  start_load wait_load stop_load acknowledged missing);

my $folder = PostgreSQL::Test::Utils::tempdir;
my ($loads, $stop, @writers, @ledgers) = (0);

# Run a program and see that it succeeds.
sub run_ok
{
	my ($what, @command) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(run_log(\@command), $what);
}

# Where a client program finds a server.
sub connect_options
{
	my ($node) = @_;

	return ('-h', $node->host, '-p', $node->port);
}

# A session that finds a store in another schema than public.
sub in_schema
{
	my ($node, $database, $schema) = @_;
	my $session = session($node, $database);

	$session->do("SET search_path = $schema");
	return $session;
}

# What is wrong with a store, as a list of sentences: by what the log and the
# pairs should be, and by the store's own account.
sub complaints
{
	my ($session) = @_;

	return (problems(snapshot($session)), verify($session));
}

# Give an empty store something of everything: the shortest and the longest
# key, any bytes, a toasted value, several of a key in a batch, deletes, an
# empty batch, a pruned part, a hole that was filled, a retention rule, and a
# number taken last by a write that was rolled back.  Returns that number.
sub build_history
{
	my ($session) = @_;

	$session->do(
		q{SELECT store_put(set_byte('\x00', 0, n), set_byte('\x00', 0, 255 - n))
		  FROM generate_series(0, 255) AS n});
	$session->do('SELECT store_prune_batch_log(200)');
	$session->do(
		q{SELECT store_put_batch(ARRAY['', decode(repeat('ff', 254), 'hex'), '', 'a'],
		                         ARRAY['first', '', 'second', repeat('long', 10000)::bytea])});
	$session->do(q{SELECT store_delete_batch('{"\\\\x00","\\\\x61","\\\\x616263"}')});
	$session->do(q{SELECT store_put_batch('{}', '{}')});
	$session->do(q{SELECT store_set_retention('{"keepLatest": {"count": 1000}}')});
	leave_hole($session);
	wait_complete($session);
	$session->do('BEGIN');
	my $last = value($session, q{SELECT store_put('undone', '1')});
	$session->do('ROLLBACK');
	return $last;
}

# What users of version 1.0 do, on an empty store: what it is, a statement, and
# what that returns.
my @uses = (
	[ 'put', q{SELECT store_put('a', '1')}, 1 ],
	[ 'put arrays', q{SELECT store_put_batch('{a,b,c,b}', '{2,3,4,5}')}, 2 ],
	[ 'put entries', q{SELECT store_put_batch(ARRAY[('d', '6'), ('e', '7')]::store_entry[])}, 3 ],
	[ 'put a request', q{SELECT store_put_request('\x0a060a0166120138')}, 4 ],
	[ 'delete', q{SELECT store_delete_batch('{c,nothing}')}, 5 ],
	[ 'roll back', q{BEGIN; SELECT store_put('undone', '1'); ROLLBACK}, undef ],
	[ 'go on', q{SELECT store_put('g', '9')}, 7 ],
	[ 'have the hole filled', q{CALL store_wait_for_sequence(7, '1 min')}, 7 ],
	[ 'current', 'SELECT store_current_sequence()', 7 ],
	[ 'oldest', 'SELECT store_oldest_retained_batch()', 1 ],
	[ 'get', q{SELECT convert_from(store_get('b', 7), 'UTF8')}, 5 ],
	[ 'get many', q{SELECT string_agg(convert_from(key || coalesce(value, '?'), 'UTF8'), ' ')
	                FROM store_get_many('{a,c}')}, 'a2 c?' ],
	[ 'scan', q{SELECT string_agg(convert_from(key || value, 'UTF8'), ' ')
	            FROM store_range_scan('b', 'f', forward => false, "limit" => 2)}, 'f8 e7' ],
	[ 'get a batch', 'SELECT cardinality(store_get_batch(2))', 4 ],
	[ 'get the filled one', 'SELECT store_get_batch(6)', '{}' ],
	[ 'get a response', q{SELECT encode(store_get_batch_response(7), 'hex')}, '080712060a0167120139' ],
	[ 'read the log', q{SELECT string_agg(concat_ws(' ', sequence_number, op, convert_from(key, 'UTF8')), ', ')
	                    FROM store_read_log(3)},
		'4 put f, 5 delete c, 5 delete nothing, 7 put g, 7 progress' ],
	[ 'read it filtered', q{SELECT string_agg(concat_ws(' ', sequence_number, op, convert_from(value, 'UTF8')), ', ')
	                        FROM store_read_log(0, ARRAY[('a', '^$')]::store_selector[],
	                                            ARRAY[('exact', '2')]::store_filter[], max_batches => 3)},
		'2 put 2, 3 progress' ],
	[ 'prune the log', 'SELECT store_prune_batch_log(3)', 2 ],
	[ 'keep a rule', q{SELECT store_set_retention('{"keepLatest": {"count": 3}}')}, 5 ],
	[ 'prune keys', q{SELECT store_prune('{"policies": [{"keys": {"selector": {"prefix": "ZQ==", "payloadRegex": "^$"}},
	                                                      "retain": {"dropAll": {}}}]}')}, 1 ],
	[ 'look in', 'SELECT frontier || retention::text FROM store_status',
		'8{"keepLatest": {"count": 3}}' ]);

# Use a store that is empty as users of version 1.0 do, but for some of it.
sub use_all
{
	my ($session, $how, $but) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $use (@uses)
	{
		my ($what, $sql, $expected) = @$use;
		next if $but && $sql =~ $but;
		my $got = defined $expected ? eval { value($session, $sql) } : eval { $session->do($sql); undef };

		is($got // $@, $expected // '', "$how: $what");
	}
	wait_until('the worker keeps the rule',
		sub { value($session, 'SELECT store_oldest_retained_batch()') == 6 });
	is(join("\n", problems(snapshot($session))), '', "$how: all is well");
	return;
}

# One writer of start_load().
sub write_until_stopped
{
	my ($node, $database, $writer, $ledger, $stop) = @_;
	my $session = session($node, $database);

	srand($writer);
	for (my $turn = 1; !-e $stop; $turn++)
	{
		my @keys = ("$writer.$turn", map { 'key ' . int(rand 10) } 1 .. rand 3);
		my $way = rand;
		my ($begin, $number) = (time);

		$session->do('BEGIN');
		$number = value($session, 'SELECT store_put_batch(?::bytea[], ?::bytea[])',
			\@keys, [ ("value $writer.$turn") x @keys ]);
		$number = value($session, 'SELECT store_delete_batch(?::bytea[])', [ $keys[-1] ])
		  if @keys > 1 && $way < 0.2;
		$session->do($way > 0.9 ? 'ROLLBACK' : 'COMMIT');
		printf $ledger "%.6f %.6f %d %s\n", $begin, time, $number, $keys[0]
		  if $way <= 0.9;
	}
	return;
}

# Have processes write until stop_load(): put, overwrite, delete, roll back.
# Each notes when it began a write that was acknowledged, when it was, its
# number, and a key that no other write has.
sub start_load
{
	my ($node, $database) = @_;

	$loads++;
	$stop = "$folder/stop $loads";
	for my $writer (map { "$loads.$_" } 1 .. 3)
	{
		push @ledgers, "$folder/ledger $writer";
		open my $ledger, '>', $ledgers[-1] or die $!;
		$ledger->autoflush(1);
		push @writers,
		  fork_client(sub { write_until_stopped($node, $database, $writer, $ledger, $stop) });
	}
	return;
}

# Wait until some more has been written.
sub wait_load
{
	my ($session) = @_;
	my $goal = value($session, 'SELECT store_current_sequence()') + 100;

	wait_until('there is load',
		sub { value($session, 'SELECT store_current_sequence()') > $goal });
	return;
}

# End the load.  Returns how many of the processes failed.
sub stop_load
{
	open my $file, '>', $stop or die $!;
	my $failed = wait_clients(@writers);

	@writers = ();
	return $failed;
}

# The writes that were acknowledged so far: {begin, end, number, key}.
sub acknowledged
{
	my @writes;

	for my $line (map { split /\n/, slurp_file($_) } @ledgers)
	{
		my %write;

		@write{qw(begin end number key)} = split ' ', $line;
		push @writes, \%write;
	}
	return @writes;
}

# Of some writes, those whose keys are not in a store, or whose batches are not,
# though they have not been pruned; as a sentence.
sub missing
{
	my ($seen, @writes) = @_;
	my @missing = grep {
		!defined $seen->{pairs}{ $_->{key} }
		  || ($_->{number} > $seen->{floor} && !$seen->{log}{ $_->{number} })
	} @writes;

	return '' if !@missing;
	return sprintf '%d of %d, the first with number %d and key %s', scalar @missing,
	  scalar @writes, @{ $missing[0] }{qw(number key)};
}

1;
