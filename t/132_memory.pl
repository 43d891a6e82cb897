# B4, I: each way to write a batch and to read it takes a known multiple of the batch's
# size in memory, whatever the batch is made of.  README has these multiples.
#
# With STORE_TEST_LONG=1 the batches are as large as the default settings let them be.
# That takes minutes and gigabytes.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

plan skip_all => 'there is no /proc to read' unless -w '/proc/self/clear_refs';

my $megabyte = 1024 * 1024;
my $batch = $ENV{STORE_TEST_LONG} ? 256 : 8;

# How many times the size of a batch each function takes at most, with its arguments
# and what it returns.  PostgreSQL copies a large value some more to insert it.
my %most = (
	store_put_batch => 5, store_put_request => 5, store_delete_batch => 5, store_get_batch => 8,
	store_get_batch_response => 2.5, store_read_log => 4.5, store_range_scan => 0.5, store_get_many => 1.5,
	'store_put_batch: one value' => 5.5);

# Shared memory counts as a process's own: there is to be little.
my $node = store_node('main', conf => "shared_buffers = 2MB\nmax_wal_size = 4GB\nautovacuum = off\n");

# What a process takes in memory, in megabytes: now (VmRSS), or at most (VmHWM).
sub memory
{
	my ($session, $which) = @_;
	my ($kilobytes) = slurp_file("/proc/$session->{pg_pid}/status") =~ /^$which:\s+(\d+)/m;

	return $kilobytes / 1024;
}

# Run a statement in a session of its own: its SQLSTATE, and how much memory it takes
# at most, as a multiple of a batch.
sub measure
{
	my ($sql) = @_;
	my $session = session($node);

	$session->do(qq{SET work_mem = '1MB'; SET storeengine.max_value_size = '512MB';
		SET storeengine.max_batch_size = '${batch}MB'});
	$session->do('SELECT store_current_sequence(), store_get_batch(1), store_put($1, $1)', undef, 'warm');
	append_to_file("/proc/$session->{pg_pid}/clear_refs", '5');    # begin a new maximum
	my $before = memory($session, 'VmRSS');
	my $state = failure($session, $sql);
	my $multiple = (memory($session, 'VmHWM') - $before) / $batch;
	diag $session->errstr if $state && $state !~ /^(?:54000|22P03)$/;
	$session->disconnect;
	return ($state, $multiple);
}

sub takes
{
	my ($function, $shape, $sql) = @_;
	my ($state, $multiple) = measure($sql);

	note sprintf '%s, %s: %.2f', $function, $shape, $multiple;
	ok($state eq '' && $multiple <= ($most{"$function: $shape"} // $most{$function}), "$function: $shape");
	return;
}

# Run a call that exceeds a limit: it takes no more than its arguments do by themselves.
sub refused
{
	my ($function, $shape, $arguments, $wanted) = @_;
	my ($fine, $without) = measure("SELECT num_nulls($arguments)");
	my ($state, $multiple) = measure("SELECT $function($arguments)");

	note sprintf '%s, %s: %.2f', $function, $shape, $multiple;
	ok($fine eq '' && $state eq ($wanted // '54000') && $multiple <= $without + 0.1, "$function: $shape");
	return;
}

# Read the batch with a number in all ways there are.
sub read_it
{
	my ($shape, $n) = @_;

	takes('store_get_batch', $shape, "SELECT cardinality(store_get_batch($n))");
	takes('store_get_batch_response', $shape, "SELECT octet_length(store_get_batch_response($n))");
	takes('store_read_log', $shape, "SELECT count(*), sum(octet_length(value)) FROM store_read_log($n - 1)");
	return;
}

my $session = session($node);
$session->do(q{
	CREATE FUNCTION keys(n int) RETURNS bytea[] LANGUAGE sql AS 'SELECT array_agg(int4send(i)) FROM generate_series(1, n) AS i';
	CREATE FUNCTION empties(n int) RETURNS bytea[] LANGUAGE sql AS $$ SELECT array_fill(''::bytea, ARRAY[n]) $$;
	CREATE TABLE argument (keys bytea[], "values" bytea[], request bytea);
	ALTER TABLE argument ALTER "values" SET STORAGE EXTERNAL, ALTER request SET STORAGE EXTERNAL;
});

# Batches of a few large values, of many small ones, and of the shortest keys that
# differ.  Each key counts 16 bytes.
for my $shape (
	[ 'one value', 1, $batch * $megabyte - 20 ],
	[ 'values of 2 kB', $batch * 500, 2000 ],
	[ 'no values', int($batch * $megabyte / 20), 0 ])
{
	my ($name, $count, $size) = @$shape;

	$session->do('TRUNCATE argument');
	$session->do(qq{INSERT INTO argument (keys, "values")
		SELECT keys($count), array_fill(convert_to(repeat('v', $size), 'UTF8'), ARRAY[$count])});
	takes('store_put_batch', $name, 'SELECT store_put_batch(keys, "values") FROM argument');
	read_it($name, wait_complete($session));
	takes('store_range_scan', $name, 'SELECT sum(octet_length(value)) FROM store_range_scan()');
	takes('store_get_many', $name, 'SELECT sum(octet_length(got.value)) FROM argument, store_get_many(keys) AS got');
	takes('store_delete_batch', $name, 'SELECT store_delete_batch(keys) FROM argument');
	takes('store_delete_batch', "$name, none of which is there", 'SELECT store_delete_batch(keys) FROM argument');
}

# The most entries a batch can have: one key, again and again.
my $entries = $batch * $megabyte / 16;
takes('store_put_batch', 'the most entries', "SELECT store_put_batch(empties($entries), empties($entries))");
read_it('the most entries', wait_complete($session));
takes('store_put_request', 'the most entries', "SELECT store_put_request(decode(repeat('0a00', $entries), 'hex'))");
takes('store_delete_batch', 'the most entries', "SELECT store_delete_batch(empties($entries))");

# One more, and what is longer than any limit.
my ($one_more, $wide) = ($entries + 1, 3 * $batch * $megabyte);
refused('store_put_batch', 'too many entries', "empties($one_more), empties($one_more)");
refused('store_delete_batch', 'too many entries', "empties($one_more)");
refused('store_put', 'a value that is too large', "''::bytea, convert_to(repeat('v', $wide), 'UTF8')");
refused('store_put_request', 'lengths of 2 GB', q{'\x0affffffff0712ffffffff07'::bytea}, '22P03');
done_testing();
