-- store_range_scan() in different plans
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SELECT store_put_batch('{"\\x61","\\xff","","\\x6100","\\x0000","\\x80","\\x60ff","\\x00","\\x7f"}', '{1,2,3,4,5,6,7,8,9}');

-- C2, C3, C4: what one gets does not depend on the plan: with custom and with generic plans, by index and without
PREPARE scan (bytea, bytea, bigint, boolean, bigint) AS SELECT key FROM store_range_scan($1, $2, $3, $4, $5);
CREATE FUNCTION pg_temp.differences() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	wrong bigint := 0;
	expected bytea[];
	found bytea[];
	low bytea;
	high bytea;
	most bigint;
	up boolean;
BEGIN
	FOR low, high, most, up IN
		SELECT a.key, b.key, n, f
		FROM store_kv AS a, store_kv AS b, unnest('{NULL,0,1,3,50}'::bigint[]) AS n, unnest('{t,f}'::boolean[]) AS f
	LOOP
		SELECT array_agg(key ORDER BY place) INTO expected
		FROM (SELECT key, row_number() OVER (ORDER BY CASE WHEN up THEN key END, CASE WHEN NOT up THEN key END DESC) AS place
			  FROM store_kv WHERE key >= low AND (key <= high OR high = '')) AS sorted
		WHERE most IS NULL OR place <= most;
		SELECT array_agg(key) INTO found FROM store_range_scan(low, high, most, up);
		IF found IS DISTINCT FROM expected THEN
			wrong := wrong + 1;
		END IF;
	END LOOP;
	RETURN wrong;
END $$;
SET plan_cache_mode = force_custom_plan;
SELECT pg_temp.differences();
EXECUTE scan ('\x61', '\x7f', 2, true, NULL);
EXECUTE scan ('\x61', '\x7f', 2, false, 1);
SET plan_cache_mode = force_generic_plan;
SELECT pg_temp.differences();
EXECUTE scan ('\x61', '\x7f', 2, true, NULL);
EXECUTE scan ('\x61', '\x7f', 2, false, 1);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT pg_temp.differences();
RESET enable_seqscan;
RESET enable_bitmapscan;

-- C6: it is a node of the plan, which reads the index until the limit: nothing is copied first, nor sorted
SELECT store_put_batch(array_agg(int4send(i)), array_agg(int4send(i))) FROM generate_series(1, 10000) AS i;
ANALYZE store_kv;
CREATE FUNCTION pg_temp.plan_has(query text, pattern text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
	found boolean := false;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		found := found OR line ~ pattern;
	END LOOP;
	RETURN found;
END $$;
SELECT query, pg_temp.plan_has(query, 'Function Scan|Sort|Materialize') AS collected,
	   pg_temp.plan_has(query, 'Custom Scan \(StoreRangeScan\)') AS a_node
FROM unnest(ARRAY[$$ SELECT * FROM store_range_scan("limit" => 10) $$,
				  $$ SELECT * FROM store_range_scan('\x61', '\x62', 10) $$,
				  $$ SELECT * FROM store_range_scan('', '\x62', 10, false) $$,
				  $$ SELECT key FROM store_range_scan('\x00', '', NULL, false, 1) LIMIT 3 $$,
				  $$ SELECT * FROM store_range_scan() ORDER BY key LIMIT 3 $$,
				  $$ SELECT * FROM store_range_scan(forward => false) ORDER BY key DESC LIMIT 3 $$,
				  $$ EXECUTE scan ('\x61', '', 2, false, 1) $$]) AS query;

-- a prepared scan is not planned again and again
RESET plan_cache_mode;
PREPARE few (bytea, bigint) AS SELECT key FROM store_range_scan($1, "limit" => $2);
EXECUTE few ('\x00002700', 1);
EXECUTE few ('\x00002700', 1);
EXECUTE few ('\x00002700', 1);
EXECUTE few ('\x00002700', 1);
EXECUTE few ('\x00002700', 1);
EXECUTE few ('\x00002700', 1);
SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name = 'few';
SET plan_cache_mode = force_generic_plan;

-- in the other order they are sorted
SELECT pg_temp.plan_has('SELECT * FROM store_range_scan() ORDER BY key DESC', 'Sort') AS sorted;

-- whole rows, filters, arguments of each row, arguments that are read, and rows that are read again
CREATE TABLE bounds (low bytea, high bytea);
INSERT INTO bounds VALUES ('\x60', '\x6100'), ('\x7f', '\x80'), ('\xff', '');
SELECT r FROM store_range_scan('\x60', '\x62') AS r;
SELECT key FROM store_range_scan('\x60', '\x80') WHERE value IN ('1', '9') AND key > '\x61';
SELECT low, r.* FROM bounds, store_range_scan(low, high) AS r;
SELECT low, (SELECT count(*) FROM store_range_scan(low, high)) AS n FROM bounds;
SELECT key FROM store_range_scan((SELECT min(low::text)::bytea FROM bounds), (SELECT high FROM bounds WHERE low = '\x7f'));
SELECT m.* FROM bounds, store_get_many(ARRAY[low, high]) AS m WHERE m.value IS NOT NULL;
SELECT a.key, b.value FROM store_range_scan('\x61', '\x80') AS a LEFT JOIN store_range_scan('\x61', '\x7f') AS b USING (key);
SELECT r.*, r.ordinality FROM store_range_scan("limit" => 1) WITH ORDINALITY AS r;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT key FROM store_range_scan('\x60', '\x80');
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
SAVEPOINT s;
FETCH 1 FROM c;
ROLLBACK TO s;
FETCH 1 FROM c;
COMMIT;
-- whole rows of large values are not kept
BEGIN;
ALTER TABLE store_kv ALTER value SET STORAGE EXTERNAL;
SELECT store_put_batch(array_agg('large/' || int4send(i)), array_agg(convert_to(repeat('v', 1000000), 'UTF8'))) FROM generate_series(1, 40) AS i;
DECLARE c CURSOR FOR SELECT r FROM store_range_scan('large/', 'large0') AS r;
MOVE 39 FROM c;
SELECT sum(total_bytes) < 20000000 AS few FROM pg_backend_memory_contexts;
ROLLBACK;
-- volatile arguments are evaluated once, however often the rows are read
SET enable_material = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
CREATE SEQUENCE limits;
SELECT g, count(key) FROM generate_series(1, 3) AS g LEFT JOIN store_range_scan("limit" => nextval('limits') - 1) ON true GROUP BY g;
RESET enable_material;
RESET enable_hashjoin;
RESET enable_mergejoin;
-- the table is altered between two pages of rows that are read by SQL
BEGIN;
ALTER TABLE store_kv ADD COLUMN other int DEFAULT 5;
CREATE TABLE kid () INHERITS (store_kv);
DECLARE c CURSOR FOR SELECT key FROM store_range_scan() WHERE value IS NOT NULL;
MOVE 16 FROM c;
SAVEPOINT s;
DROP EXTENSION storeengine CASCADE;
ROLLBACK TO s;
ALTER TABLE store_kv RENAME value TO old;
ALTER TABLE store_kv RENAME other TO value;
FETCH 1 FROM c;
ROLLBACK;
BEGIN;
ALTER TABLE store_kv ADD COLUMN other int DEFAULT 5;
CREATE TABLE kid () INHERITS (store_kv);
DECLARE c CURSOR FOR SELECT key FROM store_get_many('{b,a}') WHERE value IS NULL;
MOVE 1 FROM c;
ALTER TABLE store_kv RENAME value TO old;
ALTER TABLE store_kv RENAME other TO value;
FETCH 1 FROM c;
ROLLBACK;
-- rows that are found again after a lock was waited for
UPDATE bounds SET high = value FROM store_range_scan('\x61', '\x61') AS r WHERE low = '\x60' RETURNING low, high;
-- where it is a function that collects its rows
SELECT query, pg_temp.plan_has(query, 'Function Scan') AS collected
FROM unnest(ARRAY[$$ SELECT * FROM store_range_scan() WITH ORDINALITY $$,
				  $$ SELECT * FROM store_range_scan("limit" => nextval('limits')) $$,
				  $$ SELECT * FROM bounds, store_range_scan() FOR UPDATE OF bounds $$,
				  $$ UPDATE bounds SET high = key FROM store_range_scan() $$,
				  $$ INSERT INTO bounds SELECT * FROM store_range_scan() $$]) AS query;
-- a function with settings of its own is run as it is
ALTER FUNCTION store_range_scan SET work_mem = '1MB';
SELECT pg_temp.plan_has('SELECT * FROM store_range_scan()', 'Function Scan') AS collected;
SELECT key FROM store_range_scan('\x61', '\x7f', 2);
ALTER FUNCTION store_range_scan RESET ALL;
-- without the right to call it
CREATE ROLE regress_scan_none;
REVOKE EXECUTE ON FUNCTION store_range_scan FROM PUBLIC;
GRANT SELECT ON store_kv TO regress_scan_none;
SET ROLE regress_scan_none;
SELECT count(*) FROM store_range_scan();
RESET ROLE;
GRANT EXECUTE ON FUNCTION store_range_scan TO PUBLIC;

-- a cursor that is handed to somebody without rights, who reads on, and to others
CREATE FUNCTION open_scan(name refcursor, query text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	OPEN name FOR EXECUTE query;
END $$;
REVOKE SELECT ON store_kv FROM regress_scan_none;
BEGIN;
SET LOCAL ROLE regress_scan_none;
SELECT open_scan('c', 'SELECT key FROM store_range_scan()'), open_scan('d', 'SELECT key, value FROM store_get_many(''{a,b}'')');
MOVE 3000 FROM c;
FETCH 1 FROM c;
FETCH ALL FROM d;
SAVEPOINT s;
SELECT count(*) FROM store_range_scan();
ROLLBACK;
SET storeengine.debug_access = sql;
BEGIN;
SET LOCAL ROLE regress_scan_none;
SELECT open_scan('c', 'SELECT key FROM store_range_scan()'), open_scan('d', 'SELECT key, value FROM store_get_many(''{a,b}'')');
MOVE 3000 FROM c;
FETCH 1 FROM c;
FETCH ALL FROM d;
ROLLBACK;
RESET storeengine.debug_access;
DROP FUNCTION open_scan;
DROP OWNED BY regress_scan_none;
DROP ROLE regress_scan_none;

-- keys alone, from the index where all see the rows, and where not
VACUUM store_kv;
SELECT count(*) FROM store_range_scan();
SELECT store_delete_batch('{"\\x7f"}') > 0, store_put('\x7e', 'new') > 0;
SELECT key FROM store_range_scan('\x7e', '\x7f');
SELECT count(*) FROM store_range_scan(forward => false);
-- pages of rows that are read by SQL, one after the other
SET storeengine.debug_access = sql;
SELECT count(*), count(DISTINCT key), count(value) FROM store_range_scan();
SELECT count(*), count(DISTINCT key) FROM store_range_scan(forward => false);
SELECT count(*) FROM store_range_scan("limit" => 1000);
SELECT bool_and(a.key = b.key) FROM (SELECT key, row_number() OVER () FROM store_range_scan()) AS a
	JOIN (SELECT key, row_number() OVER (ORDER BY key) FROM store_kv) AS b USING (row_number);
SELECT bool_and(a.key = b.key) FROM (SELECT key, row_number() OVER () FROM store_range_scan(forward => false)) AS a
	JOIN (SELECT key, row_number() OVER (ORDER BY key DESC) FROM store_kv) AS b USING (row_number);
RESET storeengine.debug_access;

-- in parallel workers
DO $$
BEGIN
	PERFORM set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
END $$;
SELECT key FROM store_range_scan('\x61', '\x7f', 2);
SELECT key FROM store_range_scan('\x61', '\x7f', 2, false);

-- Errors: the planner does not optimise them away, whether it knows the arguments or not.
\set VERBOSITY sqlstate
EXECUTE scan (NULL, '', NULL, true, NULL);
EXECUTE scan ('', NULL, NULL, true, NULL);
EXECUTE scan ('', '', -1, true, NULL);
EXECUTE scan ('', '', -1, false, NULL);
EXECUTE scan ('', '', NULL, NULL, NULL);
SET plan_cache_mode = force_custom_plan;
EXECUTE scan (NULL, '', NULL, true, NULL);
EXECUTE scan ('', NULL, NULL, true, NULL);
EXECUTE scan ('', '', -1, true, NULL);
EXECUTE scan ('', '', -1, false, NULL);
EXECUTE scan ('', '', NULL, NULL, NULL);
