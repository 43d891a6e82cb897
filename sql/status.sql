-- store_status: what the store is doing
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

-- Which process is the worker, and whether one happens to run, is not ours to say.
CREATE VIEW pg_temp.status AS
SELECT frontier, highest_allocated, in_flight, holder_pid = pg_backend_pid() AS held_by_us, holder_sequence_number AS held,
	   holder_since BETWEEN pg_postmaster_start_time() AND clock_timestamp() AS since, oldest_retained,
	   worker_state IN ('idle', 'running') AS worker_works, (worker_pid IS NOT NULL) = (worker_state = 'running') AS pid_if_running
FROM store_status;

SELECT * FROM pg_temp.status;
SELECT store_put('a', '1');
SELECT store_put('a', '2');
SELECT * FROM pg_temp.status;

-- a writer in flight
BEGIN;
SELECT store_put('a', '3');
SELECT * FROM pg_temp.status;
SAVEPOINT s;
SELECT store_put('a', '4');
SELECT * FROM pg_temp.status;
ROLLBACK TO s;
SELECT * FROM pg_temp.status;
SELECT store_put('a', '5');
SELECT * FROM pg_temp.status;
COMMIT;
SELECT pg_temp.reach(5);
SELECT * FROM pg_temp.status;

-- one that rolled back what it held: it is in flight no more
BEGIN;
SAVEPOINT s;
SELECT store_put('a', '6');
ROLLBACK TO s;
SELECT * FROM pg_temp.status;
SELECT store_put('a', '7');
SELECT * FROM pg_temp.status;
ROLLBACK;
SELECT * FROM pg_temp.status;

-- readers are not in flight
BEGIN;
SELECT store_get('a', 5), store_prune_batch_log(3);
SELECT * FROM pg_temp.status;
COMMIT;
SELECT * FROM pg_temp.status;
SELECT store_prune_batch_log(100);
SELECT * FROM pg_temp.status;

-- in the snapshot of the statement, also of an older one
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT frontier, oldest_retained, highest_allocated FROM store_status;
COMMIT;
