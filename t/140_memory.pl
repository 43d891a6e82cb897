# A session's memory does not grow with what it has done: whatever it calls,
# and whatever fails.  STORE_TEST_LONG makes it a million operations.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

plan skip_all => 'there is no /proc' unless -r "/proc/$$/status";

# Caches fill up in the first half of the operations.  In the second, blocks of
# memory may come and go, and what is used must stay the same, but for noise.
my $operations = $ENV{STORE_TEST_LONG} ? 1_000_000 : 5_000;
my %most = (used => 4 * 1024, contexts => 256 * 1024, private => 256 * 1024);
# A sanitizer takes memory of its own, and keeps what is freed for a while.
delete $most{private} if $ENV{ASAN_OPTIONS};

my $node = store_node('main', conf => "autovacuum = off\n");
my $session = session($node);
$session->do(q{SELECT store_put('first', '') FROM generate_series(1, 200)});
my $last = wait_complete($session);

# What succeeds.  In it, N stands for the number of the round, LAST for that of
# the last batch.
my @fine = split /\n/, <<'SQL';
SELECT store_put('key N', repeat('value N', 100)::bytea)
SELECT store_put_batch(array_agg(format('key %s', i)::bytea), array_agg(repeat('v', i)::bytea)) FROM generate_series(1, 30) AS i
SELECT store_put_batch(ARRAY[('key N', 'x'), ('key N', 'y')]::store_entry[])
SELECT store_put_batch(ARRAY['large']::bytea[], ARRAY[repeat('N', 10000)]::bytea[])
SELECT store_put_request('\x0a060a0161120162')
SELECT store_delete_batch(ARRAY['key N', 'key none']::bytea[])
BEGIN; SELECT store_put('undone', 'N'); ROLLBACK
BEGIN; SAVEPOINT a; SELECT store_put('undone', 'N'); ROLLBACK TO a; COMMIT
SELECT store_get('key N', 1)
SELECT * FROM store_get_many(ARRAY['key 1', 'key N', 'key 3']::bytea[])
SELECT * FROM store_range_scan('key', 'kez', 20)
SELECT * FROM store_range_scan('key', 'kez', 20, false, 1)
SELECT store_current_sequence(), store_oldest_retained_batch()
SELECT store_get_batch(LAST), store_get_batch_response(LAST)
SELECT * FROM store_read_log(greatest(LAST - 10, 0))
SELECT * FROM store_read_log(greatest(LAST - 10, 0), ARRAY[('', '^(?:N|.)$')]::store_selector[], ARRAY[('regex', 'N'), ('prefix', 'v'), ('exact', 'x')]::store_filter[])
CALL store_wait_for_sequence(1)
CALL store_wait_for_sequence(LAST + 1000000, '0')
SELECT * FROM store_status
SELECT store_prune('{"policies": [{"keys": {"selector": {"prefix": "a2V5", "payloadRegex": "(?P<a>.)(?P<b>N|.)"}, "groupBy": {"captureGroups": ["a"]}, "orderBy": {"captureGroup": "b"}}, "retain": {"keepLatest": {"count": 1}}}]}', true)
SELECT store_prune('{"policies": [{"keys": {"selector": {"prefix": "a2V5", "payloadRegex": " 2.*"}}, "retain": {"dropAll": {}}}]}')
SELECT store_set_retention('{"keepLatest": {"count": 1000}, "maxAge": "1 day", "maxBytes": 1000000000}')
SELECT store_prune_batch_log(LAST - 100)
SQL

# What fails, by its SQLSTATE.
my @failing = map { [ split ' ', $_, 2 ] } split /\n/, <<'SQL';
54000 SELECT store_put(repeat('x', 255)::bytea, '')
22004 SELECT store_put_batch(ARRAY['a', NULL]::bytea[], ARRAY['a', 'b']::bytea[])
2202E SELECT store_put_batch(ARRAY[['a'], ['b']]::bytea[], ARRAY['a', 'b']::bytea[])
22P03 SELECT store_put_request('\x0aff')
22023 SELECT store_get('a', -1)
SE003 SELECT store_get('a', LAST + 1000)
2201W SELECT * FROM store_range_scan("limit" => -1)
SE001 SELECT store_get_batch_response(0)
SE002 SELECT store_get_batch_response(LAST + 1000)
SE001 SELECT * FROM store_read_log(0)
2201B SELECT * FROM store_read_log(LAST, ARRAY[('', '(N|a')]::store_selector[])
54000 SELECT * FROM store_read_log(LAST, ARRAY[('', 'N?\w{1000}')]::store_selector[])
22023 SELECT * FROM store_read_log(LAST, ARRAY[]::store_selector[])
22023 CALL store_wait_for_sequence(1, '-1 s')
22023 SELECT store_prune('{"policies": [{"keys": {"selector": {"prefix": "N"}}}]}')
22023 SELECT store_set_retention('{"keepLatest": {"count": 0}, "N": 1}')
SQL

# Run it all once; complain of what does not go as it should.
sub run_round
{
	my ($number) = @_;
	my $fill_in = sub { $_[0] =~ s/\bLAST\b/$last/gr =~ s/\bN\b/$number/gr };

	$session->do($fill_in->($_)) for @fine;
	for (@failing)
	{
		my $state = failure($session, $fill_in->($_->[1]));
		die "$_->[1]: $state is not $_->[0]" if $state ne $_->[0];
	}
	$last = value($session, 'SELECT store_current_sequence()');
	return @fine + @failing;
}

# What the session has, in bytes: the part of its memory contexts that is used,
# these contexts, and all memory that is private to its process.
sub memory
{
	my %memory;

	@memory{qw(contexts used)} = $session->selectrow_array(
		'SELECT sum(total_bytes), sum(used_bytes) FROM pg_backend_memory_contexts');
	($memory{private}) = slurp_file("/proc/$session->{pg_pid}/status") =~ /^VmData:\s+(\d+) kB/m;
	$memory{private} *= 1024;
	return \%memory;
}

my $done = 0;
my $number = 0;
my $report_at = 1000;
my $before;

while ($done < $operations)
{
	$done += run_round(++$number);
	$before //= memory() if $done >= $operations / 2;
	if ($done >= $report_at)
	{
		my $memory = memory();
		note "$done operations: " . join ', ', map { "$_ $memory->{$_}" } sort keys %$memory;
		$report_at *= 10;
	}
}

my $after = memory();
for (sort keys %most)
{
	cmp_ok($after->{$_} - $before->{$_}, '<=', $most{$_}, "$_: as much as half way")
	  or diag "$before->{$_} bytes became $after->{$_}";
}

done_testing();
