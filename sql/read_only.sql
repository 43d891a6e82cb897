-- transactions that cannot write, or cannot be prepared after they have
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

SELECT store_put('a', '1');
SELECT store_put('b', '2');

-- B12, I: no writes in read-only transactions, whatever the arguments; reads are fine
BEGIN READ ONLY;
SELECT store_get('a'), store_current_sequence(), store_oldest_retained_batch();
SELECT * FROM store_range_scan(min_sequence_number => 2);
SELECT * FROM store_get_many('{b,nothing}', 2);
SELECT store_get_batch(1), store_get_batch_response(2);
SELECT frontier, oldest_retained FROM store_status;
SAVEPOINT s;
SELECT store_put('a', '3');
\set VERBOSITY sqlstate
ROLLBACK TO s;
SELECT store_put_batch('{a}', '{3}');
ROLLBACK TO s;
SELECT store_put_batch('{}', '{}');
ROLLBACK TO s;
SELECT store_put_batch(ARRAY[('a', '3')]::store_entry[]);
ROLLBACK TO s;
SELECT store_put_request('');
ROLLBACK TO s;
SELECT store_delete_batch('{a}');
ROLLBACK TO s;
SELECT store_delete_batch('{}');
ROLLBACK TO s;
SELECT store_prune_batch_log(1);
ROLLBACK TO s;
SELECT store_prune_batch_log(0);
ROLLBACK TO s;
SELECT store_put(NULL, NULL);
COMMIT;

-- B12: also by default, and after a write in the same transaction
SET default_transaction_read_only = on;
SELECT store_put('a', '3');
RESET default_transaction_read_only;
SELECT store_put('a', '3');
BEGIN;
SELECT store_put('a', '4');
SET TRANSACTION READ ONLY;
SELECT store_get('a'), store_current_sequence();
SAVEPOINT s;
SELECT store_put('a', '5');
ROLLBACK TO s;
COMMIT;
SELECT store_get('a'), store_current_sequence();

-- B11: a transaction that has written cannot be prepared
BEGIN;
SELECT store_put('a', 'prepared');
\set VERBOSITY default
PREPARE TRANSACTION 'storeengine';
\set VERBOSITY sqlstate
BEGIN;
SAVEPOINT s;
SELECT store_delete_batch('{a}');
RELEASE s;
PREPARE TRANSACTION 'storeengine';
SELECT store_get('a'), store_current_sequence();

-- B11: one that has only read, or has rolled its writes back, can, if the server lets anybody
SELECT current_setting('max_prepared_transactions')::int > 0 AS can_prepare \gset
BEGIN;
SELECT store_get('a'), store_current_sequence();
SAVEPOINT s;
SELECT store_put('a', 'back');
ROLLBACK TO s;
\if :can_prepare
PREPARE TRANSACTION 'storeengine';
\else
ROLLBACK;
\endif
SELECT store_put('a', 'after');
SELECT pg_temp.reach(8);
\if :can_prepare
COMMIT PREPARED 'storeengine';
\endif
SELECT store_get('a');
SELECT n, store_get_batch(n) FROM generate_series(4, 8) AS n ORDER BY n;
