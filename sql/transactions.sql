-- transactions: commit, rollback, savepoints, errors
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

-- B10: writes commit with the transaction
BEGIN;
SELECT store_put('a', '1');
SELECT store_current_sequence(), store_get('a'), store_get_batch(1);
COMMIT;
SELECT store_current_sequence(), store_get('a');

-- A3, B10: rolled back, nothing shows; a later write lets the number stand as an empty batch
BEGIN;
SELECT store_put('a', '2');
SELECT store_delete_batch('{a}');
SELECT store_current_sequence(), store_get('a');
ROLLBACK;
SELECT store_current_sequence(), store_get('a'), store_get_batch(2);
SELECT store_put('b', '4');
SELECT pg_temp.reach(4);
SELECT sequence_number, payload, deleted_keys FROM store_batch_log ORDER BY sequence_number;
SELECT store_get_batch_response(3);

-- B10, A2: savepoints released and rolled back, in any nesting
BEGIN;
SELECT store_put('c', '5');
SAVEPOINT one;
SELECT store_put('c', '6');
SAVEPOINT two;
SELECT store_put('d', '7');
RELEASE two;
SELECT store_current_sequence();
ROLLBACK TO one;
SELECT store_current_sequence(), store_get('c'), store_get('d');
SELECT store_put('d', '8');
-- A6: 6 and 7 are still undecided for everybody
SELECT store_current_sequence(), store_get('d');
RELEASE one;
COMMIT;
SELECT pg_temp.reach(8);
SELECT store_get('c'), store_get('d');
SELECT n, store_get_batch(n) FROM generate_series(5, 8) AS n ORDER BY n;

-- A2: a transaction whose first number is rolled back, and one whose last one is
BEGIN;
SAVEPOINT s;
SELECT store_put('e', '9');
ROLLBACK TO s;
SELECT store_put('e', '10');
SAVEPOINT s;
SELECT store_delete_batch('{e}');
ROLLBACK TO s;
COMMIT;
SELECT pg_temp.reach(10);
SELECT store_put('e', '12');
SELECT pg_temp.reach(12);
SELECT n, store_get_batch(n) FROM generate_series(9, 12) AS n ORDER BY n;

-- A2: errors that somebody catches
DO $$
BEGIN
	BEGIN
		PERFORM store_put('f', '13');
		RAISE EXCEPTION 'no';
	EXCEPTION WHEN raise_exception THEN
		PERFORM store_put('f', '14');
	END;
	BEGIN
		PERFORM store_put('f', '15') / 0;
	EXCEPTION WHEN division_by_zero THEN
	END;
END $$;
SELECT store_put('g', '16');
SELECT pg_temp.reach(16);
SELECT store_get('f');
SELECT n, store_get_batch(n) FROM generate_series(13, 16) AS n ORDER BY n;

-- B1, A2: errors that come after the number was taken, in the statement or at commit
CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER refuse AFTER INSERT ON store_batch_log FOR EACH ROW WHEN (new.payload <> '') EXECUTE FUNCTION pg_temp.refuse();
\set VERBOSITY sqlstate
SELECT store_put('h', '17');
DROP TRIGGER refuse ON store_batch_log;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON store_kv DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse();
SELECT store_put('h', '18');
DROP TRIGGER refuse ON store_kv;
SELECT store_put('g', '19');
SELECT pg_temp.reach(19);
SELECT store_get('h'), store_get_batch(17), store_get_batch(18), store_get_batch(19);

-- A2: a statement cancelled while it holds a number
SET statement_timeout = '200ms';
SET storeengine.debug_allocation_delay = '1h';
SELECT store_put('h', '20');
RESET storeengine.debug_allocation_delay;
RESET statement_timeout;
SELECT store_put('i', '21') AS n \gset
SELECT pg_temp.reach(:n) = :n;
SELECT store_get('h') IS NULL, count(*) = :n FROM store_batch_log;

-- A6: at every isolation level a transaction sees its own numbers with its own data
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT store_current_sequence() = :n;
SELECT store_put('a', 'rr') = :n + 1, store_put('b', 'rr') = :n + 2;
SELECT store_current_sequence() = :n + 2, store_get('a'), store_get('b'), store_oldest_retained_batch();
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT store_put('a', 'se') = :n + 3;
SELECT store_current_sequence() = :n + 3, store_get('a'), store_get('b');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
SELECT store_current_sequence() = :n + 3, store_get('a');
COMMIT;

-- A2, A9: all numbers are there, and the table is the log replayed
SELECT count(*) = :n + 3 AND max(sequence_number) = :n + 3 FROM store_batch_log;
SELECT key, encode(value, 'escape') FROM store_range_scan();
