# H6: a family of any size is pruned by policy in bounded memory, and the
# pruning can be cancelled at any time.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

plan skip_all => 'needs /proc' unless -r '/proc/self/status';

my $groups = 30_000;
my $versions = 10;
my $node = store_node('main', conf => <<'CONF');
shared_buffers = 2MB
work_mem = 1MB
storeengine.max_batch_size = 1MB
fsync = off
CONF
my $session = session($node);

# Group and version of each key, in an order that is neither's.
$session->do(
	qq{SELECT store_put_batch(array_agg(key), array_agg(''::bytea))
	   FROM (SELECT n / 10000 AS batch,
				    convert_to('f/' || n % $groups || '/', 'UTF8') || int8send(n / $groups) AS key
			 FROM generate_series(0, $groups * $versions - 1) AS n) AS given
	   GROUP BY batch});
$session->do(q{SELECT store_put('g/1/11111111', '')});
$session->do('VACUUM ANALYZE store_kv');

sub request
{
	my ($retain) = @_;

	return sprintf q[{"policies": [{"keys": {
		"selector": {"prefix": "Zi8=", "payloadRegex": "(?s-u)^(?P<group>[0-9]+)/(?P<version>.{8})$"},
		"groupBy": {"captureGroups": ["group"]},
		"orderBy": {"captureGroup": "version", "encoding": "POLICY_ORDER_ENCODING_U64_BE"}},
		"retain": %s}]}], $retain;
}

# The most memory that a session has had, in megabytes.
sub peak
{
	my ($of) = @_;
	my ($peak) = slurp_file("/proc/$of->{pg_pid}/status") =~ /^VmHWM:\s+(\d+) kB/m;

	return $peak / 1024;
}

# How much more memory a session takes for a call of store_prune() than it had.
sub growth
{
	my ($settings, $retain, $dry_run, $expected) = @_;
	my $pruner = session($node);

	$pruner->do($settings);
	# Touch all of the shared buffers and the caches that do not count.
	$pruner->do('SELECT count(*), max(octet_length(key)) FROM store_kv');
	$pruner->do(q{SELECT store_delete_batch('{nothing}')});
	my $before = peak($pruner);
	is(value($pruner, 'SELECT store_prune(?, ?)', request($retain), $dry_run),
		$expected, "$retain finds its keys");
	my $growth = peak($pruner) - $before;
	note sprintf '%s takes %.1f MB', $retain, $growth;
	$pruner->disconnect;
	return $growth;
}

# Compare it, unless the server is built with a sanitizer: that takes memory, too.
sub compare_growth
{
	my ($growth, $operator, $limit, $name) = @_;

	SKIP:
	{
		skip 'a sanitizer takes memory', 1 if $ENV{ASAN_OPTIONS};
		cmp_ok($growth, $operator, $limit, $name);
	}
}

my $victims = $groups * ($versions - 1);
my $keep = '{"keepLatest": {"count": 1}}';
my $threshold = sprintf '{"greaterThanOrEqual": {"threshold": "%d"}}', $versions - 1;

# What it would take if nothing went to disk, to see that the test can tell.
compare_growth(growth(q{SET work_mem = '1GB'}, $keep, 1, $victims), '>', 20, 'it is a large family');

compare_growth(growth('', $keep, 1, $victims), '<', 10, 'a dry run takes little memory');
compare_growth(growth('', $threshold, 1, $victims), '<', 10, 'also without a sort');

# Cancelled while it evaluates, and while it deletes.
for my $timeout (20, 200, 800)
{
	$session->do("SET statement_timeout = $timeout");
	my $state = failure($session, sprintf q{SELECT store_prune('%s')}, request($keep));
	$session->do('RESET statement_timeout');
	last if $state eq '';
	is($state, '57014', "it is cancelled after $timeout ms");
	is(value($session, 'SELECT count(*) FROM store_kv'), $groups * $versions + 1, 'all keys are there');
	is(value($session, 'SELECT count(*) FROM pg_ls_tmpdir()'), 0, 'and no temporary files');
}

my $before = wait_complete($session);
compare_growth(growth('', $keep, 0, $victims), '<', 25, 'so does deleting');
my $batches = wait_complete($session) - $before;
cmp_ok($batches, '>', 9, "its batches are limited: $batches");

is(value($session, 'SELECT count(*) FROM store_kv'), $groups + 1, 'the latest are left');
is(value($session, qq{SELECT count(*) FROM store_kv WHERE substr(key, octet_length(key) - 7) = int8send($versions - 1)}),
	$groups, 'and they are the latest');
is(value($session, 'SELECT store_prune(?)', request($keep)), 0, 'again, there is nothing to do');

$node->stop;
done_testing();
