-- strangers: the functions in places where somebody may put them
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SELECT store_put_batch('{a,b,c}', '{1,2,3}'), store_delete_batch('{c}'), store_put('d', '4');
CREATE TABLE things (id integer PRIMARY KEY, name text);
INSERT INTO things SELECT i, 'thing' || i FROM generate_series(1, 20) AS i;

-- where only immutable functions are allowed, none of these is
\set VERBOSITY sqlstate
CREATE INDEX ON things (store_get(name::bytea));
CREATE INDEX ON things (id) WHERE id > store_current_sequence();
CREATE INDEX ON things ((id + store_oldest_retained_batch()));
CREATE TABLE generated (key bytea, value bytea GENERATED ALWAYS AS (store_get(key)) STORED);
CREATE TABLE generated (key bytea, number bigint GENERATED ALWAYS AS (store_put(key, key)) STORED);
CREATE TABLE parts (id bigint) PARTITION BY RANGE ((id + store_current_sequence()));
CREATE TABLE checked (id bigint CHECK (id IN (SELECT sequence_number FROM store_read_log(0))));
\set VERBOSITY default

-- defaults, checks, domains, policies and views
CREATE TABLE events (id integer, number bigint DEFAULT store_put('event', 'x'), seen bigint DEFAULT store_current_sequence(),
					 CHECK (store_get('event') IS NULL OR number > 0));
INSERT INTO events (id) VALUES (1), (2);
INSERT INTO events (id) VALUES (3) RETURNING id, number, seen;
CREATE DOMAIN known AS bytea CHECK (store_get(value) IS NOT NULL);
SELECT 'a'::known;
\set VERBOSITY sqlstate
SELECT 'nothing'::known;
\set VERBOSITY default
CREATE VIEW pairs AS SELECT encode(key, 'escape') AS key, encode(value, 'escape') AS value FROM store_range_scan();
SELECT * FROM pairs WHERE key < 'c' ORDER BY key DESC;
CREATE MATERIALIZED VIEW copied AS SELECT key, value, store_current_sequence() AS number FROM store_range_scan();
SELECT count(*), max(number) FROM copied;
SELECT store_put('f', '6') - max(number) AS later FROM copied;
REFRESH MATERIALIZED VIEW copied;
SELECT count(*), max(number) = store_current_sequence() AS up_to_date FROM copied;
DROP MATERIALIZED VIEW copied;
CREATE ROLE regress_store_reader;
GRANT SELECT ON store_kv, things TO regress_store_reader;
ALTER TABLE things ENABLE ROW LEVEL SECURITY;
CREATE POLICY listed ON things USING (store_get(convert_to(right(name, 1), 'UTF8')) IS NULL AND store_get('a') IS NOT NULL);
SELECT store_put('1', 'hidden') > 0 AS put;
SET ROLE regress_store_reader;
SELECT count(*) FROM things;
RESET ROLE;
ALTER TABLE things DISABLE ROW LEVEL SECURITY;
DROP POLICY listed ON things;

-- a trigger of a table of theirs, for each of 10,000 rows
CREATE FUNCTION store_thing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF tg_op = 'DELETE' THEN
		PERFORM store_delete_batch(ARRAY[convert_to('t/' || old.id, 'UTF8')]);
	ELSE
		PERFORM store_put(convert_to('t/' || new.id, 'UTF8'), convert_to(new.name, 'UTF8'));
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER store_thing AFTER INSERT OR UPDATE OR DELETE ON things FOR EACH ROW EXECUTE FUNCTION store_thing();
SELECT store_current_sequence() AS before \gset
INSERT INTO things SELECT i, i FROM generate_series(101, 10100) AS i;
SELECT store_current_sequence() - :before AS batches, count(*) FROM store_range_scan('t/', 't0');
DELETE FROM things WHERE id > 200;
UPDATE things SET name = name || '!' WHERE id = 150;
SELECT store_current_sequence() - :before AS batches, count(*), encode(store_get('t/150'), 'escape') FROM store_range_scan('t/', 't0');
BEGIN;
UPDATE things SET name = 'undone';
ROLLBACK;
SELECT store_put('g', '7') > 0 AS put, encode(store_get('t/150'), 'escape') FROM store_range_scan(start => 't/150', "limit" => 1);

-- EXPLAIN ANALYZE, COPY, cursors, also ones that outlive the transaction
DO $$BEGIN EXECUTE 'EXPLAIN ANALYZE SELECT store_put(''explained'', ''yes'')'; END$$;
SELECT store_get('explained');
EXPLAIN (COSTS off) SELECT store_put('explained', 'no');
SELECT store_get('explained');
COPY (SELECT encode(key, 'escape'), encode(value, 'escape') FROM store_range_scan('a', 'g')) TO stdout;
COPY (SELECT store_put('copied', 'yes') > 0) TO stdout;
SELECT store_get('copied');
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT encode(key, 'escape') AS key FROM store_range_scan('a', 'b');
DECLARE held_feed SCROLL CURSOR WITH HOLD FOR SELECT sequence_number, op FROM store_read_log(0, max_batches => 2);
FETCH 1 FROM held;
SELECT store_delete_batch('{b}') > 0 AS deleted;
COMMIT;
FETCH ALL FROM held;
FETCH ALL FROM held_feed;
FETCH BACKWARD 1 FROM held_feed;
CLOSE ALL;
PREPARE once AS SELECT store_put($1, $2) > 0 AS put;
EXECUTE once('p', '1');
CREATE TABLE made AS EXECUTE once('p', '2');
SELECT store_get('p');
WITH put AS MATERIALIZED (SELECT store_put('w', '1') AS n), got AS (SELECT store_get('w') AS value) SELECT n > 0 AS put, value FROM put, got;
SELECT count(store_put('l' || i::text::bytea, '')) FROM things CROSS JOIN LATERAL (SELECT id AS i) AS l WHERE id <= 20;
SELECT (SELECT count(*) FROM store_get_many(ARRAY[name::bytea])) FROM things WHERE id = 1;

-- parallel plans: what reads does so in the workers, what writes does not run there
CREATE FUNCTION claims_safe(key bytea) RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE AS $$ BEGIN RETURN store_put(key, ''); END $$;
BEGIN;
SELECT store_put('own', 'row') > 0 AS put;
SELECT set_config(name, 'on', true) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SELECT store_get('own'), store_current_sequence() > :before AS moved, store_oldest_retained_batch();
SELECT count(*) FROM things WHERE store_get('own') IS NOT NULL AND store_current_sequence() > id AND store_get_batch(1) IS NOT NULL;
SELECT count(*) FROM things, LATERAL (SELECT * FROM store_get_many(ARRAY[name::bytea, 'own'])) AS g WHERE value IS NOT NULL;
SELECT encode(key, 'escape') FROM store_range_scan('d', 'f') ORDER BY key DESC;
SELECT count(*) FROM store_read_log(0, max_batches => 3);
SELECT count(*) FROM store_status;
SELECT store_put('own', 'second row') > 0 AS put;
\set VERBOSITY sqlstate
SELECT claims_safe(name::bytea) FROM things;
ROLLBACK;
\set VERBOSITY default
SELECT store_get('own');

-- blocks with handlers, and procedures and blocks that end transactions
DO $$
BEGIN
	FOR i IN 1 .. 5 LOOP
		BEGIN
			PERFORM store_put('block', i::text::bytea);
			IF i % 2 = 1 THEN
				RAISE 'undo';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END LOOP;
END $$;
SELECT store_get('block');
CREATE PROCEDURE many(n integer) LANGUAGE plpgsql AS $$
DECLARE
	last bigint := 0;
	number bigint;
BEGIN
	FOR i IN 1 .. n LOOP
		number := store_put('many', i::text::bytea);
		IF i % 3 = 0 THEN
			ROLLBACK;
		ELSE
			COMMIT;
		END IF;
		ASSERT number > last;
		last := number;
	END LOOP;
END $$;
CALL many(8);
SELECT store_get('many');
DO $$ BEGIN CALL many(4); COMMIT; PERFORM store_put('after', '1'); END $$;
SELECT store_get('many'), store_get('after');

DROP DOMAIN known;
DROP VIEW pairs;
DROP TABLE things, events, made;
DROP FUNCTION store_thing, claims_safe;
DROP PROCEDURE many;
DROP OWNED BY regress_store_reader;
DROP ROLE regress_store_reader;
