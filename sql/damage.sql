-- a store that somebody tampered with, or that is not there
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SELECT store_put('a', '1');

-- I: a type that is not ours any more
BEGIN;
ALTER TYPE store_entry ADD ATTRIBUTE extra integer;
SAVEPOINT s;
SELECT store_put_batch(ARRAY[('a', 'b', 1)]::store_entry[]);
ROLLBACK TO s;
\set VERBOSITY sqlstate
SELECT store_get_batch(1);
ROLLBACK;
BEGIN;
ALTER TYPE store_entry ALTER ATTRIBUTE value TYPE text;
SAVEPOINT s;
SELECT store_put_batch(ARRAY[('a', 'b')]::store_entry[]);
ROLLBACK TO s;
SELECT store_get_batch(1);
ROLLBACK;
\set VERBOSITY default

-- I: relations that are missing
BEGIN;
ALTER TABLE store_kv RENAME TO store_kv_renamed;
SAVEPOINT s;
SELECT store_get('a');
\set VERBOSITY sqlstate
ROLLBACK TO s;
SELECT store_put('a', '2');
ROLLBACK;
BEGIN;
ALTER SEQUENCE store_sequence RENAME TO store_sequence_renamed;
SELECT store_put('a', '2');
ROLLBACK;
BEGIN;
ALTER TABLE store_batch_log RENAME TO store_batch_log_renamed;
CREATE VIEW store_batch_log AS SELECT * FROM store_batch_log_renamed;
SELECT store_get_batch(1);
ROLLBACK;
\set VERBOSITY default

-- I: primary keys that are missing
BEGIN;
ALTER TABLE store_batch_log DROP CONSTRAINT store_batch_log_pkey;
SAVEPOINT s;
SELECT store_current_sequence();
\set VERBOSITY sqlstate
ROLLBACK TO s;
SELECT store_get('a', 1);
ROLLBACK TO s;
SELECT store_get_batch_response(1);
ROLLBACK;
BEGIN;
ALTER TABLE store_control DROP CONSTRAINT store_control_pkey;
SELECT store_prune_batch_log(1);
ROLLBACK;
BEGIN;
ALTER TABLE store_kv DROP CONSTRAINT store_kv_pkey;
SELECT store_get('a');
ROLLBACK;
SELECT store_put('a', '2'), store_current_sequence();
SELECT store_get('a'), store_current_sequence();

-- I: no extension at all, and functions that outlived it
CREATE FUNCTION lost_put(bytea, bytea) RETURNS bigint AS '$libdir/storeengine', 'store_put' LANGUAGE C;
CREATE FUNCTION lost_get(bytea, bigint) RETURNS bytea AS '$libdir/storeengine', 'store_get' LANGUAGE C;
SELECT lost_put('a', '3'), lost_get('a', NULL);
SET client_min_messages = warning;
DROP EXTENSION storeengine;
RESET client_min_messages;
\set VERBOSITY default
SELECT lost_put('a', '4');
\set VERBOSITY sqlstate
SELECT lost_get('a', NULL);
SELECT lost_get('a', 1);

-- gone and back in one session, and in one transaction that is rolled back
CREATE EXTENSION storeengine;
SELECT lost_put('a', '1'), store_current_sequence();
BEGIN;
DROP EXTENSION storeengine;
CREATE EXTENSION storeengine;
SELECT store_put('b', '1'), store_put('b', '2');
SELECT store_current_sequence();
ROLLBACK;
SELECT store_get('a'), store_get('b'), store_current_sequence();
SELECT store_put('b', '3');
SELECT store_current_sequence();
DROP FUNCTION lost_put, lost_get;

-- I: columns that are not ours any more; nothing is read as what it is not
BEGIN;
ALTER TABLE store_batch_log DROP CONSTRAINT store_batch_log_check;
SAVEPOINT s;
ALTER TABLE store_batch_log ALTER sequence_number TYPE numeric;
SELECT store_current_sequence();
ROLLBACK TO s;
ALTER TABLE store_batch_log ALTER stable TYPE numeric;
SELECT store_current_sequence();
ROLLBACK TO s;
ALTER TABLE store_control ALTER item TYPE text;
SELECT store_current_sequence();
ROLLBACK;

-- NULL where NOT NULL keeps it out, but damage can bring it in
BEGIN;
UPDATE pg_attribute SET attnotnull = false
	WHERE attrelid IN ('store_kv'::regclass, 'store_batch_log'::regclass) AND attname IN ('value', 'payload');
UPDATE store_kv SET value = NULL;
UPDATE store_batch_log SET payload = NULL;
UPDATE pg_attribute SET attnotnull = true
	WHERE attrelid IN ('store_kv'::regclass, 'store_batch_log'::regclass) AND attname IN ('value', 'payload');
SAVEPOINT s;
SELECT store_get('a');
ROLLBACK TO s;
SELECT store_get_batch(1);
ROLLBACK TO s;
SELECT store_get_batch_response(1);
ROLLBACK TO s;
SELECT * FROM store_read_log(0);
ROLLBACK;

-- a row above the sequence proves nothing about the numbers below it, and a
-- stamp cannot vouch for its own row
BEGIN;
INSERT INTO store_batch_log VALUES (1000, 1000, now(), '', NULL);
ROLLBACK;
INSERT INTO store_batch_log VALUES (1000000, 0, now(), '', NULL);
SELECT store_put('b', '2') - store_current_sequence() <= 1 AS next_number;
BEGIN;
SELECT store_put('c', '3') > 0 AS put;
ROLLBACK;
SELECT store_put('d', '4') > 0 AS put;
DO $$
BEGIN
	FOR i IN 1 .. 1000 LOOP
		EXIT WHEN store_current_sequence() >= (SELECT last_value FROM store_sequence);
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
SELECT store_current_sequence() - (SELECT last_value FROM store_sequence) AS behind;

-- what is not pruned does not count as pruned
CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER suppress BEFORE DELETE ON store_batch_log FOR EACH ROW EXECUTE FUNCTION suppress();
SELECT store_prune_batch_log(3);
DROP TRIGGER suppress ON store_batch_log;
CREATE TRIGGER suppress BEFORE INSERT ON store_control FOR EACH ROW EXECUTE FUNCTION suppress();
SELECT store_prune_batch_log(3);
DROP TRIGGER suppress ON store_control;
SELECT store_oldest_retained_batch();

DROP EXTENSION storeengine;
DROP FUNCTION suppress;
CREATE EXTENSION storeengine;
