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

-- C6: the planner sees through the function and reads the index until the limit: nothing is copied first
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
SELECT query, pg_temp.plan_has(query, 'Function Scan|Seq Scan|Bitmap|Materialize') AS opaque,
	   pg_temp.plan_has(query, 'Index (Only )?Scan.* using store_kv_pkey') AS by_index
FROM unnest(ARRAY[$$ SELECT * FROM store_range_scan("limit" => 10) $$,
				  $$ SELECT * FROM store_range_scan('\x61', '\x62', 10) $$,
				  $$ SELECT * FROM store_range_scan('', '\x62', 10, false) $$,
				  $$ SELECT key FROM store_range_scan('\x00', '', NULL, false, 1) LIMIT 3 $$,
				  $$ EXECUTE scan ('\x61', '', 2, false, 1) $$]) AS query;

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
