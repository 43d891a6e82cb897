-- search_path: names that others have made, and the extension in a schema of its own
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

-- The worker fills holes when it gets to it: wait for that, not for a time.
CREATE FUNCTION pg_temp.reach(wanted bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 1000 LOOP
		EXIT WHEN store_current_sequence() >= wanted;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN store_current_sequence();
END $$;

-- Everything the store's code mentions exists a second time, ahead of the true one.
CREATE SCHEMA evil;
SET client_min_messages = warning;
SET search_path = evil, pg_catalog;
CREATE TABLE evil.store_kv (key bytea PRIMARY KEY, value bytea);
CREATE TABLE evil.store_batch_log (sequence_number bigint PRIMARY KEY, stable bigint, written_at timestamptz, payload bytea, deleted_keys bytea);
CREATE TABLE evil.store_control (item name, number bigint, PRIMARY KEY (item, number));
CREATE SEQUENCE evil.store_sequence START 1000;
CREATE TYPE evil.store_entry AS (key text, value text);
INSERT INTO evil.store_kv VALUES ('a', 'evil'), ('evil', 'evil');
INSERT INTO evil.store_control VALUES ('floor', 1000);
CREATE FUNCTION evil.refuse_bytea(bytea, bytea) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'evil was called'; END $$;
CREATE FUNCTION evil.refuse_name(name, name) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'evil was called'; END $$;
CREATE FUNCTION evil.refuse_bigint(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'evil was called'; END $$;
DO $$
DECLARE
	type text;
	operator text;
BEGIN
	FOREACH type IN ARRAY '{bytea,name,bigint}'::text[] LOOP
		FOREACH operator IN ARRAY '{=,<>,<,<=,>,>=}'::text[] LOOP
			EXECUTE pg_catalog.format('CREATE OPERATOR evil.%1$s (LEFTARG = %2$s, RIGHTARG = %2$s, FUNCTION = evil.refuse_%2$s)', operator, type);
		END LOOP;
	END LOOP;
END $$;
CREATE FUNCTION evil.unnest(bytea[]) RETURNS SETOF bytea LANGUAGE plpgsql AS $$ BEGIN RAISE 'evil was called'; END $$;
CREATE FUNCTION evil.unnest(bigint[]) RETURNS SETOF bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'evil was called'; END $$;
CREATE FUNCTION evil.decode(text, text) RETURNS bytea LANGUAGE plpgsql AS $$ BEGIN RAISE 'evil was called'; END $$;
CREATE FUNCTION evil.repeat(text, int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'evil was called'; END $$;
CREATE FUNCTION evil.octet_length(bytea) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'evil was called'; END $$;
CREATE FUNCTION evil.nextval(regclass) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'evil was called'; END $$;
CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'evil was called'; END $$;
CREATE FUNCTION evil.store_check_keys(bytea[], bigint) RETURNS bytea[] LANGUAGE plpgsql AS $$ BEGIN RAISE 'evil was called'; END $$;
CREATE FUNCTION evil.store_check_scan(bytea, bytea, bigint, boolean, bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'evil was called'; END $$;
RESET client_min_messages;

-- Statements are prepared under either path, and used under the other.
SELECT public.store_put('a', '1');
SELECT public.store_get('a');
SET search_path = evil, pg_catalog, public;
\set VERBOSITY sqlstate
SELECT '\x61'::bytea = '\x61'::bytea;
SELECT unnest('{a}'::bytea[]);
\set VERBOSITY default
SELECT store_put('b', '2'), store_put_batch('{c,c}', '{3,4}'), store_put_request('\x0a060a01641201310a00');
SELECT store_put_batch(ARRAY[('a', '1')]::public.store_entry[]);
SELECT store_delete_batch('{c,nothing}');
SELECT store_get('a'), store_get('evil'), store_current_sequence(), store_oldest_retained_batch();
SELECT * FROM store_get_many('{b,nothing}', 6);
SELECT * FROM store_range_scan('a', 'b', 2, true, 6);
SELECT * FROM store_range_scan(forward => false);
SELECT store_get_batch(3), store_get_batch_response(3);
SELECT store_prune_batch_log(3), store_oldest_retained_batch();
SELECT store_oldest_retained_batch();
SELECT frontier, highest_allocated, oldest_retained FROM store_status;
BEGIN;
SELECT store_put('b', '3');
ROLLBACK;
SELECT store_put('b', '4');
SET search_path = public;
SELECT pg_temp.reach(8);
SELECT store_put('b', '5'), store_delete_batch('{b}');
SELECT store_prune_batch_log(5);
SET search_path = pg_temp;
SELECT public.store_put('b', '6'), public.store_get('a');
SELECT count(*) FROM evil.store_kv;
SELECT count(*) FROM evil.store_batch_log;
SELECT count(*) FROM evil.store_control;
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA evil CASCADE;
DROP EXTENSION storeengine;

-- In a schema that has to be quoted, and is not in the path.
CREATE SCHEMA "The ""Store""";
CREATE EXTENSION storeengine SCHEMA "The ""Store""";
RESET client_min_messages;
SET search_path = pg_catalog;
SELECT "The ""Store""".store_put('a', '1'), "The ""Store""".store_delete_batch('{b}');
SELECT "The ""Store""".store_get('a', 2), "The ""Store""".store_current_sequence();
SELECT * FROM "The ""Store""".store_get_many('{a}', 2);
SELECT * FROM "The ""Store""".store_range_scan(min_sequence_number => 2);
SELECT "The ""Store""".store_get_batch(1), "The ""Store""".store_prune_batch_log(2);
SELECT frontier, oldest_retained FROM "The ""Store""".store_status;

-- The schema may be renamed; the extension may not move.
ALTER SCHEMA "The ""Store""" RENAME TO shop;
SELECT shop.store_put('a', '2'), shop.store_get('a'), shop.store_delete_batch('{}');
SELECT * FROM shop.store_range_scan();
SELECT shop.store_prune_batch_log(3), shop.store_get_batch(3);
\set VERBOSITY sqlstate
ALTER EXTENSION storeengine SET SCHEMA public;
\set VERBOSITY default
RESET search_path;
SET client_min_messages = warning;
DROP SCHEMA shop CASCADE;
CREATE EXTENSION storeengine;
SELECT store_put('a', '1');

-- names in the bodies of SQL functions are those of pg_catalog, whatever was in
-- the schema before
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE SCHEMA prepared;
CREATE FUNCTION prepared.unnest(bytea[]) RETURNS SETOF bytea LANGUAGE sql AS 'SELECT NULL::bytea';
CREATE FUNCTION prepared.repeat(text, integer) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
CREATE FUNCTION prepared.decode(text, text) RETURNS bytea LANGUAGE sql AS 'SELECT NULL::bytea';
CREATE FUNCTION prepared.octet_length(bytea) RETURNS integer LANGUAGE sql AS 'SELECT 0';
CREATE EXTENSION storeengine SCHEMA prepared;
SELECT p.oid::regprocedure AS captured
FROM pg_proc AS p JOIN pg_depend AS d ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
WHERE p.pronamespace = 'prepared'::regnamespace AND p.proname IN ('unnest', 'repeat', 'decode', 'octet_length');
DROP EXTENSION storeengine;
SET client_min_messages = warning;
DROP SCHEMA prepared CASCADE;
CREATE EXTENSION storeengine;
