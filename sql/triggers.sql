-- Triggers of the tables' owner: what they suppress is not logged as done,
-- and what is logged is not suppressed (A9, B1).
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
SELECT store_put_batch('{a,b}', '{1,2}');

-- A9: a put that a trigger keeps from the table
CREATE TRIGGER suppress_insert BEFORE INSERT ON store_kv FOR EACH ROW
	WHEN (new.key = 'c') EXECUTE FUNCTION suppress();
SELECT store_put_batch('{c,d}', '{3,4}');
-- a delete of an absent key could not lock it
SELECT store_delete_batch('{c}');
DROP TRIGGER suppress_insert ON store_kv;

CREATE TRIGGER suppress_update BEFORE UPDATE ON store_kv FOR EACH ROW EXECUTE FUNCTION suppress();
SELECT store_put_batch('{a,e}', '{5,6}');
\set VERBOSITY sqlstate
SELECT store_put('a', '5');
\set VERBOSITY terse
DROP TRIGGER suppress_update ON store_kv;

-- A9: a delete that a trigger prevents
CREATE TRIGGER suppress_delete BEFORE DELETE ON store_kv FOR EACH ROW EXECUTE FUNCTION suppress();
SELECT store_delete_batch('{a}');
SELECT store_delete_batch('{nothing}');
DROP TRIGGER suppress_delete ON store_kv;

-- B1: nothing of all this is in the table, and no number was taken
SELECT * FROM store_range_scan();
SELECT store_put('f', '7');

-- B1: a batch that a trigger keeps out of the log
CREATE TRIGGER suppress_log BEFORE INSERT ON store_batch_log FOR EACH ROW EXECUTE FUNCTION suppress();
\set VERBOSITY default
SELECT store_put('g', '8');
DROP TRIGGER suppress_log ON store_batch_log;
SELECT store_get('g') IS NULL AS not_put;

-- Triggers that only look on see a put as an insert or an update ...
CREATE TABLE seen (place int GENERATED ALWAYS AS IDENTITY, op text, key bytea, value bytea);
CREATE FUNCTION look_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO seen (op, key, value)
	VALUES (tg_op, coalesce(new.key, old.key), coalesce(new.value, old.value));
	RETURN NULL;
END $$;
CREATE TRIGGER look_on AFTER INSERT OR UPDATE OR DELETE ON store_kv FOR EACH ROW EXECUTE FUNCTION look_on();
SELECT store_put_batch('{a,h}', '{9,10}') > 0 AS put;
SELECT store_delete_batch('{h}') > 0 AS deleted;
SELECT op, key, value FROM seen ORDER BY place;

-- ... and the delete of an absent key as an insert and a delete.
TRUNCATE seen;
SELECT store_delete_batch('{nothing}') > 0 AS deleted;
SELECT op, key, value FROM seen ORDER BY place;

DROP TABLE seen;
DROP EXTENSION storeengine;
DROP FUNCTION suppress, look_on;
CREATE EXTENSION storeengine;
