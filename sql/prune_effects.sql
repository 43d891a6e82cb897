-- store_prune(): what it does to the store, and when it does not
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

-- A policy over the keys a-1, a-2, ... with the given prefix, and one over the log.
CREATE FUNCTION pg_temp.keys(prefix text, retain jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('keys', jsonb_build_object('selector', jsonb_build_object('prefix', encode(prefix::bytea, 'base64'), 'payloadRegex', '^-(?P<v>.*)$'),
														 'orderBy', '{"captureGroup": "v"}'::jsonb), 'retain', retain) $$;
CREATE FUNCTION pg_temp.log(retain jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('sequence', '{}'::jsonb, 'retain', retain) $$;
CREATE FUNCTION pg_temp.request(VARIADIC policies jsonb[]) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('policies', policies) $$;
CREATE VIEW pg_temp.log AS
	SELECT sequence_number AS n, cardinality(store_get_batch(sequence_number)) AS puts, encode(deleted_keys, 'escape') AS deleted_keys
	FROM store_batch_log ORDER BY n;
-- The worker fills holes when it gets to it: wait for that, not for a time.
CREATE FUNCTION pg_temp.reach(wanted bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 1000 LOOP
		EXIT WHEN store_current_sequence() >= wanted;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN store_current_sequence();
END $$;
CREATE VIEW pg_temp.keys AS SELECT string_agg(convert_from(key, 'UTF8'), ' ' ORDER BY key) AS keys FROM store_range_scan();
\set keep2 '{"keepLatest": {"count": 2}}'
\set drop '{"dropAll": {}}'

SELECT store_put_batch(array_agg(key), array_agg(key)) FROM (SELECT (family || '-' || n)::bytea AS key FROM unnest('{a,b,c}'::text[]) AS family, generate_series(1, 4) AS n) AS k;

-- H6: a number for each policy that deletes something, in their order; the log tells the keys
SELECT store_prune(pg_temp.request(pg_temp.keys('c', :'keep2'), pg_temp.keys('x', :'drop'), pg_temp.keys('a', :'drop')));
SELECT * FROM pg_temp.keys;
SELECT * FROM pg_temp.log;

-- H6: again, there is nothing to do, and no number is taken
SELECT store_prune(pg_temp.request(pg_temp.keys('c', :'keep2'), pg_temp.keys('x', :'drop'), pg_temp.keys('a', :'drop')));
SELECT store_current_sequence();

-- A dry run counts, and changes nothing.
SELECT store_prune(pg_temp.request(pg_temp.keys('b', :'keep2'), pg_temp.keys('c', :'drop'), pg_temp.log(:'drop')), dry_run => true);
SELECT * FROM pg_temp.keys;
SELECT store_current_sequence(), store_oldest_retained_batch();

-- H6: in the caller's transaction, which sees its own writes
BEGIN;
SELECT store_put_batch('{b-9}', '{9}');
SAVEPOINT s;
SELECT store_prune(pg_temp.request(pg_temp.keys('b', :'keep2')));
SELECT * FROM pg_temp.keys;
ROLLBACK TO s;
SELECT * FROM pg_temp.keys;
SELECT store_prune(pg_temp.request(pg_temp.keys('b', :'keep2')));
COMMIT;
SELECT * FROM pg_temp.keys;
SELECT pg_temp.reach(6);

-- also those of the same statement, before it
SELECT store_put('b-8', '8') IS NOT NULL AS put, store_prune(pg_temp.request(pg_temp.keys('b', '{"keepLatest": {"count": 1}}'))) AS pruned;
SELECT * FROM pg_temp.keys;

-- More victims than fit in a batch take several of them, in ascending order; one that fits in none has its own.
SELECT store_put_batch(array_agg(key), array_agg(key)) FROM (SELECT (family || '-' || n)::bytea AS key FROM unnest('{d,e}'::text[]) AS family, generate_series(1, 5) AS n) AS k;
SELECT max(n) AS before FROM pg_temp.log \gset
SET storeengine.max_batch_size = 40;
SELECT store_prune(pg_temp.request(pg_temp.keys('d', :'drop')));
SET storeengine.max_batch_size = 0;
SELECT store_prune(pg_temp.request(pg_temp.keys('e', '{"keepLatest": {"count": 3}}')));
RESET storeengine.max_batch_size;
SELECT row_number() OVER (ORDER BY n) AS batch, puts, deleted_keys FROM pg_temp.log WHERE n > :before ORDER BY batch;

-- D6: the log and the keys are pruned apart.
CREATE VIEW pg_temp.range AS SELECT store_oldest_retained_batch() AS oldest, store_current_sequence() AS current;
SELECT * FROM pg_temp.range;
SELECT store_prune(pg_temp.request(pg_temp.log('{"greaterThanOrEqual": {"threshold": 2}}'))) \; SELECT * FROM pg_temp.range;
SELECT store_prune(pg_temp.request(pg_temp.log('{"greaterThan": {"threshold": 2}}'))) \; SELECT * FROM pg_temp.range;
SELECT store_prune(pg_temp.request(pg_temp.log('{"greaterThan": {"threshold": 0}}'))) \; SELECT * FROM pg_temp.range;
SELECT store_prune(pg_temp.request(pg_temp.log('{"keepLatest": {"count": "18446744073709551615"}}'))) \; SELECT * FROM pg_temp.range;
SELECT store_prune(pg_temp.request(pg_temp.log('{"keepLatest": {"count": 4}}'))) \; SELECT * FROM pg_temp.range;
-- what an earlier policy has logged counts, and is pruned by a later one
SELECT store_prune(pg_temp.request(pg_temp.keys('e', :'keep2'), pg_temp.log(:'keep2'))) \; SELECT * FROM pg_temp.range;
SELECT store_prune(pg_temp.request(pg_temp.log(:'keep2'), pg_temp.keys('e', '{"keepLatest": {"count": 1}}'))) \; SELECT * FROM pg_temp.range;
SELECT * FROM pg_temp.keys;

-- D4: not beyond the current number
SELECT store_prune(pg_temp.request(pg_temp.log('{"greaterThan": {"threshold": 9223372036854775807}}'))) \; SELECT * FROM pg_temp.range;
SELECT store_put('f-1', '1') \; SELECT * FROM pg_temp.range;
SELECT store_prune(pg_temp.request(pg_temp.log('{"greaterThanOrEqual": {"threshold": "18446744073709551615"}}'))) \; SELECT * FROM pg_temp.range;
SELECT store_put('f-2', '1') \; SELECT * FROM pg_temp.range;
SELECT store_prune(pg_temp.request(pg_temp.log(:'drop'))) \; SELECT * FROM pg_temp.range;

-- B12: read-only transactions refuse it, before they look at what is asked; not a dry run
BEGIN READ ONLY;
SELECT store_prune(pg_temp.request(pg_temp.keys('f', :'drop'), pg_temp.log(:'drop')), true);
SAVEPOINT s;
SELECT store_prune(pg_temp.request(pg_temp.keys('f', :'drop')));
ROLLBACK TO s;
\set VERBOSITY sqlstate
SELECT store_prune('{}');
ROLLBACK;

-- A trigger that keeps a key makes it fail.
CREATE FUNCTION pg_temp.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER keep BEFORE DELETE ON store_kv FOR EACH ROW WHEN (old.key = 'f-1') EXECUTE FUNCTION pg_temp.keep();
SELECT store_prune(pg_temp.request(pg_temp.keys('f', :'drop')));
DROP TRIGGER keep ON store_kv;
SELECT store_prune(pg_temp.request(pg_temp.keys('f', :'drop')));
SELECT * FROM pg_temp.keys;
