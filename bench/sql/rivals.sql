-- What one would write by hand for "put pairs, log them, number them": a pair at a
-- time, or a batch.  The log's payload is not compressed, as the store's is not.

CREATE TABLE rival_kv (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE rival_log (number bigint PRIMARY KEY, written_at timestamptz, keys bytea[], pair_values bytea[]);
ALTER TABLE rival_log ALTER COLUMN keys SET STORAGE EXTERNAL, ALTER COLUMN pair_values SET STORAGE EXTERNAL;
CREATE SEQUENCE rival_sequence;

-- Simple and right: a lock held to commit makes number order commit order.
CREATE FUNCTION put_locked(k bytea, v bytea) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	PERFORM pg_advisory_xact_lock(42);
	INSERT INTO rival_kv VALUES (k, v) ON CONFLICT (key) DO UPDATE SET value = excluded.value;
	n := nextval('rival_sequence');
	INSERT INTO rival_log VALUES (n, clock_timestamp(), ARRAY[k], ARRAY[v]);
	RETURN n;
END $$;

CREATE FUNCTION put_locked(k bytea[], v bytea[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	PERFORM pg_advisory_xact_lock(42);
	INSERT INTO rival_kv SELECT * FROM unnest(k, v) ON CONFLICT (key) DO UPDATE SET value = excluded.value;
	n := nextval('rival_sequence');
	INSERT INTO rival_log VALUES (n, clock_timestamp(), k, v);
	RETURN n;
END $$;

-- Fast and wrong: readers of the log skip what commits late.
CREATE FUNCTION put_unordered(k bytea, v bytea) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	INSERT INTO rival_kv VALUES (k, v) ON CONFLICT (key) DO UPDATE SET value = excluded.value;
	n := nextval('rival_sequence');
	INSERT INTO rival_log VALUES (n, clock_timestamp(), ARRAY[k], ARRAY[v]);
	RETURN n;
END $$;

CREATE FUNCTION put_unordered(k bytea[], v bytea[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	INSERT INTO rival_kv SELECT * FROM unnest(k, v) ON CONFLICT (key) DO UPDATE SET value = excluded.value;
	n := nextval('rival_sequence');
	INSERT INTO rival_log VALUES (n, clock_timestamp(), k, v);
	RETURN n;
END $$;

-- A get as a function that runs a statement.
CREATE FUNCTION get_by_spi(k bytea) RETURNS bytea LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN (SELECT value FROM store_kv WHERE key = k);
END $$;
