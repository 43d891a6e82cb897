-- a store whose owner altered its tables: each is named, nothing is guessed
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SELECT store_put('a', '1'), store_put('b', '2');
SELECT store_current_sequence();

-- I: tables that have gone
BEGIN;
ALTER TABLE store_control RENAME TO other_control;
SELECT store_get('a', 1);
ROLLBACK;
BEGIN;
ALTER TABLE store_retention RENAME TO other_retention;
SELECT store_get('a', 1);
ROLLBACK;

-- I: primary keys over other columns
BEGIN;
ALTER TABLE store_batch_log DROP CONSTRAINT store_batch_log_pkey, ADD PRIMARY KEY (sequence_number, stable);
SAVEPOINT s;
SELECT store_current_sequence();
ROLLBACK TO s;
ALTER TABLE store_batch_log DROP CONSTRAINT store_batch_log_pkey, ADD PRIMARY KEY (payload);
SELECT store_current_sequence();
ROLLBACK;

-- F3: the last batch is missed, too, if its row cannot be seen
BEGIN;
CREATE ROLE regress_blind;
GRANT SELECT ON store_batch_log TO regress_blind;
ALTER TABLE store_batch_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY early ON store_batch_log USING (sequence_number < 2);
SET ROLE regress_blind;
SELECT * FROM store_read_log(0);
ROLLBACK;

-- the tally of bytes is not trusted beyond the log
BEGIN;
INSERT INTO store_control VALUES ('tally', 1000, 1000000, now());
SELECT store_set_retention('{"maxBytes": 1000000}');
ROLLBACK;

SELECT store_current_sequence(), store_get('a'), store_get('b');
