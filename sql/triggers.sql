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
DROP TRIGGER look_on ON store_kv;

-- A9: a trigger that makes something else of a pair
CREATE FUNCTION alter_value() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.value := upper(encode(new.value, 'escape'))::bytea; RETURN new; END $$;
CREATE TRIGGER alter_value BEFORE INSERT OR UPDATE ON store_kv FOR EACH ROW EXECUTE FUNCTION alter_value();
\set VERBOSITY default
SELECT store_put('a', 'lower');
\set VERBOSITY terse
SELECT store_put('i', 'UPPER') > 0 AS put, store_delete_batch('{i,nothing}') > 0 AS deleted;
DROP TRIGGER alter_value ON store_kv;

-- A9: A trigger can write other keys: its batch comes first.  If it wrote those
-- of the batch that fires it, its number would be the lower one, though its
-- write is the one that stays: the log replayed would say otherwise.
CREATE FUNCTION write_too() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF coalesce(new.key, old.key) = 'again' AND new.value IS DISTINCT FROM 'trigger' THEN
		PERFORM store_put('again', 'trigger');
	ELSIF new.key < 'x' AND new.value <> 'trigger' THEN
		PERFORM store_put('x' || new.key, new.value);
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER write_too AFTER INSERT OR UPDATE OR DELETE ON store_kv FOR EACH ROW EXECUTE FUNCTION write_too();
SELECT store_put_batch('{k,l}', '{1,2}') AS n \gset
SELECT :n - number AS before, store_get_batch(number) FROM generate_series(:n - 2, :n) AS number ORDER BY number;
SELECT store_put_batch('{again,m}', '{1,2}');
SELECT store_delete_batch('{again}');
SELECT store_delete_batch('{k,xk}') > 0 AS deleted;
SELECT * FROM store_get_many('{again,k,l,m,xk,xl,xm}');

-- One that fires itself without end is stopped by PostgreSQL.
CREATE OR REPLACE FUNCTION write_too() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM store_put(new.key || 'x', ''); RETURN NULL; END $$;
\set SHOW_CONTEXT never
\set VERBOSITY sqlstate
SET max_stack_depth = '100kB';
SELECT store_put('z', '');
RESET max_stack_depth;
SELECT store_get('z') IS NULL AS not_put;

DROP EXTENSION storeengine;
DROP FUNCTION suppress, look_on, alter_value, write_too;
CREATE EXTENSION storeengine;
