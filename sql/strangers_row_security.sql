-- strangers: row-level security on each table of the store, for each function,
-- for a user and for the owner of the tables; each is tried and taken back
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SELECT store_put_batch('{a1,b1}', '{1,2}'), store_put('b2', 'secret'), store_put('a2', '4');
CREATE ROLE regress_store_owner;
CREATE ROLE regress_store_user;
GRANT CREATE ON SCHEMA public TO regress_store_owner;
ALTER TABLE store_kv OWNER TO regress_store_owner;
ALTER TABLE store_batch_log OWNER TO regress_store_owner;
ALTER TABLE store_control OWNER TO regress_store_owner;
ALTER TABLE store_retention OWNER TO regress_store_owner;
ALTER TABLE store_histories OWNER TO regress_store_owner;
ALTER SEQUENCE store_sequence OWNER TO regress_store_owner;
GRANT ALL ON store_kv, store_batch_log, store_control, store_retention, store_sequence, store_status TO regress_store_user;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO regress_store_user, regress_store_owner;

CREATE TABLE calls (place integer GENERATED ALWAYS AS IDENTITY, call text, sql text);
GRANT SELECT ON calls TO PUBLIC;
INSERT INTO calls (call, sql) VALUES
	('get', 'coalesce(encode(store_get(''b1''), ''escape''), ''none'')'),
	('get_many', '(SELECT count(value) FROM store_get_many(''{a1,b1,b2}''))'),
	('scan', '(SELECT string_agg(encode(key, ''escape''), '','') FROM store_range_scan())'),
	('backward', '(SELECT string_agg(encode(key, ''escape''), '','') FROM store_range_scan(forward => false, min_sequence_number => 3))'),
	('current', 'store_current_sequence()'),
	('history', 'store_history() IS NOT NULL'),
	('oldest', 'store_oldest_retained_batch()'),
	('get_batch', 'store_get_batch(2) IS NULL'),
	('response', 'length(store_get_batch_response(2))'),
	('read_log', '(SELECT count(*) FROM store_read_log(0))'),
	('read_one', '(SELECT count(*) FROM store_read_log(1, max_batches => 1))'),
	('read_filtered', '(SELECT count(*) FROM store_read_log(0, ARRAY[(''a'', ''.*'')]::store_selector[]))'),
	('status', '(SELECT frontier || ''/'' || holes || coalesce(''/'' || retention_lag, '''') FROM store_status)'),
	('verify', '(SELECT count(*) FROM store_verify() WHERE result = ''problem'')'),
	('dry_run', 'store_prune(''{"policies": [{"keys": {"selector": {"payloadRegex": "."}}, "retain": {"dropAll": {}}}]}'', true)'),
	('put', 'store_put(''a3'', ''new'') > 0'),
	('overwrite', 'store_put(''b1'', ''new'') > 0'),
	('delete', 'store_delete_batch(''{a1}'') > 0'),
	('delete_hidden', 'store_delete_batch(''{a2,b2}'') > 0'),
	('prune', 'store_prune(''{"policies": [{"keys": {"selector": {"payloadRegex": "^."}}, "retain": {"dropAll": {}}}]}'')'),
	('set_rule', 'store_set_retention(''{"keepLatest": {"count": "1000"}}'')'),
	('clear_rule', 'store_set_retention(NULL)'),
	('prune_log', 'store_prune_batch_log(3)'),
	('oldest', 'store_oldest_retained_batch()');

-- What an expression is for a role, or its SQLSTATE.
CREATE FUNCTION result_of(who name, expression text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE 'SELECT ' || expression INTO result;
	RESET ROLE;
	RETURN coalesce(result, 'none');
EXCEPTION
	WHEN internal_error THEN RETURN SQLERRM;
	WHEN OTHERS THEN RETURN SQLSTATE;
END $$;

-- Makes a change, makes all calls as a role, and takes it all back.
CREATE FUNCTION secured(who name, change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE change;
	SELECT string_agg(call || '=' || result_of, ' ' ORDER BY place) INTO result
	FROM (SELECT place, call, result_of(who, sql) FROM calls ORDER BY place) AS made;
	RAISE EXCEPTION USING ERRCODE = '00001', MESSAGE = result;
EXCEPTION
	WHEN SQLSTATE '00001' THEN RETURN SQLERRM;
END $$;

-- A policy that lets pass what begins with a; one that hides batch 2; and others.
\pset format unaligned
SELECT who, change, secured(who, change)
FROM unnest(ARRAY[
		'SELECT',
		'ALTER TABLE store_kv ENABLE ROW LEVEL SECURITY',
		'ALTER TABLE store_kv ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON store_kv USING (key < ''b'')',
		'ALTER TABLE store_kv ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON store_kv USING (true); CREATE POLICY r ON store_kv AS RESTRICTIVE FOR SELECT USING (key < ''b'')',
		'ALTER TABLE store_batch_log ENABLE ROW LEVEL SECURITY',
		'ALTER TABLE store_batch_log ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON store_batch_log USING (sequence_number <> 2)',
		'ALTER TABLE store_batch_log ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON store_batch_log USING (true)',
		'ALTER TABLE store_control ENABLE ROW LEVEL SECURITY',
		'ALTER TABLE store_control ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON store_control FOR INSERT WITH CHECK (true)',
		'ALTER TABLE store_histories ENABLE ROW LEVEL SECURITY',
		'INSERT INTO store_retention VALUES (true, ''{"keepLatest": {"count": "3"}}''); ALTER TABLE store_retention ENABLE ROW LEVEL SECURITY',
		'INSERT INTO store_retention VALUES (true, ''{"keepLatest": {"count": "3"}}''); ALTER TABLE store_retention ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON store_retention FOR SELECT USING (true)']) WITH ORDINALITY AS c (change, place),
	unnest('{regress_store_user,regress_store_owner}'::name[]) AS who
ORDER BY place, who DESC;

-- forced upon the owner
SELECT change, secured('regress_store_owner', change)
FROM unnest(ARRAY[
		'ALTER TABLE store_kv ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY p ON store_kv USING (key < ''b'')',
		'ALTER TABLE store_batch_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY p ON store_batch_log USING (sequence_number <> 2)',
		'ALTER TABLE store_control ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY',
		'INSERT INTO store_retention VALUES (true, ''{"keepLatest": {"count": "3"}}''); ALTER TABLE store_retention ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY']) WITH ORDINALITY AS c (change, place)
ORDER BY place;
\pset format aligned

-- a rule that row-level security keeps from being cleared is not said to be cleared
INSERT INTO store_retention VALUES (true, '{"keepLatest": {"count": "3"}}');
ALTER TABLE store_retention ENABLE ROW LEVEL SECURITY;
SET ROLE regress_store_user;
SELECT store_set_retention(NULL);
RESET ROLE;
SELECT rule FROM store_retention;
ALTER TABLE store_retention DISABLE ROW LEVEL SECURITY;
DELETE FROM store_retention;

-- who cannot prune cannot have the worker do it
ALTER TABLE store_batch_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON store_batch_log USING (true);
SET ROLE regress_store_user;
SELECT store_set_retention('{"keepLatest": {"count": "1000"}}');
RESET ROLE;
ALTER TABLE store_batch_log DISABLE ROW LEVEL SECURITY;
DROP POLICY p ON store_batch_log;

-- Pruning counts bytes with the rights of the log's owner, whose policy can call
-- functions.  The caller's search_path is not to tell which.
CREATE SCHEMA hostile AUTHORIZATION regress_store_user;
GRANT USAGE ON SCHEMA hostile TO PUBLIC;
CREATE TABLE called (what text, who name);
GRANT INSERT ON called TO PUBLIC;
CREATE FUNCTION asks() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN visible();
EXCEPTION WHEN undefined_function THEN
	RETURN true;
END $$;
GRANT EXECUTE ON FUNCTION asks TO PUBLIC;
SET ROLE regress_store_user;
CREATE FUNCTION hostile.visible() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.called VALUES ('hostile.visible', current_user);
	RETURN true;
END $$;
RESET ROLE;
SELECT store_set_retention('{"maxBytes": "1000000"}');
INSERT INTO store_control VALUES ('tally', 3, 0, now());
ALTER TABLE store_batch_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON store_batch_log TO regress_store_owner USING (asks());
CREATE POLICY q ON store_batch_log TO regress_store_user USING (true);
ALTER ROLE regress_store_user BYPASSRLS;
\c -
SET ROLE regress_store_user;
SET search_path = hostile, public;
SELECT store_prune_batch_log(3);
SELECT retention FROM store_status;
RESET search_path;
RESET ROLE;
SELECT DISTINCT what, who FROM called;

DROP FUNCTION hostile.visible;
DROP SCHEMA hostile;
DROP EXTENSION storeengine;
DROP FUNCTION asks, secured, result_of;
DROP TABLE calls, called;
DROP OWNED BY regress_store_owner, regress_store_user;
DROP ROLE regress_store_owner, regress_store_user;
CREATE EXTENSION storeengine;
