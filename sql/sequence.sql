-- sequence numbers
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

-- A1: 0 in an empty store, then 1, 2, 3, ... for every kind of write
SELECT store_current_sequence(), store_oldest_retained_batch();
SELECT store_put('a', '1');
SELECT store_delete_batch('{a}');
SELECT store_put_batch('{}', '{}');
SELECT store_put_request('');
SELECT store_current_sequence(), store_oldest_retained_batch();
SELECT array_agg(sequence_number ORDER BY sequence_number) FROM store_batch_log;

-- A1: nothing else takes numbers
SELECT store_get('a'), count(*) FROM store_range_scan();
SELECT store_prune_batch_log(0);
SELECT store_put(NULL, NULL);
SELECT store_put('a', '1');

-- A6: within a statement the number belongs to its snapshot, like the data
SELECT store_put('a', '2'), store_current_sequence(), store_get('a');
SELECT store_current_sequence(), store_get('a');

-- A5: emptying the log leaves the number where it is
SELECT store_prune_batch_log(100);
SELECT store_current_sequence(), store_oldest_retained_batch();
SELECT store_put('a', '3');
SELECT store_current_sequence(), store_oldest_retained_batch();

-- A2: numbers that somebody else skipped are filled with empty batches
SELECT nextval('store_sequence'), setval('store_sequence', 20);
SELECT store_current_sequence();
SELECT store_put('a', '4');
SELECT pg_temp.reach(21);
SELECT count(*), min(sequence_number), max(sequence_number), count(*) FILTER (WHERE payload = '' AND deleted_keys IS NULL) FROM store_batch_log;
SELECT store_get_batch(20), store_get_batch(21);

-- ... however many they are
SELECT setval('store_sequence', 10000);
SELECT store_put('a', '5');
SELECT pg_temp.reach(10001);
SELECT count(*), min(sequence_number), max(sequence_number) FROM store_batch_log;
SELECT store_put('a', '6'), store_current_sequence();
SELECT store_current_sequence();

-- A7: nothing is above what is missing below
BEGIN;
SAVEPOINT hole;
SELECT store_put('b', '1');
ROLLBACK TO hole;
SELECT store_put('c', '1');
SELECT store_current_sequence(), store_get('c');
COMMIT;
SELECT pg_temp.reach(10004);
SELECT store_get_batch(10003), store_get('b');

-- A4: a sequence that was set back does not give numbers out again
SELECT setval('store_sequence', 10);
SELECT store_put('a', '7');
\set VERBOSITY sqlstate
SELECT store_delete_batch('{a}');
SELECT setval('store_sequence', 10003);
SELECT store_put('a', '7');
SELECT setval('store_sequence', 10004);
SELECT store_put('a', '7'), store_current_sequence();
SELECT store_get('a'), store_current_sequence();

-- a sequence that does not count by ones is refused
\set VERBOSITY default
ALTER SEQUENCE store_sequence INCREMENT 2;
SELECT store_put('a', '8');
\set VERBOSITY sqlstate
ALTER SEQUENCE store_sequence INCREMENT 1 CACHE 10;
SELECT store_put('a', '8');
ALTER SEQUENCE store_sequence CACHE 1 CYCLE;
SELECT store_delete_batch('{}');
ALTER SEQUENCE store_sequence NO CYCLE;
SELECT store_put('a', '8');

-- A11: the highest number there can be; the filler must not see it, or it would fill for years
SELECT setval('store_sequence', 9223372036854775806);
BEGIN;
SELECT store_put('a', '9');
SELECT store_get_batch(9223372036854775807), store_current_sequence();
SAVEPOINT last;
SELECT store_put('a', '10');
ROLLBACK TO last;
SELECT store_get('a');
ROLLBACK;
SELECT store_put('a', '10');
SELECT store_get('a'), store_current_sequence();
SET client_min_messages = warning;
DROP EXTENSION storeengine;

-- a new store starts anew
CREATE EXTENSION storeengine;
SELECT store_current_sequence(), store_oldest_retained_batch(), store_get('a');
SELECT store_put('a', '1');
SELECT store_current_sequence();
