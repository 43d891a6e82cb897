-- store_history(): which course of events numbers belong to
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

-- before the first write there is none
SELECT store_history() IS NULL;
SELECT sequence_number, op, history IS NULL FROM store_read_log(0);

-- what rolls back begins none, as far as anybody can see
BEGIN;
SELECT store_put('undone', '');
SELECT store_history() IS NOT NULL;
ROLLBACK;
SELECT store_history() IS NULL;
SELECT count(*) FROM store_histories;

-- it is noted with the first batch that stays, once
BEGIN;
SAVEPOINT before;
SELECT store_put('undone', '');
ROLLBACK TO before;
SELECT store_put('a', '1');
SELECT store_put('b', '2');
COMMIT;
SELECT store_put('c', '3');
SELECT ordinal, sequence_number, follows FROM store_histories;
CALL store_wait_for_sequence(5);

-- F8: a cursor is a number and the history that it was read in
SELECT history = store_history() FROM store_read_log(0) WHERE op = 'progress';
SELECT op, convert_from(key, 'UTF8'), history = store_history() FROM store_read_log(4, since_history => store_history());
SELECT op, history = store_history() FROM store_read_log(3, max_batches => 1, since_history => store_history());
SELECT sequence_number, op FROM store_read_log(NULL, since_history => store_history());
SELECT sequence_number, op FROM store_read_log(6);

-- with it a cursor above the current number does not ask for new batches
\set VERBOSITY sqlstate
SELECT * FROM store_read_log(6, since_history => store_history());
-- nobody knows this one
\set VERBOSITY default
SELECT * FROM store_read_log(3, since_history => '00000000-0000-0000-0000-000000000001');
\set VERBOSITY sqlstate
SELECT * FROM store_read_log(6, since_history => '00000000-0000-0000-0000-000000000001');

-- histories that part
UPDATE store_histories SET history = '00000000-0000-0000-0000-000000000001';
INSERT INTO store_histories VALUES (2, 4, '00000000-0000-0000-0000-000000000002', 3), (2, 5, '00000000-0000-0000-0000-000000000002', 3);
SELECT store_history();
SELECT sequence_number, history FROM store_read_log(2, max_batches => 1) WHERE op = 'progress';
SELECT sequence_number, history FROM store_read_log(3, max_batches => 1) WHERE op = 'progress';
SELECT sequence_number, op FROM store_read_log(3, since_history => '00000000-0000-0000-0000-000000000001');
SELECT sequence_number, op FROM store_read_log(5, since_history => '00000000-0000-0000-0000-000000000002');
SELECT sequence_number, op FROM store_read_log(2, max_batches => 1, since_history => '00000000-0000-0000-0000-000000000002');
\set VERBOSITY default
SELECT * FROM store_read_log(4, since_history => '00000000-0000-0000-0000-000000000001');
\set VERBOSITY sqlstate
INSERT INTO store_histories VALUES (3, 6, '00000000-0000-0000-0000-000000000003', 5);
SELECT * FROM store_read_log(4, since_history => '00000000-0000-0000-0000-000000000001');
SELECT sequence_number, op FROM store_read_log(5, since_history => '00000000-0000-0000-0000-000000000002');
SELECT * FROM store_read_log(6, since_history => '00000000-0000-0000-0000-000000000002');

-- pruning forgets those of which nothing is left, the floor included
SELECT store_prune_batch_log(4);
SELECT ordinal, sequence_number FROM store_histories ORDER BY 1, 2;
SELECT sequence_number, op FROM store_read_log(3, max_batches => 1, since_history => '00000000-0000-0000-0000-000000000001');
SELECT store_prune_batch_log(5);
SELECT ordinal, sequence_number FROM store_histories ORDER BY 1, 2;
SELECT store_prune_batch_log(6);
SELECT ordinal, sequence_number FROM store_histories ORDER BY 1, 2;
SELECT sequence_number, op, history FROM store_read_log(5);

-- a snapshot has the history it had
SET client_min_messages = warning;
DROP EXTENSION storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;
SELECT store_put('a', '1');
CREATE TEMPORARY TABLE seen AS SELECT store_history();
SELECT store_history FROM seen INTERSECT SELECT '00000000-0000-0000-0000-000000000003';
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT store_put('b', '2');
SELECT store_history() = (SELECT store_history FROM seen);
COMMIT;
SELECT count(*) FROM store_histories;

-- privileges: as for the current number; whoever writes needs none on the notes
CREATE ROLE regress_history;
SET ROLE regress_history;
SELECT store_history();
RESET ROLE;
GRANT SELECT (sequence_number) ON store_batch_log TO regress_history;
SET ROLE regress_history;
SELECT store_history() IS NOT NULL;
SELECT * FROM store_histories;
RESET ROLE;
REVOKE SELECT (sequence_number) ON store_batch_log FROM regress_history;
SET client_min_messages = warning;
DROP EXTENSION storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;
GRANT SELECT, INSERT, UPDATE ON store_kv TO regress_history;
GRANT INSERT ON store_batch_log TO regress_history;
GRANT USAGE ON SEQUENCE store_sequence TO regress_history;
GRANT EXECUTE ON FUNCTION store_put TO regress_history;
SET ROLE regress_history;
SELECT store_put('a', '1');
RESET ROLE;
SELECT sequence_number, follows FROM store_histories;

-- a note that is suppressed, or a table that was altered, is noticed
SET client_min_messages = warning;
DROP EXTENSION storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;
DROP OWNED BY regress_history;
DROP ROLE regress_history;
\set VERBOSITY default
CREATE RULE suppress AS ON INSERT TO store_histories DO INSTEAD NOTHING;
SELECT store_put('a', '1');
DROP RULE suppress ON store_histories;
ALTER TABLE store_histories ALTER COLUMN follows TYPE numeric;
SELECT store_put('a', '1');
SELECT store_history();
ALTER TABLE store_histories ALTER COLUMN follows TYPE bigint;
ALTER TABLE store_histories DROP CONSTRAINT store_histories_pkey;
SELECT store_put('a', '1');
ALTER TABLE store_histories ADD PRIMARY KEY (ordinal, sequence_number);
SELECT store_put('a', '1') > 0;
SELECT count(*) FROM store_histories;

-- store_verify() leaves notes of its own transaction alone: they may be newer than its snapshot
SET client_min_messages = warning;
DROP EXTENSION storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;
BEGIN;
SELECT store_put('a', '1');
SELECT result, checked FROM store_verify() WHERE check_name = 'histories';
COMMIT;
SELECT result, checked FROM store_verify() WHERE check_name = 'histories';

-- a rule that makes nothing of a statement does not have it planned again and again
CREATE RULE suppress AS ON DELETE TO store_histories DO INSTEAD NOTHING;
SELECT store_prune_batch_log(store_put('a', '1'));
CREATE TEMPORARY TABLE plans AS SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'SPI Plan';
SELECT count(store_prune_batch_log(store_put('a', '1'))) FROM generate_series(1, 100);
SELECT (SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'SPI Plan') - count < 10 AS few FROM plans;
