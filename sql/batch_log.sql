-- store_get_batch(), store_get_batch_response(), store_oldest_retained_batch(): reading the log
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

-- D1: nothing there
SELECT store_oldest_retained_batch(), store_get_batch(0), store_get_batch(1);

SELECT store_put_batch('{b,a,b,""}', '{1,2,3,""}');
SELECT store_delete_batch('{a,b}');
SELECT store_put_batch('{}', '{}');
SELECT store_put('x', '');
SELECT store_oldest_retained_batch(), store_current_sequence();

-- D1: the whole batch in order; empty batches are present; later ones are not
SELECT n, store_get_batch(n), store_get_batch(n) IS NULL AS missing FROM generate_series(0, 5) AS n ORDER BY n;
SELECT * FROM unnest(store_get_batch(1));
SELECT pg_typeof(store_get_batch(1)), array_ndims(store_get_batch(1)), array_lower(store_get_batch(1), 1), cardinality(store_get_batch(2));

-- A11: far beyond is not there, either
SELECT store_get_batch(9223372036854775807) IS NULL;

-- D6: what happens to the keys later leaves the log as it is
SELECT store_delete_batch('{x,""}');
SELECT store_get_batch(4), store_get('x');

-- the log as protobuf: field 1 is the number, field 2 are the entries
SELECT n, store_get_batch_response(n) FROM generate_series(1, 5) AS n ORDER BY n;
SELECT payload FROM store_batch_log WHERE sequence_number = 1;

-- round trip: a request is answered with the same entries under another field number
SELECT store_put_request('\x0a060a01611201310a030a01620a0312017a0a00');
SELECT store_get_batch_response(6);

-- lengths and numbers of more than one byte
SELECT setval('store_sequence', 299);
SELECT store_put(convert_to(repeat('k', 200), 'UTF8'), convert_to(repeat('v', 300), 'UTF8'));
SELECT pg_temp.reach(300);
SELECT store_get_batch_response(300) = '\x08ac02' || '\x12fa03'::bytea
	|| '\x0ac801'::bytea || convert_to(repeat('k', 200), 'UTF8')
	|| '\x12ac02'::bytea || convert_to(repeat('v', 300), 'UTF8');
SELECT store_get_batch_response(299);

-- D2, I: what is not there: not yet, or no longer
SELECT store_get_batch_response(301);
SELECT store_prune_batch_log(5);
SELECT store_get_batch_response(4);
SELECT store_get_batch_response(5);
SELECT store_prune_batch_log(1000);
SELECT store_get_batch_response(300);
\set VERBOSITY sqlstate
SELECT store_get_batch_response(0);
SELECT store_get_batch_response(1);
SELECT store_get_batch_response(301);
SELECT store_get_batch_response(9223372036854775807);
SELECT store_put('y', '');
SELECT store_get_batch_response(0);
SELECT store_get_batch_response(300);
SELECT store_get_batch_response(301);
SET client_min_messages = warning;
DROP EXTENSION storeengine;
CREATE EXTENSION storeengine;
RESET client_min_messages;
SELECT store_get_batch_response(0);
SELECT store_get_batch_response(1);
SELECT store_put('a', '1');
SELECT store_get_batch_response(0);
SELECT store_get_batch_response(1);

--
-- Errors: A11.
--
\set VERBOSITY default
SELECT store_get_batch(-1);
SELECT store_get_batch(NULL);
\set VERBOSITY sqlstate
SELECT store_get_batch(-9223372036854775808);
SELECT store_get_batch_response(-1);
SELECT store_get_batch_response(NULL);

-- I: stored bytes that somebody else changed
BEGIN;
UPDATE store_batch_log SET payload = '\x12050a0161';
\set VERBOSITY default
SELECT store_get_batch(1);
\set VERBOSITY sqlstate
ROLLBACK;
SELECT store_get_batch(1);
