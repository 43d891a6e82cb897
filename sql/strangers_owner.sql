-- strangers: what the owner of the tables may do to them, and what not; each
-- change is tried, used and taken back
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

CREATE TABLE calls (place integer GENERATED ALWAYS AS IDENTITY, call text, sql text);
INSERT INTO calls (call, sql) VALUES
	('put', 'SELECT store_put_batch(''{a,n}'', ''{new,new2}'')'),
	('get', 'DO $$BEGIN ASSERT store_get(''a'') IN (''1'', ''new''), ''get''; END$$'),
	('get_many', 'DO $$BEGIN ASSERT (SELECT count(value) FROM store_get_many(''{a,nothing}'')) = 1, ''get_many''; END$$'),
	('range_scan', 'DO $$BEGIN ASSERT (SELECT array_agg(key) FROM store_range_scan(''a'', ''b'')) = ''{a,b}'', ''range_scan''; END$$'),
	('delete', 'SELECT store_delete_batch(''{b,nothing}'')'),
	('current', 'DO $$BEGIN ASSERT store_current_sequence() >= 2, ''current''; END$$'),
	('get_batch', 'DO $$BEGIN ASSERT store_get_batch(2) = ''{"(b,2)"}'', ''get_batch''; END$$'),
	('read_log', 'DO $$BEGIN ASSERT (SELECT count(*) FROM store_read_log(0, max_batches => 2)) = 3, ''read_log''; END$$'),
	('prune', 'DO $$BEGIN ASSERT store_prune(''{"policies": [{"keys": {"selector": {"payloadRegex": "^n"}}, "retain": {"dropAll": {}}}]}'') <= 1, ''prune''; END$$'),
	('status', 'SELECT * FROM store_status'),
	('set_retention', 'DO $$BEGIN ASSERT store_set_retention(''{"keepLatest": {"count": "1000000"}, "maxAge": "1 day"}'') IS NOT NULL, ''set_retention''; END$$'),
	('prune_batch_log', 'DO $$BEGIN ASSERT store_prune_batch_log(2) = 1, ''prune_batch_log''; END$$'),
	('clear_retention', 'DO $$BEGIN ASSERT store_set_retention(NULL) <= 2, ''clear_retention''; END$$');

-- Runs SQL; its SQLSTATE, '00000' if it works.
CREATE FUNCTION state_of(sql text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE sql;
	RETURN '00000';
EXCEPTION
	WHEN internal_error OR assert_failure THEN RETURN SQLSTATE || ' ' || SQLERRM;
	WHEN OTHERS THEN RETURN SQLSTATE;
END $$;

-- Makes a change, makes all calls, and takes it all back: the SQLSTATEs other
-- than '00000', with the calls that failed.
CREATE FUNCTION changed(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	result := state_of(change);
	IF result <> '00000' THEN
		RETURN 'refused: ' || result;
	END IF;
	SELECT string_agg(state || ': ' || failed, '; ' ORDER BY state) INTO result
	FROM (SELECT state, string_agg(call, ' ' ORDER BY place) AS failed
		  FROM (SELECT call, place, state_of(sql) AS state FROM calls ORDER BY place) AS made
		  WHERE state <> '00000' GROUP BY state) AS grouped;
	RAISE EXCEPTION USING ERRCODE = '00001', MESSAGE = coalesce(result, 'works');
EXCEPTION
	WHEN SQLSTATE '00001' THEN RETURN SQLERRM;
END $$;

SELECT store_put('a', '1'), store_put('b', '2');
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM store_get('a'), store_current_sequence(); RETURN NULL; END $$;
CREATE FUNCTION claims_immutable(key bytea) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN length(public.store_get_batch_response(1)) + public.store_current_sequence(); END $$;
CREATE FUNCTION raises(key bytea) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE 'no' USING ERRCODE = 'XYZ01'; END $$;
CREATE DOMAIN bytes AS bytea CHECK (value IS NOT NULL);
CREATE TYPE hue AS ENUM ('red');

\pset format unaligned
SELECT change, changed(change) FROM unnest(ARRAY[
	'SELECT',
-- indexes, constraints and columns of theirs
	'CREATE INDEX ON store_kv (value)',
	'CREATE INDEX ON store_kv (length(value)) WHERE value <> ''''',
	'CREATE INDEX ON store_kv (claims_immutable(key))',
	'CREATE INDEX ON store_kv (key) WHERE key = ''z'' AND raises(key)',
	'CREATE INDEX ON store_kv (key) WHERE CASE WHEN value = ''new'' THEN raises(key) END',
	'CREATE UNIQUE INDEX ON store_kv (substr(value, 1, 3))',
	'CREATE INDEX ON store_batch_log (written_at)',
	'ALTER TABLE store_kv ADD COLUMN extra integer, ADD COLUMN another text DEFAULT ''x''',
	'ALTER TABLE store_kv ADD COLUMN extra timestamptz NOT NULL DEFAULT clock_timestamp()',
	'ALTER TABLE store_kv ADD COLUMN extra integer GENERATED ALWAYS AS (length(value)) STORED',
	'ALTER TABLE store_kv ADD COLUMN extra bigint DEFAULT store_current_sequence()',
	'ALTER TABLE store_kv ADD COLUMN extra bigint; ALTER TABLE store_kv ALTER extra SET NOT NULL',
	'ALTER TABLE store_kv ADD COLUMN extra bigint; ALTER TABLE store_kv ADD CHECK (extra IS NOT NULL) NOT VALID',
	'ALTER TABLE store_kv ADD CHECK (value <> ''new'')',
	'ALTER TABLE store_batch_log ADD COLUMN extra timestamptz DEFAULT now()',
	'ALTER TABLE store_batch_log ADD COLUMN extra integer; ALTER TABLE store_batch_log ADD CHECK (extra IS NOT NULL) NOT VALID',
	'ALTER TABLE store_control ADD COLUMN extra integer DEFAULT 1',
	'CREATE TABLE child (key bytea REFERENCES store_kv ON DELETE CASCADE); INSERT INTO child VALUES (''b'')',
	'CREATE TABLE child (key bytea REFERENCES store_kv); INSERT INTO child VALUES (''b'')',
	'CREATE TRIGGER look AFTER INSERT OR UPDATE OR DELETE ON store_kv FOR EACH ROW EXECUTE FUNCTION look()',
	'CREATE TRIGGER look AFTER INSERT OR UPDATE OR DELETE ON store_batch_log FOR EACH STATEMENT EXECUTE FUNCTION look()',
-- how the rows are stored
	'ALTER TABLE store_kv SET (fillfactor = 50, autovacuum_enabled = off), ALTER value SET STORAGE EXTERNAL, ALTER value SET STATISTICS 1000',
	'ALTER TABLE store_batch_log ALTER payload SET STORAGE MAIN, ALTER payload SET COMPRESSION pglz, REPLICA IDENTITY FULL',
	'ALTER TABLE store_kv REPLICA IDENTITY NOTHING',
	'CREATE STATISTICS both_columns ON key, value FROM store_kv',
	'ANALYZE store_kv, store_batch_log, store_control',
	'CLUSTER store_kv USING store_kv_pkey',
	'CLUSTER store_batch_log USING store_batch_log_pkey',
	'REINDEX TABLE store_batch_log',
	'ALTER INDEX store_batch_log_pkey RENAME TO key_of_the_log',
	'ALTER TABLE store_batch_log DROP CONSTRAINT store_batch_log_pkey, ADD PRIMARY KEY (sequence_number) INCLUDE (stable)',
	'ALTER TABLE store_kv DROP CONSTRAINT store_kv_pkey, ADD PRIMARY KEY (key) INCLUDE (value)',
	'ALTER TABLE store_batch_log DROP CONSTRAINT store_batch_log_pkey, ADD PRIMARY KEY (sequence_number) DEFERRABLE',
	'ALTER TABLE store_batch_log DROP CONSTRAINT store_batch_log_pkey, ADD PRIMARY KEY (stable, sequence_number)',
	'ALTER TABLE store_kv DROP CONSTRAINT store_kv_pkey, ADD PRIMARY KEY (key) DEFERRABLE',
	'ALTER TABLE store_kv DROP CONSTRAINT store_kv_pkey',
	'ALTER TABLE store_control DROP CONSTRAINT store_control_pkey',
-- what is not logged would not survive a crash
	'ALTER TABLE store_kv SET UNLOGGED',
	'ALTER TABLE store_batch_log SET UNLOGGED',
	'ALTER TABLE store_control SET UNLOGGED',
	'ALTER TABLE store_retention SET UNLOGGED',
	'ALTER TABLE store_histories SET UNLOGGED',
	'ALTER SEQUENCE store_sequence SET UNLOGGED',
-- what leaves no trace
	'TRUNCATE store_kv',
	'TRUNCATE store_batch_log',
	'TRUNCATE store_control',
	'TRUNCATE store_histories',
	'TRUNCATE store_retention',
-- types
	'ALTER TABLE store_kv ALTER key TYPE text USING ''x''',
	'ALTER TABLE store_kv ALTER value TYPE bigint USING 42',
	'ALTER TABLE store_batch_log ALTER payload TYPE bigint USING 42',
	'ALTER TABLE store_batch_log ALTER payload TYPE hue USING ''red''',
	'ALTER TABLE store_batch_log ALTER payload TYPE bytes',
	'ALTER TABLE store_batch_log ALTER deleted_keys TYPE bigint USING 42',
	'ALTER TABLE store_batch_log ALTER written_at TYPE text USING ''x''',
	'ALTER TABLE store_control ALTER item TYPE text',
	'ALTER TABLE store_control ALTER number TYPE numeric',
	'ALTER TABLE store_control ALTER bytes TYPE text',
	'ALTER TABLE store_control ALTER noted_at TYPE date',
	'ALTER TABLE store_retention ALTER rule TYPE text',
	'ALTER TABLE store_retention ALTER rule TYPE bigint USING 42',
	'ALTER TABLE store_histories ALTER history TYPE bigint USING 42',
-- NULL where there was none
	'ALTER TABLE store_kv ALTER value DROP NOT NULL; UPDATE store_kv SET value = NULL WHERE key = ''a''',
	'ALTER TABLE store_batch_log ALTER payload DROP NOT NULL; UPDATE store_batch_log SET payload = NULL',
	'ALTER TABLE store_batch_log ALTER stable DROP NOT NULL; UPDATE store_batch_log SET stable = NULL',
	'ALTER TABLE store_control ALTER bytes DROP NOT NULL',
-- rules and children
	'CREATE RULE r AS ON INSERT TO store_kv DO ALSO SELECT 1',
	'CREATE RULE r AS ON DELETE TO store_kv DO INSTEAD NOTHING',
	'CREATE RULE r AS ON INSERT TO store_batch_log DO INSTEAD NOTHING',
	'CREATE RULE r AS ON DELETE TO store_batch_log DO INSTEAD NOTHING',
	'CREATE RULE r AS ON INSERT TO store_control DO INSTEAD NOTHING',
	'CREATE RULE r AS ON DELETE TO store_retention DO INSTEAD NOTHING',
	'CREATE TABLE child () INHERITS (store_kv)',
	'CREATE TABLE child () INHERITS (store_batch_log)',
	'CREATE TABLE child () INHERITS (store_batch_log); INSERT INTO child SELECT * FROM store_batch_log',
	'CREATE TABLE whole (LIKE store_kv) PARTITION BY RANGE (key); ALTER TABLE whole ATTACH PARTITION store_kv DEFAULT',
-- replaced
	'ALTER TABLE store_histories RENAME TO old',
	'ALTER TABLE store_kv RENAME TO old; CREATE TABLE store_kv (LIKE old INCLUDING ALL)',
	'ALTER TABLE store_kv RENAME TO old; CREATE TABLE store_kv (key bytea PRIMARY KEY, value bigint); INSERT INTO store_kv VALUES (''a'', 42)',
	'ALTER TABLE store_batch_log RENAME TO old; CREATE TABLE store_batch_log (sequence_number bigint PRIMARY KEY)',
	'ALTER TABLE store_batch_log RENAME TO old; CREATE TABLE store_batch_log (LIKE old INCLUDING ALL) PARTITION BY RANGE (sequence_number)',
	'ALTER TABLE store_control RENAME TO old; CREATE TABLE store_control (LIKE old INCLUDING ALL)',
	'ALTER EXTENSION storeengine DROP TABLE store_kv',
	'ALTER VIEW store_status RENAME TO old',
	'ALTER FUNCTION store_scan_support(internal) RENAME TO old'
]) WITH ORDINALITY AS u (change, place) ORDER BY place;

-- each column renamed, and each dropped that can be
SET client_min_messages = warning;
SELECT change, changed(change)
FROM (SELECT attrelid::regclass::text AS name, attnum, attname FROM pg_attribute
	  WHERE attrelid IN ('store_kv'::regclass, 'store_batch_log'::regclass, 'store_control'::regclass,
					   'store_retention'::regclass, 'store_histories'::regclass)
		AND attnum > 0) AS a,
	 unnest(ARRAY[format('ALTER TABLE %s RENAME %s TO new_name', name, attname),
				  format('ALTER TABLE %s DROP %s', name, attname),
				  format('ALTER TABLE %1$s DROP %2$s CASCADE, ADD %2$s text', name, attname)]) WITH ORDINALITY AS u (change, place)
ORDER BY name COLLATE "C", attnum, place;

\pset format aligned

-- it was all taken back
SELECT changed('SELECT');
SELECT * FROM store_range_scan();

-- the messages
\set SHOW_CONTEXT never
BEGIN;
ALTER TABLE store_batch_log ALTER payload TYPE bigint USING 42;
SELECT store_get_batch(1);
ROLLBACK;
BEGIN;
ALTER TABLE store_batch_log SET UNLOGGED;
SELECT store_put('a', '1');
ROLLBACK;
BEGIN;
CREATE TRIGGER t BEFORE TRUNCATE ON calls EXECUTE FUNCTION store_refuse_truncate();
TRUNCATE store_batch_log;
ROLLBACK;
CREATE FUNCTION not_a_trigger() RETURNS bigint AS '$libdir/storeengine', 'store_refuse_truncate' LANGUAGE C;
SELECT not_a_trigger();
BEGIN;
CREATE RULE r AS ON DELETE TO store_retention DO INSTEAD NOTHING;
SELECT store_set_retention('{"keepLatest": {"count": "1000"}}');
SELECT store_set_retention(NULL);
ROLLBACK;

-- A11: a row with the highest number there can be, which somebody wrote by hand:
-- everybody is wrong, as the README says, but nothing is counted beyond it
SET client_min_messages = error;
INSERT INTO store_batch_log VALUES (9223372036854775807, 9223372036854775806, now(), '', NULL);
SELECT store_current_sequence(), frontier, holes FROM store_status;
SELECT sequence_number, op FROM store_read_log(9223372036854775806);
\set VERBOSITY sqlstate
SELECT store_read_log(0);
SELECT store_put('a', '1');
SELECT store_set_retention('{"dropAll": {}}');
SELECT store_set_retention(NULL);
SELECT store_prune_batch_log(9223372036854775807), store_oldest_retained_batch();
SELECT min(sequence_number), max(sequence_number) FROM store_batch_log;
RESET client_min_messages;

DROP EXTENSION storeengine;
DROP TABLE calls;
DROP FUNCTION look, claims_immutable, raises, changed, state_of, not_a_trigger;
DROP DOMAIN bytes;
DROP TYPE hue;
CREATE EXTENSION storeengine;
