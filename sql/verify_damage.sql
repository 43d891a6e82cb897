-- store_verify(): each thing that can be wrong, done on purpose, is named
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;
\set check 'SELECT check_name, result, checked, sequence_number, convert_from(key, ''UTF8'') AS key, detail FROM store_verify() WHERE result <> ''ok'';'

-- 13 batches, of which the last says that the others are complete
SELECT store_put(key, value) FROM (VALUES ('a'::bytea, '1'::bytea), ('b', '2'), ('c', '3'), ('a', '4')) AS pairs (key, value);
SELECT store_delete_batch('{b}'), store_put_batch('{d,e,d}', '{7,7,77}'), store_put('f', '8'), store_delete_batch('{g}');
SELECT store_put('h', '9'), store_put('i', '10'), store_put('j', '11'), store_put('k', '12');
SELECT store_current_sequence();
SELECT store_put('l', '13');
:check

-- A2: batches that are missing: we do not know what became of their keys
BEGIN;
DELETE FROM store_batch_log WHERE sequence_number IN (3, 5, 9);
:check
DELETE FROM store_batch_log WHERE sequence_number = 1;
SELECT check_name, result, checked, sequence_number FROM store_verify() WHERE result <> 'ok' AND check_name <> 'pairs';
ROLLBACK;
-- the last one, which no other one tells of
BEGIN;
DELETE FROM store_batch_log WHERE sequence_number = 13;
:check
ROLLBACK;
-- all of them
BEGIN;
DELETE FROM store_batch_log;
INSERT INTO store_control VALUES ('anchor', 13, 0, now());
SELECT check_name, result, checked, sequence_number, detail FROM store_verify() WHERE result <> 'ok' AND check_name <> 'pairs';
ROLLBACK;

-- more missing ones than are told
BEGIN;
INSERT INTO store_control VALUES ('anchor', 1000000000000, 0, now());
SELECT check_name, count(*), max(sequence_number), max(detail) FILTER (WHERE result = 'failed') AS summary
FROM store_verify() WHERE result <> 'ok' GROUP BY check_name;
ROLLBACK;

-- the same batch twice
BEGIN;
CREATE TABLE more () INHERITS (store_batch_log);
INSERT INTO more SELECT * FROM store_batch_log WHERE sequence_number = 13;
:check
ROLLBACK;

-- payloads: rubbish, cut off, an unknown field left open, a key that is too long, none at all
BEGIN;
UPDATE store_batch_log SET payload = 'rubbish' WHERE sequence_number = 1;
UPDATE store_batch_log SET payload = substr(payload, 1, length(payload) - 1) WHERE sequence_number = 2;
UPDATE store_batch_log SET payload = payload || payload || '\x1a' WHERE sequence_number = 3;
UPDATE store_batch_log SET payload = '\x1282020aff01'::bytea || decode(repeat('61', 255), 'hex') WHERE sequence_number = 4;
UPDATE store_batch_log SET deleted_keys = '\x12' WHERE sequence_number = 8;
-- what NOT NULL keeps out damage can bring in
UPDATE pg_attribute SET attnotnull = false WHERE attrelid = 'store_batch_log'::regclass AND attname = 'payload';
UPDATE store_batch_log SET payload = NULL WHERE sequence_number = 13;
UPDATE pg_attribute SET attnotnull = true WHERE attrelid = 'store_batch_log'::regclass AND attname = 'payload';
:check
ROLLBACK;

-- stamps: of a batch itself, of one above, none at all
BEGIN;
ALTER TABLE store_batch_log DROP CONSTRAINT store_batch_log_check;
UPDATE pg_attribute SET attnotnull = false WHERE attrelid = 'store_batch_log'::regclass AND attname = 'stable';
UPDATE store_batch_log SET stable = 10 WHERE sequence_number = 10;
UPDATE store_batch_log SET stable = NULL WHERE sequence_number = 11;
UPDATE store_batch_log SET stable = 1000 WHERE sequence_number = 13;
UPDATE pg_attribute SET attnotnull = true WHERE attrelid = 'store_batch_log'::regclass AND attname = 'stable';
:check
ROLLBACK;

-- D5: a floor that is too high, in the log and above it; one that makes no sense
BEGIN;
INSERT INTO store_control VALUES ('floor', 2, 0, now());
:check
INSERT INTO store_control VALUES ('floor', 100, 0, now());
SELECT check_name, result, sequence_number, detail FROM store_verify() WHERE result <> 'ok' AND check_name <> 'log';
ROLLBACK;
BEGIN;
INSERT INTO store_control VALUES ('floor', -1, 0, now());
:check
ROLLBACK;

-- a floor that is too low, or lost, or that was not raised; a batch that is back
BEGIN;
SELECT store_prune_batch_log(4);
:check
UPDATE store_control SET number = 2;
:check
DELETE FROM store_control;
:check
ROLLBACK;
BEGIN;
SELECT store_prune_batch_log(4);
INSERT INTO store_batch_log VALUES (2, 0, now(), '\x12060a0163120178', NULL);
:check
ROLLBACK;

-- a tally that miscounts
BEGIN;
SELECT store_prune_batch_log(4);
INSERT INTO store_control SELECT 'tally', 10, sum(length(payload) + coalesce(length(deleted_keys), 0)), now()
FROM store_batch_log WHERE sequence_number <= 10;
SELECT check_name, result, checked FROM store_verify() WHERE check_name = 'floor';
UPDATE store_control SET bytes = bytes - 1 WHERE item = 'tally';
:check
ROLLBACK;

-- a sequence that is behind the log, or behind the floor, or that does not count by one
SELECT setval('store_sequence', 12);
:check
BEGIN;
SELECT store_prune_batch_log(1000);
:check
ROLLBACK;
SELECT setval('store_sequence', 13);
ALTER SEQUENCE store_sequence CACHE 10;
:check
ALTER SEQUENCE store_sequence CACHE 1 INCREMENT 2;
:check
ALTER SEQUENCE store_sequence INCREMENT 1 CYCLE;
:check
ALTER SEQUENCE store_sequence NO CYCLE;
-- a batch above the sequence proves nothing about the numbers in between
INSERT INTO store_batch_log VALUES (1000, 0, now(), '', NULL);
:check
DELETE FROM store_batch_log WHERE sequence_number = 1000;
:check

-- A9: pairs changed by hand: one byte of a value, its length; deleted ones back, present ones gone, new ones
BEGIN;
UPDATE store_kv SET value = '5' WHERE key = 'a';
UPDATE store_kv SET value = '33' WHERE key = 'c';
INSERT INTO store_kv VALUES ('b', '2'), ('g', ''), ('new', '1');
UPDATE store_kv SET value = '7' WHERE key = 'd';
DELETE FROM store_kv WHERE key = 'f';
UPDATE store_kv SET key = 'H' WHERE key = 'h';
UPDATE store_kv SET value = '' WHERE key = 'i';
:check
-- once something has been pruned, a key that no batch in the log wrote may be right
SELECT store_prune_batch_log(4);
SELECT check_name, result, sequence_number, convert_from(key, 'UTF8') AS key FROM store_verify() WHERE result <> 'ok';
ROLLBACK;

-- more than are told
BEGIN;
SELECT store_put_batch(array_agg(int4send(i)), array_agg('x'::bytea)) FROM generate_series(1, 1001) AS i;
UPDATE store_kv SET value = 'y' WHERE value = 'x' AND key <= int4send(1000);
SELECT result, count(*), max(detail) FROM store_verify() WHERE result <> 'ok' GROUP BY result ORDER BY result;
UPDATE store_kv SET value = 'y' WHERE value = 'x';
SELECT result, count(*), max(detail) FROM store_verify() WHERE result <> 'ok' GROUP BY result ORDER BY result;
ROLLBACK;

-- the difference of one byte in a large value
BEGIN;
SELECT store_put('large', decode(repeat('00ff', 100000), 'hex'));
UPDATE store_kv SET value = set_byte(value, 199999, 254) WHERE key = 'large';
:check
ROLLBACK;

-- F8: histories: one from the future, one that comes before its own past, notes that differ, a name twice; those
-- of a transaction itself do not count, so they are committed
INSERT INTO store_histories VALUES (2, 1000, '00000000-0000-0000-0000-000000000002', 999);
INSERT INTO store_histories VALUES (3, 9, '00000000-0000-0000-0000-000000000003', 5), (3, 10, '00000000-0000-0000-0000-000000000004', 5);
INSERT INTO store_histories VALUES (4, 11, '00000000-0000-0000-0000-000000000003', 4), (5, 12, '00000000-0000-0000-0000-000000000003', 12);
:check
DELETE FROM store_histories WHERE ordinal > 1;

-- keys and values that the table should not take
BEGIN;
ALTER TABLE store_kv DROP CONSTRAINT store_kv_pkey, DROP CONSTRAINT store_kv_key_check;
UPDATE pg_attribute SET attnotnull = false WHERE attrelid = 'store_kv'::regclass AND attname IN ('key', 'value');
INSERT INTO store_kv VALUES ('a', '4'), (NULL, '1'), (decode(repeat('61', 255), 'hex'), '2');
UPDATE store_kv SET value = NULL WHERE key = 'c';
UPDATE pg_attribute SET attnotnull = true WHERE attrelid = 'store_kv'::regclass AND attname IN ('key', 'value');
SELECT check_name, result, sequence_number, convert_from(key, 'UTF8') AS key, detail FROM store_verify() WHERE result <> 'ok' ORDER BY detail COLLATE "C";
ROLLBACK;

-- I: columns and keys that are not ours any more are errors
\set VERBOSITY terse
BEGIN;
ALTER EXTENSION storeengine DROP FUNCTION store_get_many;
ALTER EXTENSION storeengine DROP FUNCTION store_range_scan;
DROP FUNCTION store_get_many, store_range_scan;
ALTER TABLE store_kv ALTER value TYPE text USING encode(value, 'escape');
SELECT count(*) FROM store_verify();
ROLLBACK;
BEGIN;
ALTER TABLE store_batch_log ALTER payload TYPE text USING encode(payload, 'escape');
SELECT count(*) FROM store_verify();
ROLLBACK;
BEGIN;
ALTER TABLE store_batch_log DROP CONSTRAINT store_batch_log_pkey;
SELECT count(*) FROM store_verify();
ROLLBACK;

-- and nothing of all this is left
\set VERBOSITY default
:check
