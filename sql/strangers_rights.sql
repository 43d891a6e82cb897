-- strangers: every subset of the rights that could matter to a function; it
-- works with some of them, and whatever contains those, and is else refused
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SELECT store_put_batch('{a,b}', '{1,2}'), store_put('c', '3'), store_delete_batch('{b}'), store_put('d', '4');
SELECT store_set_retention('{"keepLatest": {"count": "3"}}');
CREATE ROLE regress_store_stranger;
CREATE TABLE tried (call text, mask integer, state text);

-- Makes a call as the stranger and takes it back; its SQLSTATE, '00000' if it works.
CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL ROLE regress_store_stranger;
	EXECUTE call;
	RAISE EXCEPTION USING ERRCODE = '00001';
EXCEPTION
	WHEN SQLSTATE '00001' THEN RETURN '00000';
	WHEN OTHERS THEN RETURN SQLSTATE;
END $$;

-- Tries a call with all subsets of some rights, of which one changes at a time.
CREATE FUNCTION try_all(statement text, VARIADIC rights text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	mask integer := 0;
	place integer;
BEGIN
	FOR step IN 1 .. 1 << cardinality(rights) LOOP
		INSERT INTO tried VALUES (statement, mask, attempt(statement));
		-- the lowest bit of step tells which right is next; the last step takes the last one back
		place := least((SELECT min(i) FROM generate_series(0, 30) AS i WHERE step & (1 << i) <> 0), cardinality(rights) - 1);
		mask := mask # (1 << place);
		EXECUTE format(CASE WHEN mask & (1 << place) <> 0 THEN 'GRANT %s TO' ELSE 'REVOKE %s FROM' END || ' regress_store_stranger',
					   rights[place + 1]);
	END LOOP;
	INSERT INTO needed
	SELECT works.call, (SELECT string_agg(rights[i + 1], ', ' ORDER BY i) FROM generate_series(0, cardinality(rights) - 1) AS i WHERE works.mask & (1 << i) <> 0)
	FROM tried AS works
	WHERE works.call = statement AND works.state = '00000'
	  AND NOT EXISTS (SELECT FROM tried AS less
					  WHERE less.call = works.call AND less.state = '00000' AND less.mask <> works.mask AND less.mask & works.mask = less.mask);
END $$;
CREATE TABLE needed (call text, rights text);

-- I: writing
SELECT try_all('SELECT store_put(''a'', ''new'')',
			   'EXECUTE ON FUNCTION store_put', 'SELECT ON store_kv', 'INSERT ON store_kv', 'UPDATE ON store_kv', 'DELETE ON store_kv',
			   'INSERT ON store_batch_log', 'USAGE ON SEQUENCE store_sequence', 'SELECT (sequence_number) ON store_batch_log');
SELECT try_all('SELECT store_put_batch(''{a,x}'', ''{new,new}'')',
			   'EXECUTE ON FUNCTION store_put_batch(bytea[], bytea[])', 'SELECT ON store_kv', 'INSERT ON store_kv', 'UPDATE ON store_kv',
			   'INSERT ON store_batch_log', 'USAGE ON SEQUENCE store_sequence');
SELECT try_all('SELECT store_put_batch(ARRAY[(''a'', ''new'')]::store_entry[])',
			   'EXECUTE ON FUNCTION store_put_batch(store_entry[])', 'SELECT ON store_kv', 'INSERT ON store_kv', 'UPDATE ON store_kv',
			   'INSERT ON store_batch_log', 'USAGE ON SEQUENCE store_sequence');
SELECT try_all('SELECT store_put_request(''\x0a060a0161120131'')',
			   'EXECUTE ON FUNCTION store_put_request', 'SELECT ON store_kv', 'INSERT ON store_kv', 'UPDATE ON store_kv',
			   'INSERT ON store_batch_log', 'USAGE ON SEQUENCE store_sequence');
SELECT try_all('SELECT store_delete_batch(''{a,x}'')',
			   'EXECUTE ON FUNCTION store_delete_batch', 'SELECT ON store_kv', 'INSERT ON store_kv', 'UPDATE ON store_kv', 'DELETE ON store_kv',
			   'INSERT ON store_batch_log', 'USAGE ON SEQUENCE store_sequence');
SELECT try_all('SELECT store_prune(''{"policies": [{"keys": {"selector": {"payloadRegex": "."}}, "retain": {"dropAll": {}}}]}'')',
			   'EXECUTE ON FUNCTION store_prune', 'SELECT ON store_kv', 'INSERT ON store_kv', 'UPDATE ON store_kv', 'DELETE ON store_kv',
			   'INSERT ON store_batch_log', 'USAGE ON SEQUENCE store_sequence');
SELECT try_all('SELECT store_prune(''{"policies": [{"keys": {"selector": {"payloadRegex": "."}}, "retain": {"dropAll": {}}}]}'', true)',
			   'EXECUTE ON FUNCTION store_prune', 'SELECT ON store_kv', 'INSERT ON store_kv', 'DELETE ON store_kv', 'SELECT ON store_batch_log');

-- I: reading pairs
SELECT try_all(call, 'SELECT (key) ON store_kv', 'SELECT (value) ON store_kv', 'SELECT (sequence_number) ON store_batch_log', 'SELECT (payload) ON store_batch_log',
			   'SELECT ON store_control')
FROM unnest(ARRAY['SELECT store_get(''a'')', 'SELECT store_get(''a'', 1)',
				  'SELECT * FROM store_get_many(''{a}'')', 'SELECT * FROM store_get_many(''{}'', 1)',
				  'SELECT * FROM store_range_scan()', 'SELECT * FROM store_range_scan(forward => false, min_sequence_number => 1)']) AS call;

-- I: reading the log
SELECT try_all(call, 'SELECT (sequence_number) ON store_batch_log', 'SELECT (payload) ON store_batch_log', 'SELECT (deleted_keys) ON store_batch_log',
			   'SELECT ON store_kv', 'SELECT ON store_control', 'SELECT ON store_sequence')
FROM unnest(ARRAY['SELECT store_current_sequence()', 'SELECT store_history()', 'SELECT store_oldest_retained_batch()',
				  'SELECT store_get_batch(1)', 'SELECT store_get_batch(3)', 'SELECT store_get_batch(1000)', 'SELECT store_get_batch_response(3)',
				  'SELECT * FROM store_read_log(2)', 'SELECT * FROM store_read_log(NULL)', 'SELECT * FROM store_read_log(3, since_history => store_history())']) AS call;

-- I: pruning the log; to set a rule takes what pruning takes, for the worker will
-- keep it with the rights of the owner
SELECT try_all(call, 'EXECUTE ON FUNCTION store_prune_batch_log, store_prune', 'SELECT (sequence_number) ON store_batch_log', 'DELETE ON store_batch_log',
			   'SELECT ON store_control', 'INSERT ON store_control', 'DELETE ON store_control', 'UPDATE ON store_control')
FROM unnest(ARRAY['SELECT store_prune_batch_log(4)', 'SELECT store_prune(''{"policies": [{"sequence": {}, "retain": {"keepLatest": {"count": "1"}}}]}'')']) AS call;
SELECT try_all(call, 'EXECUTE ON FUNCTION store_set_retention', 'SELECT (sequence_number) ON store_batch_log', 'DELETE ON store_batch_log',
			   'SELECT ON store_retention', 'INSERT ON store_retention', 'UPDATE ON store_retention', 'DELETE ON store_retention')
FROM unnest(ARRAY['SELECT store_set_retention(''{"keepLatest": {"count": "1000"}}'')', 'SELECT store_set_retention(NULL)']) AS call;
SELECT try_all('SELECT store_set_retention(''{"dropAll": {}}'')',
			   'EXECUTE ON FUNCTION store_set_retention', 'SELECT (sequence_number) ON store_batch_log', 'DELETE ON store_batch_log',
			   'SELECT, INSERT, UPDATE ON store_retention', 'SELECT ON store_control', 'INSERT ON store_control', 'DELETE ON store_control');

-- I: looking in
SELECT try_all('SELECT * FROM store_status', 'EXECUTE ON FUNCTION store_status_values', 'SELECT ON store_status',
			   'SELECT ON store_batch_log', 'SELECT ON store_kv', 'SELECT ON store_sequence');
SELECT try_all('SELECT * FROM store_verify()', 'EXECUTE ON FUNCTION store_verify', 'SELECT ON store_kv', 'SELECT ON store_batch_log', 'SELECT ON store_control',
			   'SELECT ON store_histories', 'SELECT ON store_retention', 'SELECT ON store_sequence', 'USAGE ON SEQUENCE store_sequence');

-- What each needs, one line for each set of rights with which it works; all else is 42501.
\pset format unaligned
SELECT call, rights FROM needed ORDER BY call COLLATE "C", rights COLLATE "C";
\pset format aligned
SELECT call, state, count(*) FROM tried WHERE state NOT IN ('00000', '42501') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT works.call, works.mask, more.mask
FROM tried AS works JOIN tried AS more ON more.call = works.call AND more.mask & works.mask = works.mask
WHERE works.state = '00000' AND more.state <> '00000';
SELECT count(*) AS tried, count(DISTINCT call) AS calls, count(*) FILTER (WHERE state = '00000') AS work FROM tried;

-- nothing of all this has changed anything
SELECT store_get_batch(2), store_get_batch(3), store_oldest_retained_batch(), count(*) FROM store_range_scan() GROUP BY 1, 2, 3;
SELECT rule FROM store_retention;

DROP TABLE tried, needed;
DROP FUNCTION attempt, try_all;
DROP OWNED BY regress_store_stranger;
DROP ROLE regress_store_stranger;
