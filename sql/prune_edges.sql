-- prune requests: many policies, numbers in every form, names that are long
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SELECT store_put_batch(array_agg(format('%s/%s', f, i)::bytea ORDER BY f, i), array_agg(''::bytea))
FROM generate_series(100, 199) AS f, generate_series(1, 3) AS i;

-- H1: more policies, each with a regular expression of its own, than a session
-- keeps for later
SELECT store_prune(jsonb_build_object('policies', jsonb_agg(jsonb_build_object(
	'keys', jsonb_build_object('selector', jsonb_build_object(
		'prefix', encode(format('%s/', f)::bytea, 'base64'), 'payloadRegex', format('^[1-%s]|%s', 1 + f % 2, f))),
	'retain', '{"dropAll": {}}'::jsonb) ORDER BY f)), true)
FROM generate_series(100, 199) AS f;

-- H7: numbers
CREATE FUNCTION pg_temp.keep(count text) RETURNS bigint LANGUAGE sql AS $$
	SELECT store_prune(format('{"policies": [{"keys": {"selector": {"prefix": "MTAwLw==", "payloadRegex": "(?P<n>.)"},
		"orderBy": {"captureGroup": "n"}}, "retain": {"keepLatest": {"count": %s}}}]}', count)::jsonb, true)
$$;
SELECT pg_temp.keep('2'), pg_temp.keep('"2"'), pg_temp.keep('"2e0"'), pg_temp.keep('"20E-1"'), pg_temp.keep('"0.2e+1"'), pg_temp.keep('"2.000"');
SELECT pg_temp.keep('"18446744073709551615"');
\set SHOW_CONTEXT never
SELECT pg_temp.keep('"18446744073709551616"');
SELECT pg_temp.keep('"2e"');
SELECT pg_temp.keep('"2e+"');
SELECT pg_temp.keep('"2e+-1"');
SELECT pg_temp.keep('"1e99999999999999999999"');
SELECT pg_temp.keep('"1e-99999999999999999999"');
SELECT pg_temp.keep('"0e99999999999999999999"');
SELECT pg_temp.keep('"1.5"');
SELECT pg_temp.keep('"-1"');
SELECT pg_temp.keep('""');
SELECT pg_temp.keep('"."');
SELECT pg_temp.keep('"e1"');

-- I: a name is told in full, however long
DO $$
DECLARE
	told text;
BEGIN
	FOR len IN 990 .. 1030 LOOP
		BEGIN
			PERFORM store_prune(jsonb_build_object(repeat('x', len), 1));
		EXCEPTION WHEN invalid_parameter_value THEN
			GET STACKED DIAGNOSTICS told = PG_EXCEPTION_DETAIL;
			IF told <> repeat('x', len) || ' is not a known field.' THEN
				RAISE NOTICE '% is told as %', len, told;
			END IF;
		END;
	END LOOP;
END $$;
