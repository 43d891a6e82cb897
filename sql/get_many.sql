-- store_get_many(): reading values of many keys
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SELECT store_put_batch('{a,b,c,"",d}', '{1,2,3,4,""}');

-- C1: one row for each key, in the given order, repeated ones repeatedly, missing ones with NULL
SELECT *, value IS NULL AS missing FROM store_get_many('{c,a,nothing,c,"",d,a}');
SELECT * FROM store_get_many('{}');
SELECT * FROM store_get_many('{nothing}');
SELECT * FROM store_get_many(keys => '{b}', min_sequence_number => NULL);
SELECT store_get_many('{b,a}');
SELECT (entry).value FROM store_get_many('{b,a}') AS entry;

-- C1: however many there are, and however the planner joins them
SELECT store_put_batch(array_agg(int4send(i)), array_agg(int4send(-i))) FROM generate_series(1, 10000) AS i WHERE i % 2 = 0;
ANALYZE store_kv;
CREATE FUNCTION pg_temp.wrong_places() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*)
	FROM (SELECT array_agg(int4send(i * 7919 % 10007) ORDER BY i) FROM generate_series(1, 10000) AS i) AS wanted (keys),
		 store_get_many(keys) WITH ORDINALITY AS found (key, value, i)
	WHERE key <> int4send((i * 7919 % 10007)::int)
	   OR value IS DISTINCT FROM (SELECT kv.value FROM store_kv AS kv WHERE kv.key = found.key)
$$;
SELECT pg_temp.wrong_places();
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT pg_temp.wrong_places();
SET enable_nestloop = off;
SET enable_mergejoin = on;
SELECT pg_temp.wrong_places();
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_nestloop;
SELECT count(value), count(*) FROM store_get_many(ARRAY(SELECT int4send(i) FROM generate_series(1, 1000) AS i));

-- C6: it is a node of the plan, which returns what it has read
CREATE FUNCTION pg_temp.plan_has(query text, pattern text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF line ~ pattern THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END $$;
SELECT pg_temp.plan_has($$ SELECT * FROM store_get_many('{a,b}') $$, 'Function Scan') AS collected,
	   pg_temp.plan_has($$ SELECT * FROM store_get_many('{a,b}') $$, 'Custom Scan \(StoreGetMany\)') AS a_node;

-- the same from a prepared statement with a generic plan
SET plan_cache_mode = force_generic_plan;
PREPARE many (bytea[], bigint) AS SELECT * FROM store_get_many($1, $2);
EXECUTE many ('{c,nothing,a}', NULL);
EXECUTE many ('{}', 1);
EXECUTE many (NULL, NULL);

-- C5: the snapshot of the statement
SELECT store_put('a', 'new') > 0 AS put, m.* FROM store_get_many('{a}') AS m;
SELECT * FROM store_get_many('{a}');

-- B8: any lower bound, and arrays that a function has built
SELECT * FROM store_get_many('[4:5]={b,a}'::bytea[]);
DO $$
DECLARE
	keys bytea[] := '{}';
BEGIN
	keys[3] := 'b';
	keys[2] := 'c';
	RAISE NOTICE '%', (SELECT array_agg(value) FROM store_get_many(keys[2:3]));
END $$;

-- keys too long to be there
SELECT octet_length(key), value FROM store_get_many(ARRAY[convert_to(repeat('k', 255), 'UTF8'), 'b', convert_to(repeat('k', 100000), 'UTF8')]);

--
-- Errors: B8.
--
SELECT * FROM store_get_many(NULL);
SELECT * FROM store_get_many('{a,NULL}');
SELECT * FROM store_get_many('{{a,b}}');
\set VERBOSITY sqlstate
SELECT * FROM store_get_many(NULL);
SELECT count(*) FROM store_get_many(NULL);
SELECT 1 FROM store_get_many('{NULL}');
SELECT * FROM store_get_many('{{a},{b}}');
SELECT * FROM store_get_many('{{{a}}}');
EXECUTE many ('{NULL}', NULL);
EXECUTE many ('{{a}}', NULL);
