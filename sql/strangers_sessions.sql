-- strangers: what a session keeps, and what becomes of it
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

-- prepared statements and functions with plans, of all that is called
PREPARE put(bytea, bytea) AS SELECT store_put($1, $2);
PREPARE get(bytea) AS SELECT store_get($1);
PREPARE many(bytea[]) AS SELECT * FROM store_get_many($1);
PREPARE scan AS SELECT * FROM store_range_scan();
PREPARE feed(bigint) AS SELECT sequence_number, op, key, value FROM store_read_log($1);
PREPARE status AS SELECT frontier, highest_allocated FROM store_status;
CREATE FUNCTION use_all(key bytea) RETURNS TABLE (number bigint, got bytea, scanned bigint, read bigint) LANGUAGE plpgsql AS $$
BEGIN
	number := store_put(key, 'function');
	got := store_get(key);
	scanned := (SELECT count(*) FROM store_range_scan());
	read := (SELECT count(*) FROM store_read_log(0));
	RETURN NEXT;
END $$;
EXECUTE put('a', '1');
EXECUTE get('a');
EXECUTE many('{a,b}');
EXECUTE scan;
EXECUTE feed(0);
EXECUTE status;
SELECT * FROM use_all('f');

-- DISCARD
DISCARD PLANS;
EXECUTE put('a', '2');
EXECUTE get('a');
EXECUTE many('{a,b}');
SELECT * FROM use_all('f');
DISCARD ALL;
\set VERBOSITY sqlstate
EXECUTE put('a', '3');
\set VERBOSITY default
SELECT store_put('a', '4'), store_get('a');
SELECT * FROM store_get_many('{a,b}');
SELECT * FROM use_all('f');

-- the tables altered, under plans that were made before
PREPARE put(bytea, bytea) AS SELECT store_put($1, $2);
PREPARE get(bytea) AS SELECT store_get($1);
PREPARE many(bytea[]) AS SELECT * FROM store_get_many($1);
PREPARE scan AS SELECT * FROM store_range_scan();
PREPARE feed(bigint) AS SELECT sequence_number, op, key, value FROM store_read_log($1);
PREPARE status AS SELECT frontier, highest_allocated FROM store_status;
EXECUTE get('a');
EXECUTE scan;
ALTER TABLE store_kv ADD COLUMN note text DEFAULT 'none';
ALTER TABLE store_batch_log ADD COLUMN note text;
EXECUTE put('a', '5');
EXECUTE get('a');
EXECUTE many('{a,b}');
EXECUTE scan;
EXECUTE feed(7);
ALTER TABLE store_kv DROP COLUMN note;
ALTER TABLE store_batch_log DROP COLUMN note;
ALTER TABLE store_kv ALTER value SET STORAGE EXTERNAL;
REINDEX TABLE store_kv;
VACUUM FULL store_kv;
VACUUM FULL store_batch_log;
EXECUTE put('a', '6');
EXECUTE many('{a,b}');
EXECUTE scan;
EXECUTE feed(8);

-- the extension gone, and back in another schema
DROP EXTENSION storeengine;
\set VERBOSITY sqlstate
EXECUTE put('a', '1');
EXECUTE get('a');
EXECUTE many('{a,b}');
EXECUTE scan;
EXECUTE feed(0);
EXECUTE status;
SELECT * FROM use_all('f');
CREATE SCHEMA elsewhere;
CREATE EXTENSION storeengine SCHEMA elsewhere;
EXECUTE put('a', '1');
SET search_path = elsewhere, public;
\set VERBOSITY default
EXECUTE put('a', 'elsewhere');
EXECUTE get('a');
EXECUTE many('{a,b}');
EXECUTE scan;
EXECUTE feed(0);
EXECUTE status;
SELECT * FROM use_all('f');
ALTER SCHEMA elsewhere RENAME TO renamed;
SET search_path = renamed, public;
EXECUTE put('b', 'renamed');
EXECUTE many('{a,b}');
DROP EXTENSION storeengine;
DROP SCHEMA renamed;
RESET search_path;
CREATE EXTENSION storeengine;
EXECUTE put('a', 'back');
EXECUTE get('a');
EXECUTE scan;
SELECT * FROM use_all('f');

-- a result that is given up in the middle, and a store that goes with its transaction
BEGIN;
DECLARE c CURSOR FOR SELECT key FROM store_range_scan();
FETCH 1 FROM c;
\set VERBOSITY sqlstate
DROP EXTENSION storeengine;
ROLLBACK;
BEGIN;
DROP EXTENSION storeengine;
SAVEPOINT s;
EXECUTE put('a', '1');
ROLLBACK TO s;
CREATE EXTENSION storeengine;
EXECUTE put('a', 'new store');
ROLLBACK;
\set VERBOSITY default
EXECUTE get('a');

-- waiting: in transactions of every kind, and not where a snapshot is held
CALL store_wait_for_sequence(2, '0');
BEGIN;
LISTEN storeengine;
CALL store_wait_for_sequence(1);
SAVEPOINT s;
CALL store_wait_for_sequence(2, '1 s');
RELEASE s;
CALL store_wait_for_sequence(1000, '1 ms');
ROLLBACK;
DO $$
DECLARE
	reached bigint;
BEGIN
	CALL store_wait_for_sequence(1, '1 s', reached);
	ASSERT reached = 2;
	PERFORM store_put('do', '1');
	COMMIT;
	CALL store_wait_for_sequence(3, NULL, reached);
	ASSERT reached = 3;
END $$;
CREATE PROCEDURE put_and_wait(key bytea, INOUT reached bigint) LANGUAGE plpgsql AS $$
DECLARE
	number bigint := store_put(key, 'procedure');
BEGIN
	COMMIT;
	CALL store_wait_for_sequence(number, '10 s', reached);
	ASSERT store_get(key, number) = 'procedure';
END $$;
CALL put_and_wait('procedure', NULL);
CREATE PROCEDURE wrapped(n bigint, INOUT reached bigint) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
	AS $$ BEGIN CALL store_wait_for_sequence(n, '1 s', reached); END $$;
CREATE FUNCTION waits(n bigint) RETURNS bigint LANGUAGE plpgsql
	AS $$ DECLARE reached bigint; BEGIN CALL store_wait_for_sequence(n, '1 s', reached); RETURN reached; END $$;
\set VERBOSITY sqlstate
CALL wrapped(1, NULL);
SELECT waits(1);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT store_current_sequence();
CALL store_wait_for_sequence(1, '0');
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT 1;
CALL store_wait_for_sequence(1, '0');
ROLLBACK;
BEGIN;
SELECT store_put('x', 'x');
CALL store_wait_for_sequence(1, '0');
ROLLBACK;
DO $$
DECLARE
	r record;
	reached bigint;
BEGIN
	FOR r IN SELECT * FROM store_range_scan() LOOP
		CALL store_wait_for_sequence(1, '0', reached);
	END LOOP;
END $$;
DO $$
DECLARE
	reached bigint;
BEGIN
	BEGIN
		CALL store_wait_for_sequence(-1, NULL, reached);
	EXCEPTION WHEN invalid_parameter_value THEN
		CALL store_wait_for_sequence(1, '1 s', reached);
	END;
	RAISE 'reached %', reached USING ERRCODE = 'XYZ02';
END $$;
\set VERBOSITY default
SELECT store_get('do'), store_current_sequence();

-- statements in one message are one transaction
SELECT store_put('x', '1') > 0 AS put \; SELECT store_get('x');
\set VERBOSITY sqlstate
SELECT store_put('y', '1') > 0 AS put \; SELECT 1 / 0;
SELECT store_put('y', '1') > 0 AS put \; CALL store_wait_for_sequence(1, '0');
\set VERBOSITY default
SELECT store_get('x'), store_get('y');

DEALLOCATE ALL;
DROP FUNCTION use_all, waits;
DROP PROCEDURE put_and_wait, wrapped;
