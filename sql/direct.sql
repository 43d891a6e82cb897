-- Tables are accessed directly where that means the same as SQL, and by SQL
-- elsewhere: with debug_access = direct that is an error

SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
CREATE ROLE regress_direct;
CREATE FUNCTION key(i int) RETURNS bytea LANGUAGE sql RETURN convert_to('k' || lpad(i::text, 5, '0'), 'UTF8');
CREATE FUNCTION put(value text, first int, last int, step int) RETURNS bigint LANGUAGE sql
	RETURN (SELECT store_put_batch(array_agg(key(i) ORDER BY i), array_agg(convert_to(value, 'UTF8')))
			FROM generate_series(first, last, step) AS i);
CREATE FUNCTION problems() RETURNS bigint LANGUAGE sql
	RETURN (SELECT count(*) FROM store_verify() WHERE result <> 'ok');

-- What is accessed by SQL after a change, and that the same comes of it there
CREATE FUNCTION by_sql(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	work text;
	found text := '';
BEGIN
	EXECUTE change;
	FOREACH work IN ARRAY ARRAY[$w$store_put('k', 'direct')$w$, $w$store_delete_batch('{absent}')$w$, $w$store_get('k')$w$] LOOP
		PERFORM set_config('storeengine.debug_access', 'direct', true);
		BEGIN
			EXECUTE 'SELECT ' || work;
		EXCEPTION WHEN internal_error THEN
			found := found || format(', %s (%s)', split_part(work, '(', 1), split_part(sqlerrm, '"', 2));
			PERFORM set_config('storeengine.debug_access', 'auto', true);
			EXECUTE 'SELECT ' || work;
		END;
	END LOOP;
	RAISE EXCEPTION '%', coalesce(nullif(substr(found, 3), ''), 'nothing') USING ERRCODE = 'ZZZZZ';
EXCEPTION WHEN SQLSTATE 'ZZZZZ' THEN
	RETURN sqlerrm;
END $$;
SELECT change, by_sql(change) FROM (VALUES
	('SELECT'),
	('CREATE TRIGGER t BEFORE UPDATE ON store_kv FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()'),
	('CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN RETURN NULL; END'';
	  CREATE TRIGGER t AFTER INSERT ON store_batch_log FOR EACH STATEMENT EXECUTE FUNCTION f()'),
	('CREATE RULE r AS ON INSERT TO store_batch_log DO ALSO SELECT'),
	('ALTER TABLE store_kv ENABLE ROW LEVEL SECURITY'),
	('CREATE INDEX ON store_kv (length(value))'),
	('CREATE UNIQUE INDEX ON store_batch_log (written_at, sequence_number)'),
	('ALTER TABLE store_kv ADD CHECK (value <> ''bad'')'),
	('ALTER TABLE store_kv DROP CONSTRAINT store_kv_key_check'),
	('ALTER TABLE store_kv DROP CONSTRAINT store_kv_key_check, ADD CHECK (octet_length(key) <= 253)'),
	('ALTER TABLE store_batch_log DROP CONSTRAINT store_batch_log_check, ADD CHECK (stable > sequence_number - 100)'),
	('ALTER TABLE store_kv ALTER COLUMN value SET DEFAULT ''x'''),
	('ALTER TABLE store_kv ADD COLUMN c int'),
	('ALTER TABLE store_batch_log ADD COLUMN c timestamptz DEFAULT now()'),
	('CREATE TABLE child () INHERITS (store_kv)'),
	('CREATE TABLE parent (key bytea NOT NULL, value bytea NOT NULL); ALTER TABLE store_kv INHERIT parent'),
	('CREATE TABLE refers (key bytea REFERENCES store_kv)'),
	('ALTER TABLE store_kv SET (fillfactor = 50)'),
	('ALTER TABLE store_kv ALTER COLUMN value SET STORAGE EXTERNAL'),
	('ANALYZE store_kv')
) AS changes (change);
SELECT problems();

-- Who has rights on columns alone is served by SQL, and who lacks one is told
GRANT SELECT, INSERT ON store_batch_log, store_histories TO regress_direct;
GRANT USAGE ON store_sequence TO regress_direct;
GRANT EXECUTE ON FUNCTION store_put(bytea, bytea) TO regress_direct;
CREATE FUNCTION with_rights(rights text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('GRANT %s TO regress_direct', rights);
	PERFORM set_config('storeengine.debug_access', 'direct', true);
	SET LOCAL ROLE regress_direct;
	PERFORM store_put('k', 'other');
	RAISE EXCEPTION 'put directly' USING ERRCODE = 'ZZZZZ';
EXCEPTION WHEN internal_error OR SQLSTATE 'ZZZZZ' THEN
	RETURN sqlerrm;
END $$;
SELECT rights, with_rights(rights) FROM (VALUES
	('SELECT, INSERT, UPDATE ON store_kv'),
	('SELECT (key), INSERT (key, value), UPDATE (value) ON store_kv'),
	('SELECT, INSERT ON store_kv')
) AS given (rights);
GRANT SELECT, INSERT ON store_kv TO regress_direct;
SET ROLE regress_direct;
SELECT store_put('k', 'other');
RESET ROLE;
REVOKE INSERT ON store_batch_log FROM regress_direct;
GRANT UPDATE ON store_kv TO regress_direct;
SET ROLE regress_direct;
SELECT store_put('k', 'other');
RESET ROLE;

-- A table that publishes updates needs a replica identity, either way
ALTER TABLE store_kv REPLICA IDENTITY NOTHING;
SET client_min_messages = error;
CREATE PUBLICATION regress_direct FOR TABLE store_kv;
RESET client_min_messages;
SET storeengine.debug_access = direct;
SELECT store_put('k', 'published') > 0 AS put;
SELECT store_put('k', 'published again');
SET storeengine.debug_access = sql;
SELECT store_put('k', 'published again');
DROP PUBLICATION regress_direct;
ALTER TABLE store_kv REPLICA IDENTITY DEFAULT;

-- One of many new keys is there, which is found before they are added
SET storeengine.debug_access = direct;
SELECT put('first', 500, 500, 1) > 0 AS put;
SELECT put('new', 1, 1500, 1) > 0 AS put;
SELECT count(*), count(DISTINCT key), count(*) FILTER (WHERE value = 'new') AS new FROM store_kv WHERE key > 'k0';
-- All are above those that are there, or are added to an empty table
SELECT put('above', 1501, 4000, 1) > 0 AS put;
SELECT count(*), count(DISTINCT key) FROM store_kv WHERE key > 'k0';
-- Large values make the groups small
SELECT store_put_batch(array_agg(key(i)), array_agg(convert_to(repeat(i::text, 100000), 'UTF8'))) > 0 AS put
FROM generate_series(4001, 4040) AS i;
SELECT sum(length(value)) FROM store_kv WHERE key > key(4000);
-- More groups than a transaction may have subtransactions
BEGIN;
SELECT count(put('many', 10000 + 20 * i, 10019 + 20 * i, 1)) FROM generate_series(1, 50) AS i;
COMMIT;
SELECT count(*) FROM store_kv WHERE key > key(9999);
-- Nothing of what was put remains after an error, or of a savepoint
BEGIN;
SAVEPOINT s;
SELECT put('undone', 20000, 20100, 1) > 0 AS put;
ROLLBACK TO s;
SELECT put('done', 20050, 20120, 1) > 0 AS put;
COMMIT;
SELECT convert_from(value, 'UTF8') AS value, count(*) FROM store_kv WHERE key >= key(20000) GROUP BY 1;
SELECT problems();

-- Own changes of the transaction count, of any isolation level
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT put('a', 1, 100, 1) > 0 AS put;
SELECT put('b', 50, 150, 1) > 0 AS put;
SELECT store_delete_batch(ARRAY[key(60)]) > 0 AS deleted;
SELECT put('c', 55, 65, 5) > 0 AS put;
SELECT convert_from(value, 'UTF8') AS value, count(*) FROM store_kv WHERE key <= key(150) AND key > 'k0' GROUP BY 1 ORDER BY 1;
COMMIT;
SELECT problems();

-- Whatever is put, the table is the same
CREATE FUNCTION put_at_random(way text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n int;
	numbers int[];
BEGIN
	PERFORM set_config('storeengine.debug_access', way, true);
	PERFORM setseed(0.5), store_delete_batch(array_agg(key)) FROM store_kv;
	FOR n IN 1 .. 300 LOOP
		numbers := ARRAY(SELECT floor((n % 7) * 300 * random() + (n % 5) * 100)::int FROM generate_series(1, 1 + (random() * random() * 200)::int));
		IF n % 3 = 0 THEN
			numbers := ARRAY(SELECT generate_series(n * 10, n * 10 + (random() * 100)::int));
		END IF;
		IF n % 10 = 0 THEN
			PERFORM store_delete_batch(ARRAY(SELECT key(i) FROM unnest(numbers) AS i));
		ELSE
			PERFORM store_put_batch(ARRAY(SELECT key(i) FROM unnest(numbers) AS i),
									ARRAY(SELECT convert_to(n || '.' || random(), 'UTF8') FROM unnest(numbers)));
		END IF;
	END LOOP;
	RETURN (SELECT count(*) || ' ' || md5(string_agg(md5(key || value), '' ORDER BY key)) FROM store_kv);
END $$;
SELECT put_at_random('direct') = put_at_random('sql') AS same;
SELECT count(*) > 1000 AS has_many FROM store_kv;
SELECT problems();

-- Restore
SET client_min_messages = warning;
DROP EXTENSION storeengine CASCADE;
DROP FUNCTION by_sql(text), with_rights(text), put_at_random(text), key(int);
DROP OWNED BY regress_direct;
DROP ROLE regress_direct;
CREATE EXTENSION storeengine;
