-- store_prune(): which keys the policies select, group, order and retain
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

CREATE FUNCTION pg_temp.policy(prefix bytea, regex text, groups text[], order_by text, encoding int, retain jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('policies', jsonb_build_array(jsonb_build_object(
		'keys', jsonb_build_object('selector', jsonb_build_object('prefix', encode(prefix, 'base64'), 'payloadRegex', regex),
								   'groupBy', jsonb_build_object('captureGroups', groups),
								   'orderBy', CASE WHEN order_by <> '' THEN jsonb_build_object('captureGroup', order_by, 'encoding', encoding) END),
		'retain', retain))) $$;
CREATE FUNCTION pg_temp.keep(count int) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('keepLatest', jsonb_build_object('count', count)) $$;
-- The keys that a request would delete; nothing is deleted in the end.
CREATE FUNCTION pg_temp.victims(request jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	before bytea[] := array(SELECT key FROM store_kv);
	would bigint := store_prune(request, true);
	deleted bigint;
	gone text;
BEGIN
	BEGIN
		deleted := store_prune(request);
		gone := (SELECT string_agg(encode(key, 'escape'), ' ' ORDER BY key) FROM unnest(before) AS key
				 WHERE key NOT IN (SELECT key FROM store_kv));
		ASSERT deleted = would AND deleted = cardinality(before) - (SELECT count(*) FROM store_kv);
		RAISE EXCEPTION 'undo' USING ERRCODE = 'XXXXX';
	EXCEPTION WHEN SQLSTATE 'XXXXX' THEN NULL;
	END;
	RETURN coalesce(gone, '-');
END $$;
\set drop '{"dropAll": {}}'

-- H1: the prefix selects, and the regex, which is a search over what comes after it
INSERT INTO store_kv SELECT key, '' FROM unnest(ARRAY['', 'a', 'a/', 'a/1', 'a/12', 'a/x1', 'b/1', '\x612f00', '\x612fff', '\x612fffff', '\x6130']::bytea[]) AS key;
SELECT pg_temp.victims(pg_temp.policy('a/', '.', '{}', '', 0, :'drop'));
SELECT pg_temp.victims(pg_temp.policy('a/', '1', '{}', '', 0, :'drop'));
SELECT pg_temp.victims(pg_temp.policy('a/', '^1$', '{}', '', 0, :'drop'));
SELECT pg_temp.victims(pg_temp.policy('a/', '^$', '{}', '', 0, :'drop'));
SELECT pg_temp.victims(pg_temp.policy('a/', '(?s-u).*', '{}', '', 0, :'drop'));
SELECT pg_temp.victims(pg_temp.policy('', '(?s-u)^a', '{}', '', 0, :'drop'));
SELECT pg_temp.victims(pg_temp.policy('', '^$', '{}', '', 0, :'drop'));
SELECT pg_temp.victims(pg_temp.policy('\x612fff', '(?s-u).*', '{}', '', 0, :'drop'));
SELECT pg_temp.victims(pg_temp.policy('nothing', '(?s-u).*', '{}', '', 0, :'drop'));
DELETE FROM store_kv;

-- H2: a group is what the listed capture groups matched, each with its length
INSERT INTO store_kv SELECT key, '' FROM unnest(ARRAY['a-bc-1', 'a-bc-2', 'ab-c-1', 'ab-c-2', 'abc--1', '-abc-3', 'n:1', 'n:2']::bytea[]) AS key;
\set parts '^(?P<x>[a-c]*)-(?P<y>[a-c]*)-(?P<v>.)$'
SELECT pg_temp.victims(pg_temp.policy('', :'parts', '{x,y}', 'v', 0, pg_temp.keep(1)));
SELECT pg_temp.victims(pg_temp.policy('', :'parts', '{y,x}', 'v', 0, pg_temp.keep(1)));
SELECT pg_temp.victims(pg_temp.policy('', :'parts', '{x}', 'v', 0, pg_temp.keep(1)));
SELECT pg_temp.victims(pg_temp.policy('', :'parts', '{}', 'v', 0, pg_temp.keep(1)));
SELECT pg_temp.victims(pg_temp.policy('', :'parts', '{v}', 'v', 0, pg_temp.keep(1)));
-- also if they look like a length
DELETE FROM store_kv;
INSERT INTO store_kv SELECT key, '' FROM unnest(ARRAY['\x000000002d2d31', '\x2d000000002d31', '\x0000002d002d31']::bytea[]) AS key;
SELECT pg_temp.victims(pg_temp.policy('', '(?s-u)^(?P<x>\x00*)-(?P<y>\x00*)-(?P<v>.)$', '{x,y}', 'v', 0, pg_temp.keep(1)));

-- H2: a listed group that took no part keeps the key, whatever is retained; one that matched nothing does not
DELETE FROM store_kv;
INSERT INTO store_kv SELECT key, '' FROM unnest(ARRAY['a-bc-1', 'a-bc-2', 'ab-c-1', 'ab-c-2', 'abc--1', '-abc-3', 'n:1', 'n:2']::bytea[]) AS key;
\set optional '^(?:(?P<x>[a-c]+)-)?(?P<y>[a-c]*)-?(?P<v>[0-9n:]+)$'
SELECT pg_temp.victims(pg_temp.policy('', :'optional', '{x}', '', 0, :'drop'));
SELECT pg_temp.victims(pg_temp.policy('', :'optional', '{y}', '', 0, :'drop'));
SELECT pg_temp.victims(pg_temp.policy('', :'optional', '{v,x}', 'v', 0, pg_temp.keep(1)));
SELECT pg_temp.victims(pg_temp.policy('', :'optional', '{}', 'v', 0, pg_temp.keep(3)));
DELETE FROM store_kv;

-- H3: order by bytes; the shorter one first; the higher keys of a tie are kept
INSERT INTO store_kv SELECT key, '' FROM unnest(ARRAY['1:b', '2:b', '3:a', '4:', '5:ab', '6:a\000', '7:\377', '8:B']::bytea[]) AS key;
SELECT n, pg_temp.victims(pg_temp.policy('', '(?s-u)^.:(?P<v>.*)$', '{}', 'v', 0, pg_temp.keep(n))) FROM generate_series(1, 8) AS n ORDER BY n;
-- one that took no part is the lowest
SELECT n, pg_temp.victims(pg_temp.policy('', '(?s-u)^.:(?P<v>[aB].*)?', '{}', 'v', 0, pg_temp.keep(n))) FROM generate_series(1, 5) AS n ORDER BY n;
DELETE FROM store_kv;

-- H3: as numbers of eight bytes; anything else is 0
INSERT INTO store_kv SELECT key, '' FROM (
	SELECT convert_to(chr(96 + n), 'UTF8') || bytes AS key
	FROM (VALUES (1, int8send(0)), (2, int8send(1)), (3, int8send(256)), (4, int8send(9223372036854775807)),
				 (5, int8send((-9223372036854775808)::bigint)), (6, int8send(-1)), (7, ''), (8, '\xffffffffffffff'), (9, '\xffffffffffffffffff')) AS v (n, bytes)) AS given;
CREATE FUNCTION pg_temp.letters(retain jsonb, encoding int) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(pg_temp.victims(pg_temp.policy('', '(?s-u)^[a-i](?P<v>.*)$', '{}', 'v', encoding, retain)), '\\[0-7]{3}|\\x[0-9a-f]{2}|[^-a-i ]', '', 'g') $$;
SELECT n, pg_temp.letters(pg_temp.keep(n), 1) AS u64, pg_temp.letters(pg_temp.keep(n), 2) AS i64, pg_temp.letters(pg_temp.keep(n), 0) AS bytes
FROM generate_series(1, 9) AS n ORDER BY n;

-- H4: thresholds are unsigned
SELECT t, pg_temp.letters(jsonb_build_object('greaterThan', jsonb_build_object('threshold', t)), 1) AS greater_than,
	   pg_temp.letters(jsonb_build_object('greaterThanOrEqual', jsonb_build_object('threshold', t)), 1) AS greater_than_or_equal
FROM unnest('{0,1,2,256,9223372036854775807,9223372036854775808,18446744073709551615}'::text[]) WITH ORDINALITY AS given (t, n) ORDER BY n;
-- keepLatest of more than there are
SELECT pg_temp.letters('{"keepLatest": {"count": "18446744073709551615"}}', 1);
-- thresholds do not look at groups, but for those that took no part
SELECT pg_temp.letters('{"dropAll": {}}', 0),
	   pg_temp.victims(pg_temp.policy('', '(?s-u)^(?P<x>[ab])?(?P<v>.*)$', '{x}', 'v', 1, '{"greaterThan": {"threshold": 1}}'));

-- H2, H3: the pattern for versions of a logical key, which escapes its zero bytes
DELETE FROM store_kv;
INSERT INTO store_kv SELECT key, '' FROM (
	SELECT '\x01'::bytea || name || '\x0000' || int8send(version) AS key
	FROM unnest('{"","row","\\x00ff","\\x00ff00ff","\\xff"}'::bytea[]) AS name, generate_series(1, 3) AS version) AS given;
SELECT pg_temp.victims(pg_temp.policy('\x01', '(?s-u)^(?P<logical>(?:\x00\xFF|[^\x00])*)\x00\x00(?P<version>.{8})$', '{logical}', 'version', 1, pg_temp.keep(2)));

-- Nothing of all this was left behind.
SELECT count(*) FROM store_kv;
