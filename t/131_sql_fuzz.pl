# I: whatever the arguments are, a function of the store returns or raises an error
# with a SQLSTATE that says what is wrong with them, never an internal one (class XX);
# the server does not crash; the store works as before.
#
# Calls of every function and procedure there is, made at random of the extremes of
# each argument's type.  STORE_FUZZ_SEED chooses others; STORE_TEST_LONG=1 makes many
# more, from several sessions at once.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use StoreTest;
use Test::More;

my $seed = $ENV{STORE_FUZZ_SEED} // 1;
my $clients = $ENV{STORE_TEST_LONG} ? 4 : 1;
my $calls = $ENV{STORE_TEST_LONG} ? 25_000 : 300;

sub pick { return $_[ int rand @_ ] }
sub chance { return rand() < $_[0] }
sub quote { my ($text) = @_; $text =~ s/'/''/g; return "'$text'"; }

# ------------------------------------------------------------- values, as SQL

my @patterns = (
	'', '.', '(?s-u)^(?P<x>(?:\x00\xFF|[^\x00])*)\x00\x00(?P<v>.{8})$', '^(?P<x>.)(?P<v>.*)$',
	'(?P<x>a|b)*?c', '(a+)+b', '(?i)\pL+\b', '\p{Greek}', '[', '(?P<x', 'a{65536}', 'a{1000}{1000}',
	'\1', '(?=a)', '(((((((((((((((((((((a)))))))))))))))))))))', '[^\x{0}-\x{10FFFF}]', '(?x) # a', "\x{e9}");

my %integer_extremes = (
	integer => [ '0', '1', '-1', '2147483647', '(-2147483648)' ],
	bigint => [ '0', '1', '2', '10', '-1', '1000', '9223372036854775807', '9223372036854775806', '(-9223372036854775808)',
		'2147483648', '4294967295', 'store_current_sequence()', 'store_current_sequence() + 1',
		'store_oldest_retained_batch()' ]);

sub bytes
{
	return pick(
		"''", "'a'", "'b'", q{'\x00'}, q{'\xff'}, q{'\x0000ff'}, 'int8send(' . int(rand 1000) . ')',
		"decode(repeat('ff', 254), 'hex')", "decode(repeat('ff', 255), 'hex')",
		"decode(repeat('61', 10000), 'hex')", "decode(repeat('00', 1048576), 'hex')",
		q{'\x0a060a016112013a'}, q{'\x0a060a0161120131'}, q{'\x0affffffffffffffffff01'}, q{'\x0b0b0b0b'},
		q{decode(repeat('0a00', 100000), 'hex')}, q{decode(repeat('0b', 100000), 'hex')},
		sprintf(q{'\x%s'}, join '', map { sprintf '%02x', rand 256 } 1 .. rand 40));
}

# An array of a type whose elements come from a function.
sub array
{
	my ($type, $element) = @_;
	my $one = sub { return chance(0.1) ? "NULL::$type" : $element->() . "::$type" };

	return pick(
		"'{}'::${type}[]",
		map { 'ARRAY[' . join(', ', map { $one->() } 1 .. $_) . ']' } 1, 1, 2, 3, 3, 16, 17,
		'ARRAY[[' . $one->() . '], [' . $one->() . ']]',
		'array_fill(' . $one->() . ', ARRAY[' . pick(0, 1, 3, 1000) . '], ARRAY[' . pick(0, 1, -5, 2147480000) . '])',
		'array_fill(' . $one->() . ', ARRAY[1, 1, 1, 1, 1, 1])',
		'array_fill(' . $one->() . ', ARRAY[2, 0, 3])',
		"array_fill(NULL::$type, ARRAY[100])",
		(chance(0.1) ? "array_fill(" . pick("''", q{'\x61'}) . "::$type, ARRAY[100000])" : ()));
}

# An array of bytes; sometimes a long one of different elements.
sub bytes_array
{
	return 'ARRAY(SELECT int4send(i) FROM generate_series(1, ' . pick(10, 1000, 100_000) . ') AS i)'
	  if chance(0.05);
	return array('bytea', \&bytes);
}

sub row
{
	my @columns = map { chance(0.1) ? 'NULL' : $_ } @_;

	return sprintf 'ROW(%s)', join ', ', @columns;
}

sub number
{
	return pick(0, 1, 2, -1, '"1"', '"0"', '18446744073709551615', '18446744073709551616', '1e5', '1E400',
		'-0', '0.0', '1.5', '"1e3"', '"x"', 'null', 'true', '[]', '{}', '9' x 2000, '0.' . '0' x 500 . '1');
}

sub retain
{
	return pick(
		sprintf('{"keepLatest": {"count": %s}}', number()), sprintf('{"greaterThan": {"threshold": %s}}', number()),
		sprintf('{"greater_than_or_equal": {"threshold": %s}}', number()), '{"dropAll": {}}', '{}', 'null',
		'{"dropAll": {}, "keepLatest": {"count": 1}}');
}

sub json_string
{
	my ($text) = @_;

	$text =~ s/(["\\])/\\$1/g;
	return qq{"$text"};
}

sub policy
{
	return sprintf
	  '{"keys": {"selector": {"prefix": %s, "payloadRegex": %s}, "groupBy": {"captureGroups": [%s]}, "orderBy": %s}, "retain": %s}',
	  pick('"YQ=="', '"YQ"', '""', 'null', '"?"', '"AA"', '"' . 'A' x 340 . '"'), json_string(pick(@patterns)),
	  pick('', '"x"', '"v"', '"x", "v"', '"x", "x"', '1', '"y"'),
	  pick('null', '{"captureGroup": "v", "encoding": 1}', '{"captureGroup": "v"}', '{"captureGroup": "x", "encoding": -1}', '[]'),
	  retain();
}

sub document
{
	my $depth = pick(1, 10, 1000, 5000);
	my @monsters = (
		'[' x $depth . ']' x $depth, '{"a":' x $depth . '1' . '}' x $depth,
		'{"policies": [' . '[' x $depth . ']' x $depth . ']}',
		'{"policies": [' . join(', ', ('null') x 1001) . ']}',
		'{"keepLatest": {"count": 1}, "keepLatest": {"count": 2}}', '{"keepLatest": {"count": 1}, "keep_latest": {"count": 2}}',
		'"\u0000"', '{"\u0001": 1}', '{"": ""}', 'null', '1', '""', '[]', '{}', '{', '',
		'{"' . 'k' x 100_000 . '": 1}', '{"policies": "' . 'v' x 100_000 . '"}');

	return quote(pick(@monsters)) if chance(0.3);
	return quote(sprintf '{"policies": [%s]}', join ', ', map { chance(0.1) ? '{"sequence": {}, "retain": ' . retain() . '}' : policy() } 1 .. pick(1, 1, 1, 2, 5));
}

sub rule
{
	return document() if chance(0.2);
	return quote(
		sprintf '{%s}',
		join ', ',
		map {
			pick(
				sprintf('"keepLatest": {"count": %s}', number()), sprintf('"greaterThan": {"threshold": %s}', number()),
				'"dropAll": {}', sprintf('"maxBytes": %s', pick(number(), '"1 kB"', '"1 EB"', '"-1"', '"99999999999 TB"')),
				sprintf('"maxAge": %s', pick(number(), '"1 s"', '"178000000 years"', '"178000000 years 9999999 days"', '"infinity"', '"-1 day"', '"P"', '""')))
		} 1 .. pick(1, 1, 2, 4));
}

my %values = (
	'bytea' => \&bytes,
	'bytea[]' => \&bytes_array,
	'boolean' => sub { pick('true', 'false') },
	'integer' => sub { pick(@{ $integer_extremes{integer} }) },
	'bigint' => sub { pick(@{ $integer_extremes{bigint} }) },
	'text' => sub { quote(pick(@patterns, 'x' x 1_000_000)) },
	'uuid' => sub { pick('gen_random_uuid()', 'store_history()', quote('00000000-0000-0000-0000-000000000000')) },
	'interval' => sub {
		quote(pick('0', '1 ms', '-1 ms', '10 ms', '-178000000 years', '178000000 years', '2147483647 months', '2147483647 days', '0.000001 s'));
	},
	'jsonb' => sub { chance(0.5) ? document() : rule() },
	'store_entry[]' => sub {
		array('store_entry', sub { row(bytes() . '::bytea', bytes() . '::bytea') });
	},
	'store_selector[]' => sub {
		array('store_selector', sub { row(pick(bytes(), "''") . '::bytea', quote(pick(@patterns)) . '::text') });
	},
	'store_filter[]' => sub {
		array('store_filter',
			sub { row(quote(pick(qw(exact prefix regex EXACT), '')) . '::text', pick(bytes(), map { quote($_) } grep { !/[\\\x80-\xff]/ } @patterns) . '::bytea') });
	});

# -------------------------------------------------------------------- calls

# The functions and procedures of the extension: kind, name, types of arguments.
sub routines
{
	my ($session) = @_;

	return @{
		$session->selectall_arrayref(
			q{SELECT p.prokind, p.proname,
			         ARRAY(SELECT format_type(type, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS t (type, n) ORDER BY n),
			         p.pronargdefaults, p.proretset
			  FROM pg_proc AS p
			  JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
			  JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
			  WHERE e.extname = 'storeengine'
			    AND NOT 'internal'::regtype = ANY (p.proargtypes)  -- which only the server can call
			  ORDER BY p.oid::regprocedure::text COLLATE "C"})
	};
}

# A statement that calls one.
sub call
{
	my ($kind, $name, $types, $defaults, $is_set) = @_;
	my $count = @$types - (chance(0.3) ? int rand($defaults + 1) : 0);
	my $arguments = join ', ', map { chance(0.05) ? "NULL::$_" : $values{$_}->() . "::$_" } @$types[ 0 .. $count - 1 ];
	my $call = "$name($arguments)";

	return "CALL $call" if $kind eq 'p';
	return pick(
		"SELECT * FROM $call", "SELECT $call",
		"SELECT count(*) FROM $call",
		"SELECT $call FROM generate_series(1, 3)",
		"SELECT * FROM $call LIMIT 1",
		($is_set ? ("DECLARE c CURSOR FOR SELECT * FROM $call") x 2 : "SELECT $call IS NULL"));
}

# Settings that should make no difference, or a known one.
sub settings
{
	my @settings = (
		"work_mem = '64kB'", 'enable_indexscan = off', 'enable_seqscan = off', 'enable_material = off',
		"plan_cache_mode = 'force_generic_plan'", 'jit_above_cost = 0', 'max_parallel_workers_per_gather = 0',
		'parallel_setup_cost = 0', "bytea_output = 'escape'", "client_encoding = 'LATIN1'", 'max_stack_depth = 100',
		"session_replication_role = 'replica'", 'row_security = off', 'default_toast_compression = pglz',
		'storeengine.max_value_size = ' . pick(0, 1, 1000, 536870912),
		'storeengine.max_batch_size = ' . pick(0, 16, 100, 100000, 536870912),
		'transaction_isolation = ' . quote(pick('read committed', 'repeatable read', 'serializable')),
		'transaction_read_only = on');

	return map { "SET LOCAL $_" } map { pick(@settings) } 1 .. pick(0, 0, 1, 2);
}

# Make a call in a transaction; its SQLSTATE and the message.
sub attempt
{
	my ($session, @statements) = @_;
	my ($state, $message) = ('', '');

	# a wait may take forever, and so may a pattern
	$session->do('BEGIN');
	$session->do(q{SET LOCAL statement_timeout = '500ms'});
	push @statements, 'FETCH 10 FROM c' if $statements[-1] =~ /^DECLARE/;
	for my $statement (@statements)
	{
		$state = failure($session, $statement);
		last if $state;
	}
	$message = $session->errstr if $state;
	if ("@statements" =~ /store_set_retention|store_prune/ && chance(0.8))
	{
		$session->do('ROLLBACK');
	}
	else
	{
		$state ||= failure($session, 'COMMIT');
		$message ||= $session->errstr if $state;
		$session->do('ROLLBACK') if $state;
	}
	return ($state, $message);
}

# What a session of random calls comes to: dies of what must not happen.
sub fuzz
{
	my ($node, $number) = @_;
	my $session = session($node);
	my @routines = routines($session);
	my %states;

	$session->do(q{SET client_min_messages = error});
	srand($seed + $number);
	for my $i (1 .. $calls)
	{
		my @statements = (settings(), call(@{ pick(@routines) }));
		my ($state, $message) = attempt($session, @statements);
		my $what = join "; ", map { length > 3000 ? substr($_, 0, 3000) . '...' : $_ } @statements;

		$states{ $state || 'fine' }++;
		die "call $i: $state, $message: $what\n" if $state =~ /^(?:XX|08)/;
		next unless $state;
		$session->do(q{SELECT store_put($1, $2)}, undef, "alive $number", "$i");
		die "after call $i the store does not work: $what\n"
		  unless value($session, q{SELECT store_get($1)}, "alive $number") eq $i;
	}
	note join ', ', map { "$_: $states{$_}" } sort keys %states;
	return;
}

my $node = store_node('main', conf => "max_parallel_workers = 2\nlog_min_messages = warning\nlog_min_error_statement = panic\n");
my $session = session($node);
my $started = value($session, 'SELECT pg_postmaster_start_time()');
my $log_size = -s $node->logfile;

note "STORE_FUZZ_SEED=$seed, $clients times $calls calls";
my %unknown = map { $_ => 1 } grep { !$values{$_} } map { @{ $_->[2] } } routines($session);
is(join(', ', sort keys %unknown), '', 'there are values for the types of all arguments');

is(wait_clients(map { my $number = $_; fork_client(sub { fuzz($node, $number) }) } 1 .. $clients),
	0, 'no error is internal, and the store works after each');
is(value($session, 'SELECT pg_postmaster_start_time()'), $started, 'the server has not been restarted');
unlike(slurp_file($node->logfile, $log_size), qr/terminated by signal|PANIC|TRAP:/, 'no process has crashed');

$session->do('SELECT store_set_retention(NULL)');
wait_complete($session);
is_deeply([ problems(snapshot($session)) ], [], 'the keys are what the log says');
done_testing();
