-- store_set_retention(): a rule for the log
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

-- The worker prunes when it gets to it: wait for that, not for a time.
CREATE FUNCTION pg_temp.settle(wanted bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 1000 LOOP
		EXIT WHEN coalesce(store_oldest_retained_batch(), 0) = wanted;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN store_oldest_retained_batch();
END $$;

-- G2: on an empty store there is nothing to retain
SELECT store_set_retention('{"keepLatest": {"count": 3}}');
SELECT rule FROM store_retention;
SELECT store_set_retention(NULL);
SELECT count(*) FROM store_retention;

SELECT count(store_put('k', int4send(i))) FROM generate_series(1, 10) AS i;

-- G1, G2: each rule is enforced at once
SELECT store_set_retention('{"greaterThan": {"threshold": "2"}}');
SELECT store_set_retention('{"greaterThanOrEqual": {"threshold": 5}}');
SELECT store_set_retention('{"keep_latest": {"count": "4"}}');
-- D5, G3: a rule that keeps more brings nothing back
SELECT store_set_retention('{"keepLatest": {"count": 100}}');
-- a threshold above everything retains nothing, and evicts no later batch
SELECT store_set_retention('{"greaterThan": {"threshold": "18446744073709551615"}}');
SELECT store_current_sequence(), store_get('k') = int4send(10);
SELECT store_set_retention(NULL);
SELECT store_put('k', 'b');
SELECT store_oldest_retained_batch();

-- G1: numbers count, so deletes do; G2: the worker keeps to it
SELECT store_set_retention('{"keepLatest": {"count": 2}}');
SELECT store_delete_batch('{k}'), store_delete_batch('{k}'), store_put('k', 'c');
SELECT pg_temp.settle(13);

-- G1: drop everything, now and later
SELECT store_set_retention('{"dropAll": {}}');
SELECT store_put('k', 'd');
SELECT pg_temp.settle(0);
SELECT store_current_sequence();

-- G3: without a rule the log grows
SELECT store_set_retention(NULL);
SELECT count(store_put('k', 'e')) FROM generate_series(1, 5);
SELECT store_oldest_retained_batch(), store_current_sequence();

-- G4: age.  These are older than they are.
UPDATE store_batch_log SET written_at = written_at - interval '1 hour' WHERE sequence_number <= 18;
SELECT store_set_retention('{"maxAge": "30 minutes"}');
SELECT store_set_retention('{"maxAge": "30 minutes", "keepLatest": {"count": 1}}');
-- an age passes though nobody writes
-- on a slow machine it is that already
SELECT coalesce(store_set_retention('{"maxAge": "100 milliseconds"}'), 20) AS oldest;
SELECT pg_temp.settle(0);

-- G4: bytes.  Each of these batches takes 100 and a few of framing.
SELECT store_set_retention(NULL);
SELECT count(store_put('k', decode(repeat('00', 100), 'hex'))) FROM generate_series(1, 10);
SELECT store_set_retention('{"maxBytes": 550}') - store_current_sequence() AS first_kept;
SELECT sum(octet_length(payload)) <= 550 AND sum(octet_length(payload)) + 108 > 550 AS as_many_as_fit FROM store_batch_log;
SELECT store_set_retention('{"maxBytes": "1kB"}') - store_current_sequence() AS first_kept;
SELECT store_delete_batch(array_agg(decode(repeat(lpad(to_hex(i), 2, '0'), 100), 'hex'))) - store_current_sequence() AS ahead FROM generate_series(1, 9) AS i;
SELECT pg_temp.settle(store_current_sequence()) = store_current_sequence() AS deletes_count;
SELECT count(*), sum(octet_length(deleted_keys)) FROM store_batch_log;

-- A rule belongs to the transaction that sets it.
BEGIN;
SELECT store_set_retention('{"dropAll": {}}');
ROLLBACK;
SELECT rule, store_oldest_retained_batch() = store_current_sequence() AS still_there FROM store_retention;

-- I: refused, and nothing changes
\set VERBOSITY sqlstate
SELECT store_set_retention('{}');
SELECT store_set_retention('[]');
SELECT store_set_retention('null');
SELECT store_set_retention('{"keepLatest": {}}');
SELECT store_set_retention('{"keepLatest": {"count": 0}}');
SELECT store_set_retention('{"keepLatest": {"count": -1}}');
SELECT store_set_retention('{"keepLatest": {"count": "many"}}');
SELECT store_set_retention('{"keepLatest": {"count": "18446744073709551616"}}');
SELECT store_set_retention('{"keepLatest": {"count": 1}, "keep_latest": {"count": 1}}');
SELECT store_set_retention('{"keepOldest": {"count": 1}}');
SELECT store_set_retention('{"dropAll": {"really": true}}');
SELECT store_set_retention('{"maxAge": "soon"}');
SELECT store_set_retention('{"maxAge": "-1 hour"}');
SELECT store_set_retention('{"maxAge": 5}');
SELECT store_set_retention('{"maxBytes": 0}');
SELECT store_set_retention('{"maxBytes": "lots"}');
\set VERBOSITY terse
SELECT store_set_retention('{"keepLatest": {"count": 0}}');
SELECT store_set_retention('{"keepOldest": {"count": 1}}');
\set VERBOSITY default
SELECT rule FROM store_retention;

-- B12: where nobody can write
BEGIN READ ONLY;
SELECT store_set_retention(NULL);
ROLLBACK;

-- Rights: the function, the rule, and what pruning takes.
CREATE ROLE regress_keeper;
SET ROLE regress_keeper;
SELECT store_set_retention(NULL);
RESET ROLE;
GRANT EXECUTE ON FUNCTION store_set_retention TO regress_keeper;
SET ROLE regress_keeper;
SELECT store_set_retention(NULL);
RESET ROLE;
GRANT SELECT, INSERT, UPDATE, DELETE ON store_retention TO regress_keeper;
GRANT SELECT, DELETE ON store_batch_log TO regress_keeper;
GRANT SELECT, INSERT, DELETE ON store_control TO regress_keeper;
SET ROLE regress_keeper;
SELECT store_set_retention('{"dropAll": {}}');
SELECT store_set_retention(NULL);
RESET ROLE;
DROP OWNED BY regress_keeper;
DROP ROLE regress_keeper;

-- a trigger that keeps the rule from being set
CREATE FUNCTION pg_temp.suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE INSERT ON store_retention FOR EACH ROW EXECUTE FUNCTION pg_temp.suppress();
\set VERBOSITY sqlstate
SELECT store_set_retention('{"dropAll": {}}');
\set VERBOSITY default
DROP TRIGGER suppress ON store_retention;
