-- store_prune_batch_log(): pruning the log
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

-- D3: nothing to prune
SELECT store_prune_batch_log(0), store_prune_batch_log(1), store_prune_batch_log(100);
SELECT store_current_sequence(), store_oldest_retained_batch();
SELECT count(*) FROM store_control;

SELECT store_put('a', int4send(i)) FROM generate_series(1, 10) AS i;

-- D3: what is below goes, and is counted; again, there is nothing
SELECT store_prune_batch_log(0), store_prune_batch_log(1);
SELECT store_prune_batch_log(4);
SELECT store_prune_batch_log(4), store_prune_batch_log(2);
SELECT store_oldest_retained_batch(), store_current_sequence(), count(*), min(sequence_number) FROM store_batch_log;
SELECT n, store_get_batch(n) IS NULL AS missing FROM generate_series(2, 5) AS n ORDER BY n;

-- D3, D6: keys and numbers stay, and nothing is logged
SELECT store_get('a'), store_current_sequence();
SELECT store_put('b', '1');

-- deletes and empty batches count like others
SELECT store_delete_batch('{b}'), store_put_batch('{}', '{}');
SELECT store_prune_batch_log(14);

-- A5, D4: the log is empty, the number stays, later batches are retained
SELECT store_current_sequence(), store_oldest_retained_batch(), count(*) FROM store_batch_log;
SELECT store_prune_batch_log(1000000);
SELECT store_put('b', '2');
SELECT store_current_sequence(), store_oldest_retained_batch(), store_get_batch(14);

-- A11, D4: after everything
SELECT store_prune_batch_log(9223372036854775807);
SELECT store_put('b', '3');
SELECT store_current_sequence(), store_oldest_retained_batch(), store_get_batch(15);

-- D5: what is gone stays gone, however low the cutoff
SELECT store_prune_batch_log(1);
SELECT store_get_batch(14), store_oldest_retained_batch();

-- in a transaction: with it, and back with it
BEGIN;
SELECT store_put('c', '1');
SELECT store_prune_batch_log(17);
SELECT store_oldest_retained_batch(), store_current_sequence(), store_get_batch(16);
SELECT store_put('c', '2');
SELECT store_oldest_retained_batch(), store_current_sequence(), store_prune_batch_log(100);
ROLLBACK;
SELECT store_oldest_retained_batch(), store_current_sequence();
BEGIN;
SAVEPOINT s;
SELECT store_prune_batch_log(100);
SELECT store_oldest_retained_batch(), store_current_sequence();
ROLLBACK TO s;
SELECT store_oldest_retained_batch(), store_current_sequence();
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT store_oldest_retained_batch();
SELECT store_prune_batch_log(100);
SELECT store_oldest_retained_batch(), store_current_sequence();
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT store_prune_batch_log(100);
SELECT store_oldest_retained_batch(), store_current_sequence();
COMMIT;

-- the floor is one row, and no function of what has been deleted
SELECT item, number FROM store_control WHERE item = 'floor';

-- many batches
SELECT count(store_put('d', int4send(i))) FROM generate_series(1, 5000) AS i;
SELECT pg_temp.reach(5017);
SELECT store_oldest_retained_batch();
SELECT store_prune_batch_log(5017);
SELECT store_oldest_retained_batch(), count(*) FROM store_batch_log;

--
-- Errors: A11, B12.
--
SELECT store_prune_batch_log(-1);
SELECT store_prune_batch_log(NULL);
BEGIN READ ONLY;
SELECT store_prune_batch_log(1);
ROLLBACK;
\set VERBOSITY sqlstate
SELECT store_prune_batch_log(-9223372036854775808);
SELECT store_prune_batch_log(NULL);
BEGIN READ ONLY;
SELECT store_prune_batch_log(0);
ROLLBACK;
