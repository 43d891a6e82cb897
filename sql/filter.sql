-- filters: selectors of keys and filters of values
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

CREATE FUNCTION store_probe_filter(selectors store_selector[], value_filters store_filter[], key bytea, value bytea)
	RETURNS boolean AS '$libdir/storeengine' LANGUAGE C;
CREATE FUNCTION select_key(selectors store_selector[], key bytea) RETURNS boolean LANGUAGE sql
	RETURN store_probe_filter(selectors, NULL, key, '');
CREATE FUNCTION filter_value(filters store_filter[], value bytea) RETURNS boolean LANGUAGE sql
	RETURN store_probe_filter(NULL, filters, 'key', value);

-- no filter at all
SELECT store_probe_filter(NULL, NULL, 'key', 'value'), store_probe_filter(NULL, NULL, '', NULL);

-- E3: prefix and payload; the regex is searched for in what follows the prefix
SELECT key, select_key(ARRAY[('ab', 'c')]::store_selector[], key)
FROM unnest('{"",a,ab,abc,abxcx,ac,xabc,abd}'::bytea[]) AS key;
SELECT select_key(ARRAY[('ab', '^$')]::store_selector[], 'ab') AS empty_payload,
	   select_key(ARRAY[('ab', '^ab')]::store_selector[], 'abc') AS prefix_is_not_payload,
	   select_key(ARRAY[('ab', '\Bc')]::store_selector[], 'abc') AS prefix_is_not_before,
	   select_key(ARRAY[('', '^a')]::store_selector[], 'abc') AS empty_prefix,
	   select_key(ARRAY[('\x00ff', '(?-u)^\xFE$')]::store_selector[], '\x00fffe') AS bytes;
SELECT select_key(ARRAY[(convert_to(repeat('k', 254), 'UTF8'), '.*')]::store_selector[], convert_to(repeat('k', 254), 'UTF8'));

-- E2: any selector
SELECT key, select_key(ARRAY[('a', '^1'), ('b', '^2'), ('a', '3$')]::store_selector[], key)
FROM unnest('{a1,a2,b1,b2,a23,c1}'::bytea[]) AS key;

-- E4: values that are equal, start alike, or have the pattern
SELECT value, filter_value(ARRAY[('exact', 'ab')]::store_filter[], value) AS exact,
	   filter_value(ARRAY[('prefix', 'ab')]::store_filter[], value) AS prefix,
	   filter_value(ARRAY[('regex', 'ab')]::store_filter[], value) AS regex
FROM unnest('{"",a,ab,abc,xab,ba}'::bytea[]) AS value;
SELECT filter_value(ARRAY[('exact', '')]::store_filter[], '') AS exact,
	   filter_value(ARRAY[('exact', '')]::store_filter[], 'a') AS not_exact,
	   filter_value(ARRAY[('prefix', '')]::store_filter[], 'a') AS prefix,
	   filter_value(ARRAY[('exact', '\x00ff')]::store_filter[], '\x00ff') AS bytes,
	   filter_value(ARRAY[('regex', convert_to('^é$', 'UTF8'))]::store_filter[], convert_to('é', 'UTF8')) AS utf8;

-- E2: any value filter; none of them is no filter
SELECT value, filter_value(ARRAY[('exact', 'a'), ('prefix', 'b'), ('regex', 'c$')]::store_filter[], value)
FROM unnest('{a,aa,bb,xc,cx}'::bytea[]) AS value;
SELECT filter_value('{}', 'a');

-- E2: key and value; a delete has no value and passes with its key
SELECT key, value, store_probe_filter(ARRAY[('k', '1')]::store_selector[], ARRAY[('exact', 'v')]::store_filter[], key, value)
FROM (VALUES ('k1'::bytea, 'v'::bytea), ('k2', 'v'), ('k1', 'w'), ('k1', NULL), ('k2', NULL)) AS entry (key, value);

-- E1: 16 of each, and lower bounds other than 1
SELECT select_key(array_fill(('k', '.')::store_selector, ARRAY[16]), 'k1'),
	   filter_value(array_fill(('exact', 'v')::store_filter, ARRAY[16]), 'v'),
	   select_key(array_fill(('k', '.')::store_selector, ARRAY[2], ARRAY[5]), 'k1');

-- two that share their pattern
SELECT select_key(ARRAY[('a', '^1$'), ('b', '^1$')]::store_selector[], 'b1');

--
-- Errors.
--

-- E1
SELECT select_key('{}', 'k');
SELECT select_key(array_fill(('k', '.')::store_selector, ARRAY[17]), 'k1');
SELECT filter_value(array_fill(('exact', 'v')::store_filter, ARRAY[17]), 'v');
-- shapes and NULLs
SELECT select_key(ARRAY[[('k', '.')], [('l', '.')]]::store_selector[], 'k');
SELECT filter_value(ARRAY[[('exact', '')]]::store_filter[], 'k');
SELECT select_key(ARRAY[('k', '.'), NULL]::store_selector[], 'k');
SELECT select_key(ARRAY[('k', '.'), (NULL, '.')]::store_selector[], 'k');
SELECT select_key(ARRAY[('k', NULL)]::store_selector[], 'k');
SELECT filter_value(ARRAY[NULL]::store_filter[], 'v');
SELECT filter_value(ARRAY[(NULL, 'v')]::store_filter[], 'v');
SELECT filter_value(ARRAY[('exact', NULL)]::store_filter[], 'v');
-- E3, E4
SELECT select_key(ARRAY[('k', '.'), (convert_to(repeat('k', 255), 'UTF8'), '.')]::store_selector[], 'k');
SELECT filter_value(ARRAY[('exact', 'v'), ('equals', 'v')]::store_filter[], 'v');
SELECT filter_value(ARRAY[('EXACT', 'v')]::store_filter[], 'v');
-- E5
SELECT select_key(ARRAY[('k', '.'), ('k', ' ')]::store_selector[], 'k');
SELECT select_key(ARRAY[('k', 'a(?=b)')]::store_selector[], 'k');
SELECT filter_value(ARRAY[('exact', 'v'), ('regex', '')]::store_filter[], 'v');
SELECT filter_value(ARRAY[('regex', '\xff')]::store_filter[], 'v');
SELECT filter_value(ARRAY[('regex', '\x6100')]::store_filter[], 'v');

\set VERBOSITY sqlstate
SELECT select_key('{}', 'k');
SELECT filter_value(ARRAY[[('exact', '')]]::store_filter[], 'k');
SELECT select_key(ARRAY[NULL]::store_selector[], 'k');
SELECT select_key(ARRAY[('k', NULL)]::store_selector[], 'k');
SELECT select_key(ARRAY[(convert_to(repeat('k', 255), 'UTF8'), '.')]::store_selector[], 'k');
SELECT filter_value(ARRAY[('equals', 'v')]::store_filter[], 'v');
SELECT select_key(ARRAY[('k', '')]::store_selector[], 'k');
SELECT filter_value(ARRAY[('regex', '\xff')]::store_filter[], 'v');
\set VERBOSITY default

-- types that were altered
BEGIN;
ALTER TYPE store_selector ADD ATTRIBUTE extra text;
SELECT select_key(ARRAY[('k', '.', '')]::store_selector[], 'k');
ROLLBACK;
\set VERBOSITY sqlstate
BEGIN;
ALTER TYPE store_filter DROP ATTRIBUTE operand;
SELECT filter_value(ARRAY[row('exact')]::store_filter[], 'v');
ROLLBACK;
\set VERBOSITY default

DROP FUNCTION select_key, filter_value, store_probe_filter;
