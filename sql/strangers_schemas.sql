-- strangers: temporary objects of the store's names, and SECURITY DEFINER
-- functions around the store's.  (Names in schemas ahead: search_path.sql)
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE SCHEMA store;
CREATE EXTENSION storeengine SCHEMA store;
RESET client_min_messages;

CREATE ROLE regress_store_keeper;
CREATE ROLE regress_store_guest;
GRANT USAGE ON SCHEMA store TO regress_store_keeper;
GRANT CREATE ON SCHEMA public TO regress_store_keeper;
GRANT SELECT, INSERT, UPDATE, DELETE ON store.store_kv TO regress_store_keeper;
GRANT SELECT, INSERT, DELETE ON store.store_batch_log, store.store_control TO regress_store_keeper;
GRANT USAGE ON SEQUENCE store.store_sequence TO regress_store_keeper;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA store TO regress_store_keeper;
GRANT SELECT ON store.store_status TO regress_store_keeper;

-- What a keeper lets guests do: keys of their own, and nothing else.
SET ROLE regress_store_keeper;
CREATE FUNCTION guest_put(key bytea, value bytea) RETURNS bigint LANGUAGE sql
	SECURITY DEFINER SET search_path = store, pg_temp
	AS $$ SELECT store_put(convert_to(session_user, 'UTF8') || '/' || key, value) $$;
CREATE FUNCTION guest_get(key bytea) RETURNS bytea LANGUAGE sql STABLE
	SECURITY DEFINER SET search_path = store, pg_temp
	AS $$ SELECT store_get(convert_to(session_user, 'UTF8') || '/' || key) $$;
CREATE FUNCTION guest_scan() RETURNS SETOF store.store_entry LANGUAGE sql STABLE
	SECURITY DEFINER SET search_path = store, pg_temp
	AS $$ SELECT * FROM store_range_scan(convert_to(session_user, 'UTF8') || '/', convert_to(session_user, 'UTF8') || '0') $$;
CREATE FUNCTION guest_delete(keys bytea[]) RETURNS bigint LANGUAGE plpgsql
	SECURITY DEFINER SET search_path = store, pg_temp
	AS $$ BEGIN RETURN store_delete_batch(ARRAY(SELECT convert_to(session_user, 'UTF8') || '/' || k FROM unnest(keys) AS k)); END $$;
CREATE FUNCTION guest_log(since bigint) RETURNS TABLE (number bigint, op text, key bytea) LANGUAGE sql STABLE
	SECURITY DEFINER SET search_path = store, pg_temp
	AS $$ SELECT sequence_number, op, key FROM store_read_log(since, ARRAY[(convert_to(session_user, 'UTF8') || '/', '.*')]::store_selector[]) $$;
RESET ROLE;
SELECT store.store_put('regress_store_guess', 'not theirs'), store.store_put('secret', 'not theirs');

-- Temporary objects of all names there are, seen before everything else.
SET SESSION AUTHORIZATION regress_store_guest;
CREATE TEMP TABLE store_kv (key bytea PRIMARY KEY, value bytea);
CREATE TEMP TABLE store_batch_log (sequence_number bigint PRIMARY KEY, stable bigint, written_at timestamptz, payload bytea, deleted_keys bytea);
CREATE TEMP TABLE store_control (item name, number bigint, bytes bigint, noted_at timestamptz, PRIMARY KEY (item, number));
CREATE TEMP TABLE store_retention (singleton boolean PRIMARY KEY, rule jsonb);
CREATE TEMP SEQUENCE store_sequence START 1000;
CREATE TYPE pg_temp.store_entry AS (key integer, value integer);
CREATE TYPE pg_temp.store_selector AS (prefix integer, payload_regex integer);
CREATE DOMAIN pg_temp.bytea AS text;
CREATE DOMAIN pg_temp.int8 AS text;
CREATE FUNCTION pg_temp.store_put(bytea, bytea) RETURNS bigint LANGUAGE sql AS 'SELECT 1001::bigint';
CREATE FUNCTION pg_temp.store_check_scan(bytea, bytea, bigint, boolean, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION pg_temp.bytes_equal(bytea, bytea) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR pg_temp.= (LEFTARG = bytea, RIGHTARG = bytea, FUNCTION = pg_temp.bytes_equal);
INSERT INTO store_kv VALUES ('regress_store_guest/a', 'temporary');
INSERT INTO store_batch_log VALUES (1, 0, now(), '', NULL);
INSERT INTO store_control VALUES ('floor', 1000, 0, now());

SET search_path = pg_temp, public, pg_catalog;
SELECT guest_put('a', '1'), guest_put('b', '2');
SELECT guest_get('a'), guest_get('/secret'), guest_get('b');
SELECT * FROM guest_scan();
SELECT guest_delete('{b,nothing}');
SELECT * FROM guest_log(0);
SELECT * FROM store_kv;

-- nothing of what the wrappers use is theirs
\set VERBOSITY sqlstate
SELECT store.store_get('secret');
SELECT store.store_put('a', '1');
RESET SESSION AUTHORIZATION;
GRANT USAGE ON SCHEMA store TO regress_store_guest;
SET SESSION AUTHORIZATION regress_store_guest;
SELECT store.store_get('secret');
SELECT store.store_put('a', '1');
SELECT * FROM store.store_range_scan();
SELECT * FROM store.store_read_log(0);
SELECT store.store_current_sequence();
RESET SESSION AUTHORIZATION;

-- the same session, with the same plans, as somebody who may
SET search_path = pg_temp, public;
SELECT store.store_get('secret'), store.store_current_sequence(), store.store_oldest_retained_batch();
SELECT store.store_put('b', '1'), store.store_prune_batch_log(3), store.store_delete_batch('{b}');
SELECT frontier, highest_allocated, oldest_retained FROM store.store_status;
SELECT count(*) FROM store.store_range_scan();
CALL store.store_wait_for_sequence(7, '0');
SELECT number FROM store.store_control;
SELECT count(*) FROM pg_temp.store_batch_log;

-- roles that come and go in a session and in a transaction
RESET search_path;
BEGIN;
SELECT store.store_put('c', '1');
SET LOCAL ROLE regress_store_guest;
SAVEPOINT s;
SELECT store.store_put('d', '1');
ROLLBACK TO s;
SET LOCAL ROLE regress_store_keeper;
SELECT store.store_put('d', '1');
RESET ROLE;
COMMIT;
SELECT key FROM store.store_get_many('{c,d}') WHERE value IS NOT NULL;

-- a role that is dropped while a session goes by its name
GRANT regress_store_keeper TO regress_store_guest;
CREATE ROLE regress_store_passing IN ROLE regress_store_keeper;
SET SESSION AUTHORIZATION regress_store_passing;
SELECT store.store_put('e', '1') > 0 AS put;
RESET SESSION AUTHORIZATION;
BEGIN;
SET LOCAL ROLE regress_store_passing;
SELECT store.store_put('e', '2') > 0 AS put;
RESET ROLE;
DROP ROLE regress_store_passing;
COMMIT;
SELECT store.store_get('e');

\c -
SET client_min_messages = warning;
DROP OWNED BY regress_store_keeper, regress_store_guest CASCADE;
DROP ROLE regress_store_keeper, regress_store_guest;
DROP EXTENSION storeengine;
DROP SCHEMA store;
CREATE EXTENSION storeengine;
