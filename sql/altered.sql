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

-- I: columns of the log
BEGIN;
ALTER TABLE store_batch_log ALTER payload TYPE text USING payload::text;
SELECT * FROM store_read_log(0);
ROLLBACK;
BEGIN;
ALTER TABLE store_batch_log RENAME written_at TO at;
SELECT oldest_written_at FROM store_status;
ROLLBACK;
BEGIN;
ALTER TABLE store_batch_log DROP deleted_keys;
SELECT oldest_written_at FROM store_status;
ROLLBACK;
BEGIN;
ALTER TABLE store_batch_log ALTER payload DROP NOT NULL, ALTER written_at DROP NOT NULL;
UPDATE store_batch_log SET payload = NULL, written_at = NULL WHERE sequence_number = 1;
SELECT oldest_retained, oldest_written_at FROM store_status;
SELECT * FROM store_read_log(0);
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

-- what cannot be read of the floor counts as nothing
BEGIN;
SELECT store_prune_batch_log(2);
ALTER TABLE store_control ALTER bytes TYPE numeric;
ALTER TABLE store_control ALTER noted_at DROP NOT NULL;
UPDATE store_control SET noted_at = NULL;
SELECT oldest_retained, last_prune_at FROM store_status;
ROLLBACK;

-- I: the rule
BEGIN;
ALTER TABLE store_retention ALTER rule TYPE text;
INSERT INTO store_retention (rule) VALUES ('{"keepLatest": {"count": 1}}');
SELECT retention FROM store_status;
ROLLBACK;
BEGIN;
ALTER TABLE store_retention ALTER rule DROP NOT NULL;
INSERT INTO store_retention (rule) VALUES (NULL);
SELECT retention, retention_lag FROM store_status;
ROLLBACK;

-- the tally of bytes is not trusted beyond the log
BEGIN;
INSERT INTO store_control VALUES ('tally', 1000, 1000000, now());
SELECT store_set_retention('{"maxBytes": 1000000}');
ROLLBACK;

SELECT store_current_sequence(), store_get('a'), store_get('b');
