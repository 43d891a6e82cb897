-- the document that store_prune() takes: what is accepted, and what is refused
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SELECT store_put_batch(ARRAY['a1', 'a2', 'b1', 'a1x', '\xfbff31'], '{1,2,3,4,5}');

-- A policy that retains nothing, to be changed in one place after the other.
CREATE FUNCTION pg_temp.base() RETURNS jsonb LANGUAGE sql AS $$
	SELECT '{"policies": [{"keys": {"selector": {"prefix": "YQ==", "payloadRegex": "^(?P<x>.)(?P<y>.?)$"},
									"groupBy": {"captureGroups": ["x"]},
									"orderBy": {"captureGroup": "y", "encoding": "POLICY_ORDER_ENCODING_U64_BE"}},
						   "retain": {"dropAll": {}}}]}'::jsonb $$;
-- How many keys a request would delete, or why it is refused.
CREATE FUNCTION pg_temp.try(request jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	RETURN store_prune(request, true);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN SQLSTATE || ': ' || detail;
END $$;
CREATE FUNCTION pg_temp.with(path text[], value jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.try(jsonb_set(pg_temp.base(), '{policies,0}' || path, value)) $$;
CREATE FUNCTION pg_temp.without(path text[]) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.try(pg_temp.base() #- ('{policies,0}' || path)) $$;
\pset tuples_only on
\pset format unaligned

-- H7: as it is; with names as in the .proto file; what is null, is not there
SELECT pg_temp.try(pg_temp.base());
SELECT pg_temp.try('{"policies": [{"keys": {"selector": {"prefix": "YQ==", "payload_regex": "^(?P<x>.)"},
											"group_by": {"capture_groups": ["x"]},
											"order_by": {"capture_group": "x", "encoding": 1}},
								   "retain": {"greater_than_or_equal": {"threshold": 1}}}]}');
SELECT pg_temp.try('{"policies": [{"keys": {"selector": {"prefix": null, "payloadRegex": "."}, "groupBy": null, "orderBy": null},
								   "sequence": null, "retain": {"keepLatest": null, "dropAll": {}}}]}');
SELECT pg_temp.without('{keys,groupBy}'), pg_temp.without('{keys,orderBy}'), pg_temp.without('{keys,selector,prefix}'),
	   pg_temp.without('{keys,orderBy,encoding}'), pg_temp.with('{keys,groupBy}', '{}');

-- H7: bytes in base64, of both alphabets, padded or not
SELECT prefix, pg_temp.with('{keys,selector,prefix}', to_jsonb(prefix)) AS keys
FROM unnest('{"",YQ==,YQ,YTE=,YTE,YTEx,+/8=,-_8}'::text[]) WITH ORDINALITY AS given (prefix, n) ORDER BY n;
SELECT pg_temp.with('{keys,selector,prefix}', '"Y"');
SELECT pg_temp.with('{keys,selector,prefix}', '"A"');
SELECT pg_temp.with('{keys,selector,prefix}', '"YQ="');
SELECT pg_temp.with('{keys,selector,prefix}', '"YQ==="');
SELECT pg_temp.with('{keys,selector,prefix}', '"Y==="');
SELECT pg_temp.with('{keys,selector,prefix}', '"YR=="');
SELECT pg_temp.with('{keys,selector,prefix}', '"Y Q="');
SELECT pg_temp.with('{keys,selector,prefix}', '97');

-- H7: 64 bits, as numbers or strings
SELECT number, pg_temp.with('{retain}', jsonb_build_object('greaterThan', jsonb_build_object('threshold', number))) AS keys
FROM (VALUES (1, '0'::jsonb), (2, '"0"'), (3, '1.0'), (4, '"1e3"'), (5, '"120E-1"'), (6, '"-0"'), (7, '18446744073709551615'), (8, '"18446744073709551615"')) AS given (n, number) ORDER BY n;
SELECT pg_temp.with('{retain}', '{"greaterThan": {}}');
SELECT pg_temp.with('{retain}', '{"greaterThan": {"threshold": 18446744073709551616}}');
SELECT pg_temp.with('{retain}', '{"greaterThan": {"threshold": -1}}');
SELECT pg_temp.with('{retain}', '{"greaterThan": {"threshold": 0.5}}');
SELECT pg_temp.with('{retain}', '{"greaterThan": {"threshold": "1e20"}}');
SELECT pg_temp.with('{retain}', '{"greaterThan": {"threshold": "15E-1"}}');
SELECT pg_temp.with('{retain}', '{"greaterThan": {"threshold": "01"}}');
SELECT pg_temp.with('{retain}', '{"greaterThan": {"threshold": "1."}}');
SELECT pg_temp.with('{retain}', '{"greaterThan": {"threshold": " 1"}}');
SELECT pg_temp.with('{retain}', '{"greaterThan": {"threshold": "1x"}}');
SELECT pg_temp.with('{retain}', '{"greaterThan": {"threshold": "1e"}}');
SELECT pg_temp.with('{retain}', '{"greaterThan": {"threshold": ""}}');
SELECT pg_temp.with('{retain}', '{"greaterThan": {"threshold": true}}');

-- H7: enums by name or number
SELECT pg_temp.with('{keys,orderBy,encoding}', '0'), pg_temp.with('{keys,orderBy,encoding}', '"POLICY_ORDER_ENCODING_I64_BE"');
SELECT pg_temp.with('{keys,orderBy,encoding}', '3');
SELECT pg_temp.with('{keys,orderBy,encoding}', '"U64_BE"');

-- H7: unknown fields, fields given twice, other types
SELECT pg_temp.try('{"policy": []}');
SELECT pg_temp.with('{keys,selector,prefx}', '""');
SELECT pg_temp.with('{retain,dropAll,count}', '1');
SELECT pg_temp.with('{keys,group_by}', '{}');
SELECT pg_temp.try('[]');
SELECT pg_temp.try('1');
SELECT pg_temp.try('null');
SELECT pg_temp.try('{"policies": {}}');
SELECT pg_temp.try('{"policies": [null]}');
SELECT pg_temp.with('{keys}', '[]');
SELECT pg_temp.with('{keys,groupBy,captureGroups}', '"x"');
SELECT pg_temp.with('{keys,groupBy,captureGroups}', '[1]');

-- H5: nothing to do, parts that are missing
SELECT pg_temp.try('{}');
SELECT pg_temp.try('{"policies": []}');
SELECT pg_temp.without('{keys}');
SELECT pg_temp.without('{retain}');
SELECT pg_temp.with('{retain}', '{}');
SELECT pg_temp.with('{retain}', '{"dropAll": {}, "keepLatest": {"count": 1}}');
SELECT pg_temp.without('{keys,selector}');
SELECT pg_temp.with('{sequence}', '{}');

-- H5: ways to retain that need something
SELECT pg_temp.with('{retain}', '{"keepLatest": {"count": 0}}');
SELECT pg_temp.with('{retain}', '{"keepLatest": {}}');
SELECT pg_temp.try(jsonb_set(pg_temp.base() #- '{policies,0,keys,orderBy}', '{policies,0,retain}', '{"keepLatest": {"count": 1}}'));
SELECT pg_temp.try(jsonb_set(pg_temp.base() #- '{policies,0,keys,orderBy}', '{policies,0,retain}', '{"greaterThan": {"threshold": 1}}'));
SELECT pg_temp.try(jsonb_set(pg_temp.base() #- '{policies,0,keys,orderBy,encoding}', '{policies,0,retain}', '{"greaterThan": {"threshold": 1}}'));
SELECT pg_temp.try(jsonb_set(jsonb_set(pg_temp.base(), '{policies,0,keys,orderBy,encoding}', '2'), '{policies,0,retain}', '{"greaterThanOrEqual": {"threshold": 1}}'));

-- H5: capture groups
SELECT pg_temp.with('{keys,groupBy,captureGroups}', '["x", "z"]');
SELECT pg_temp.with('{keys,groupBy,captureGroups}', '["x", "y", "x"]');
SELECT pg_temp.with('{keys,orderBy,captureGroup}', '"z"');
SELECT pg_temp.without('{keys,orderBy,captureGroup}');

-- H5, E3: prefixes
SELECT pg_temp.with('{keys,selector,prefix}', to_jsonb(translate(encode(decode(repeat('ff', 254), 'hex'), 'base64'), E'\n', '')));
SELECT pg_temp.with('{keys,selector,prefix}', to_jsonb(translate(encode(decode(repeat('ff', 255), 'hex'), 'base64'), E'\n', '')));
CREATE FUNCTION pg_temp.prefixes(VARIADIC prefixes text[]) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.try(jsonb_build_object('policies', jsonb_agg(
		jsonb_set(pg_temp.base() #> '{policies,0}', '{keys,selector,prefix}', to_jsonb(encode(prefix::bytea, 'base64'))) ORDER BY n)))
	FROM unnest(prefixes) WITH ORDINALITY AS given (prefix, n) $$;
SELECT pg_temp.prefixes('a', 'b', 'ca', 'cb');
SELECT pg_temp.prefixes('a', 'b', 'a');
SELECT pg_temp.prefixes('a', 'ba', 'b');
SELECT pg_temp.prefixes('b', 'ba');
SELECT pg_temp.prefixes('b', '');

-- H5: more than one policy over the log
SELECT pg_temp.try('{"policies": [{"sequence": {}, "retain": {"dropAll": {}}}, {"sequence": {}, "retain": {"dropAll": {}}}]}');
SELECT pg_temp.try('{"policies": [{"sequence": {"x": 1}, "retain": {"dropAll": {}}}]}');
SELECT pg_temp.try('{"policies": [{"sequence": {}, "retain": {"keepLatest": {"count": 0}}}]}');

-- H7: numbers and arrays of unreasonable lengths
SELECT pg_temp.with('{retain}', jsonb_build_object('keepLatest', jsonb_build_object('count', '1' || repeat('0', 100010) || 'e-99999999')));
SELECT pg_temp.with('{retain}', jsonb_build_object('keepLatest', jsonb_build_object('count', '0.' || repeat('0', 99990) || '1e1000000')));
SELECT pg_temp.try(jsonb_build_object('policies', (SELECT jsonb_agg(1) FROM generate_series(1, 1001))));

-- H5, E5: regular expressions
SELECT left(pg_temp.without('{keys,selector,payloadRegex}'), 5), left(pg_temp.with('{keys,selector,payloadRegex}', '""'), 5),
	   left(pg_temp.with('{keys,selector,payloadRegex}', '"  "'), 5), left(pg_temp.with('{keys,selector,payloadRegex}', '"(?P<x>"'), 5);

-- What is refused has no effect, whatever policy comes first.
\set SHOW_CONTEXT never
SELECT store_prune(jsonb_set(pg_temp.base(), '{policies,1}', pg_temp.base() #> '{policies,0}'));
\set VERBOSITY sqlstate
SELECT store_prune(jsonb_set(pg_temp.base(), '{policies,1}', '{"sequence": {}, "retain": {"keepLatest": {}}}'));
SELECT store_prune('{"policies": [{"sequence": {}, "retain": {"dropAll": {}}}, {}]}');
SELECT store_prune(NULL);
SELECT store_prune(NULL, true);
SELECT store_prune(pg_temp.base(), NULL);
SELECT count(*), store_current_sequence(), store_oldest_retained_batch() FROM store_range_scan();
