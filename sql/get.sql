-- store_get(): reading a value
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

-- C1: a missing key has no value, in an empty store too
SELECT store_get('a') IS NULL;
SELECT store_put_batch('{a,b,"\\x00","\\x0000","\\xff"}', '{1,2,3,4,5}');
SELECT store_get('a'), store_get('b'), store_get('\x00'), store_get('\x0000'), store_get('\xff');
SELECT store_get(''), store_get('aa'), store_get('A'), store_get('\x000000');
SELECT store_get(key => 'a', min_sequence_number => NULL);

-- no key, no value
SELECT store_get(NULL) IS NULL;

-- B3: the empty key, and keys too long to be there
SELECT store_put('', 'empty');
SELECT store_get(''), store_get(convert_to(repeat('k', 255), 'UTF8')) IS NULL, store_get(convert_to(repeat('k', 10000), 'UTF8')) IS NULL;

-- B4: the empty value is not a missing one
SELECT store_put('a', '');
SELECT store_get('a'), store_get('a') IS NULL AS missing;

-- B4: any bytes, of any size, compressible or not
SELECT store_put('z', string_agg(set_byte('\x00', 0, i), '' ORDER BY i)) FROM generate_series(0, 255) AS i;
SELECT store_get('z') = string_agg(set_byte('\x00', 0, i), '' ORDER BY i) FROM generate_series(0, 255) AS i;
SELECT store_put('z', convert_to(repeat('z', 1000000), 'UTF8'));
SELECT store_get('z') = convert_to(repeat('z', 1000000), 'UTF8');
SELECT store_put('z', string_agg(int4send((i * 2654435761 % 2147483647)::int), '' ORDER BY i)) FROM generate_series(1, 50000::bigint) AS i;
SELECT store_get('z') = string_agg(int4send((i * 2654435761 % 2147483647)::int), '' ORDER BY i) FROM generate_series(1, 50000::bigint) AS i;

-- keys that come out of a table, toasted ones too
CREATE TEMPORARY TABLE wanted (key bytea);
INSERT INTO wanted VALUES ('a'), ('b'), ('nothing'), (NULL), (convert_to(repeat('k', 100000), 'UTF8'));
SELECT octet_length(key), store_get(key) FROM wanted ORDER BY key;

-- C5: a statement reads with its own snapshot, whatever it writes meanwhile
SELECT store_put('b', 'new') > 0, store_get('b'), store_current_sequence();
SELECT store_get('b'), store_current_sequence();
WITH deleted AS MATERIALIZED (SELECT store_delete_batch('{b}') AS number)
SELECT number, store_get('b') FROM deleted;
SELECT store_get('b') IS NULL;
CREATE FUNCTION pg_temp.before_and_after() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	before bytea := store_get('c');
BEGIN
	PERFORM store_put('c', 'v');
	RETURN concat_ws(' -> ', coalesce(before::text, 'nothing'), store_get('c'));
END $$;
SELECT pg_temp.before_and_after();
BEGIN;
DECLARE early CURSOR FOR SELECT store_get('c');
SELECT store_put('c', 'w');
FETCH early;
SELECT store_get('c');
COMMIT;

-- in parallel workers, if the planner is made to use one
DO $$
BEGIN
	PERFORM set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
END $$;
SELECT store_get('c'), store_current_sequence(), store_oldest_retained_batch();
BEGIN;
SELECT store_put('c', 'x');
SELECT store_get('c'), store_current_sequence(), store_oldest_retained_batch();
SELECT encode(value, 'escape') FROM store_get_many('{c,c,nothing}');
SELECT encode(value, 'escape') FROM store_range_scan('c', 'c');
SELECT store_get_batch(11), store_get_batch_response(11);
ROLLBACK;
