-- regular expressions: what is said of bad ones, groups, limits, the cache
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

CREATE FUNCTION store_probe_regex(pattern text, subject bytea) RETURNS text
	AS '$libdir/storeengine' LANGUAGE C STRICT;
CREATE FUNCTION store_probe_group(pattern text, name text) RETURNS integer
	AS '$libdir/storeengine' LANGUAGE C STRICT;

-- E5: the pattern that keys with versions are selected with
\set pattern '(?s-u)^(?P<logical>(?:\\x00\\xFF|[^\\x00])*)\\x00\\x00(?P<version>.{8})$'
SELECT store_probe_regex(:'pattern', '\x61006200ff63' || '\x0000'::bytea || '\xfffefdfcfbfaf90a'::bytea);
SELECT store_probe_regex(:'pattern', '\x6100ff63' || '\x0000'::bytea || '\xfffefdfcfbfaf90a'::bytea);
SELECT store_probe_regex(:'pattern', '\x6100ff63' || '\x0000'::bytea || '\xfffefdfcfbfaf90a0a'::bytea);
SELECT store_probe_group(:'pattern', 'logical'), store_probe_group(:'pattern', 'version'), store_probe_group(:'pattern', 'Version');
SELECT store_probe_group('(a)(?P<x>b)(?<y>c)', 'y'), store_probe_group('(?P<é>b)', 'é');

-- E5: the first match counts, of the first alternative that matches
SELECT store_probe_regex('a|ab', 'xab'), store_probe_regex('$', E'a\n'), store_probe_regex('b', 'a');

-- E5: what is refused, and where
SELECT store_probe_regex('', '');
SELECT store_probe_regex(E' \t\n', '');
SELECT store_probe_regex('a(?=b)', '');
SELECT store_probe_regex('(a)\1', '');
SELECT store_probe_regex('é\Z', '');
SELECT store_probe_regex('(?>a)', '');
SELECT store_probe_regex('(?R)a', '');
SELECT store_probe_regex('(?ii)a', '');
SELECT store_probe_regex('(?i-)a', '');
SELECT store_probe_regex('a)', '');
SELECT store_probe_regex('(a', '');
SELECT store_probe_regex('[a', '');
SELECT store_probe_regex('[b-a]', '');
SELECT store_probe_regex('[\d-a]', '');
SELECT store_probe_regex('(?-u)[é]', '');
SELECT store_probe_regex('*', '');
SELECT store_probe_regex('a{2,1}', '');
SELECT store_probe_regex('a{2', '');
SELECT store_probe_regex('a{,2}', '');
SELECT store_probe_regex('a{65536}', '');
SELECT store_probe_regex('\', '');
SELECT store_probe_regex('\xZ', '');
SELECT store_probe_regex('\x{110000}', '');
SELECT store_probe_regex('\p{Greek}', '');
SELECT store_probe_regex('\p{L', '');
SELECT store_probe_regex('\p\', '');
SELECT store_probe_regex('(?-u)\pL', '');
SELECT store_probe_regex('\b{middle}', '');
SELECT store_probe_regex('(?P<x>a)(?P<x>b)', '');
SELECT store_probe_regex('(?P<x y>a)', '');
SELECT store_probe_regex('(?P<>a)', '');
SELECT store_probe_regex('(?P<x>a){0}', '');
SELECT store_probe_regex('(?:(?P<x>a)?)*', '');
SELECT store_probe_regex('(?:|a)*', '');

-- limits of patterns
SELECT length(store_probe_regex(repeat('a', 8192), 'a'));
SELECT store_probe_regex(repeat('a', 8193), '');
SELECT store_probe_regex(repeat('(', 100) || 'a' || repeat(')', 100), 'a');
SELECT store_probe_regex(repeat('(', 101) || 'a' || repeat(')', 101), 'a');
SELECT store_probe_regex('a{65535}', convert_to(repeat('a', 65535), 'UTF8'));
SELECT store_probe_regex('(?:ab){65535}', 'a');
\set VERBOSITY sqlstate
SELECT store_probe_regex('', '');
SELECT store_probe_regex('(?:ab){65535}', 'a');
\set VERBOSITY default

-- E5: too expensive is an error, not a mismatch; what takes its time is not
SELECT store_probe_regex('^(a+)+$', convert_to(repeat('a', 40) || 'b', 'UTF8'));
\set VERBOSITY sqlstate
SELECT store_probe_regex('^(?:a|b)*c', convert_to(repeat('ab', 5000000), 'UTF8'));
\set VERBOSITY default
SELECT store_probe_regex('^.*c', convert_to(repeat('ab', 5000000), 'UTF8'));

-- a search that would take hours is cancelled, between its starts and within one
SET statement_timeout = '200ms';
SELECT store_probe_regex('(?-u)a[^x]*y', convert_to(repeat('ab', 1000000), 'UTF8'));
SELECT store_probe_regex('(?-u)^[^x]*a[^y]*b[^z]*c', convert_to(repeat('ab', 1000000), 'UTF8'));
-- nor is one without a repetition beyond reach, if it looks hard everywhere
SELECT clock_timestamp() AS began \gset
SELECT store_probe_regex(repeat('\B', 15) || '\b', convert_to(repeat(U&'\+01F389', 2500000), 'UTF8'));
SELECT clock_timestamp() - :'began' < interval '3 seconds' AS soon;
-- so is compiling; and what is too large is found out before it is all written down
SELECT clock_timestamp() AS began \gset
SELECT store_probe_regex('(?i)[' || repeat('\pL', 2700) || ']', 'x');
SELECT clock_timestamp() - :'began' < interval '3 seconds' AS soon;
RESET statement_timeout;
\set VERBOSITY sqlstate
SELECT store_probe_regex(string_agg('[\w' || chr(8192 + i * 3) || ']', ''), 'x') FROM generate_series(0, 900) AS i;
\set VERBOSITY default
SELECT max(total_bytes) < 100000000 AS little_memory FROM pg_backend_memory_contexts;

-- more patterns than are kept, in use at once and one after the other
SELECT count(DISTINCT store_probe_regex('^' || n || '$', convert_to((n % 150)::text, 'UTF8'))) FROM generate_series(1, 300) AS n;
SELECT bool_and(store_probe_regex('^' || n || '$', convert_to(n::text, 'UTF8')) <> 'none') FROM generate_series(1, 300) AS n;
SELECT count(*) <= 64 AS kept FROM pg_backend_memory_contexts WHERE name = 'storeengine regex';

DROP FUNCTION store_probe_regex, store_probe_group;
