-- store_verify(): a sound store, whatever it has been through; who may call it
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;
-- The worker fills holes when it gets to it: wait for that, not for a time.
CREATE FUNCTION pg_temp.reach(wanted bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 18000 LOOP
		EXIT WHEN store_current_sequence() >= wanted;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN store_current_sequence();
END $$;

\set check 'SELECT check_name, result, checked, sequence_number, key, detail FROM store_verify() WHERE result <> ''ok'' OR check_name IN (''log'', ''pairs'');'

-- an empty store
SELECT * FROM store_verify();

-- A9: puts, overwrites, deletes, of what is there and what is not, and puts again
SELECT store_put(key, value) FROM (VALUES ('a'::bytea, '1'::bytea), ('b', '2'), ('c', '3'), ('a', '4')) AS pairs (key, value);
SELECT store_delete_batch('{b,nothing}'), store_put('b', '5'), store_delete_batch('{c}');
-- B2, B3, B4, B5, B6: duplicates, the empty key, the empty value, empty batches
SELECT store_put_batch('{d,e,d,"",d}', '{1,2,3,"",4}'), store_put_batch('{}', '{}'), store_delete_batch('{}'), store_delete_batch('{e,e}');
-- the longest key, and values that are stored in pieces and compressed
SELECT store_put(decode(repeat('ff', 254), 'hex'), decode(repeat('00ff', 100000), 'hex'));
SELECT store_put('f', (SELECT string_agg(sha256(int4send(i)), '') FROM generate_series(1, 1000) AS i));
SELECT * FROM store_verify();

-- A3: an empty batch where a write was rolled back: verifying waits for it
BEGIN;
SELECT store_put('a', 'undone');
ROLLBACK;
SELECT store_put('a', '6');
SELECT * FROM store_verify() WHERE result <> 'ok';
SELECT pg_temp.reach(15);
:check

-- not for one above which it wrote itself, as nobody else can see that ...
BEGIN;
SELECT store_put('a', 'undone');
ROLLBACK;
BEGIN;
SELECT store_put('a', '6');
SELECT check_name, result, checked FROM store_verify() WHERE result <> 'ok' OR check_name = 'numbers';
COMMIT;
-- ... but for one of which nobody has heard
SELECT nextval('store_sequence');
SELECT store_put('a', '6');
BEGIN;
SELECT store_put('a', '6');
SELECT * FROM store_verify() WHERE result <> 'ok';
COMMIT;
SELECT pg_temp.reach(20);

-- B10: what the caller's own transaction has done so far, and undone
BEGIN;
SELECT store_put('a', '7'), store_delete_batch('{b}');
SAVEPOINT s;
SELECT store_put('b', '8');
:check
ROLLBACK TO s;
SELECT store_put('g', '9');
:check
ROLLBACK;
SELECT store_put('g', '10');
SELECT pg_temp.reach(25);
:check

-- in every isolation level, and read-only
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT store_put('g', '11');
:check
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY;
:check
COMMIT;

-- D3: pruned: keys whose last write is gone are not compared; nor, of course, others that are not there
SELECT store_prune_batch_log(24);
:check
SELECT store_delete_batch('{d}'), store_delete_batch('{d}');
BEGIN;
SELECT store_prune_batch_log(29);
SELECT store_put('d', '1');
:check
ROLLBACK;
SELECT store_prune_batch_log(1000000) > 0 AS pruned;
SELECT * FROM store_verify();

-- many keys, in many batches and in one; more than fit into memory
SET work_mem = '64kB';
SELECT count(store_put(int4send(i % 500), int4send(i))) FROM generate_series(1, 2000) AS i;
SELECT store_put_batch(array_agg(int4send(i)), array_agg(int4send(-i))) > 0 AS put FROM generate_series(1, 10000) AS i;
SELECT check_name, checked FROM store_verify() WHERE result <> 'ok' OR check_name IN ('log', 'pairs');
RESET work_mem;

-- the statement's snapshot counts: what the statement itself writes is not in it
SELECT store_put('h', '1') > 0 AS put, count(*) FILTER (WHERE result <> 'ok') AS problems FROM store_verify();

-- privileges: EXECUTE, and SELECT on what is read
CREATE ROLE regress_store_verifier;
SET ROLE regress_store_verifier;
SELECT * FROM store_verify();
RESET ROLE;
GRANT EXECUTE ON FUNCTION store_verify TO regress_store_verifier;
SET ROLE regress_store_verifier;
SELECT * FROM store_verify();
RESET ROLE;
GRANT SELECT ON store_kv TO regress_store_verifier;
GRANT SELECT (sequence_number) ON store_batch_log TO regress_store_verifier;
SET ROLE regress_store_verifier;
SELECT * FROM store_verify();
RESET ROLE;
GRANT SELECT ON store_batch_log TO regress_store_verifier;
SET ROLE regress_store_verifier;
SELECT * FROM store_verify();
RESET ROLE;
GRANT SELECT ON SEQUENCE store_sequence TO regress_store_verifier;
SET ROLE regress_store_verifier;
SELECT check_name, result FROM store_verify();
RESET ROLE;

-- row-level security, which would hide rows
ALTER TABLE store_kv ENABLE ROW LEVEL SECURITY;
SELECT count(*) FROM store_verify();
SET ROLE regress_store_verifier;
SELECT count(*) FROM store_verify();
RESET ROLE;
ALTER TABLE store_kv DISABLE ROW LEVEL SECURITY;
ALTER TABLE store_batch_log ENABLE ROW LEVEL SECURITY;
SET ROLE regress_store_verifier;
\set VERBOSITY sqlstate
SELECT count(*) FROM store_verify();
SET row_security = off;
SELECT count(*) FROM store_verify();
RESET row_security;
\set VERBOSITY default
RESET ROLE;
ALTER TABLE store_batch_log DISABLE ROW LEVEL SECURITY;

DROP OWNED BY regress_store_verifier;
DROP ROLE regress_store_verifier;
