-- What one would write by hand for "put a pair, log it, number it".

CREATE TABLE rival_kv (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE rival_log (number bigint PRIMARY KEY, written_at timestamptz, key bytea, value bytea);
CREATE SEQUENCE rival_sequence;

-- Simple and right: a lock held to commit makes number order commit order.
CREATE FUNCTION put_locked(k bytea, v bytea) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	PERFORM pg_advisory_xact_lock(42);
	INSERT INTO rival_kv VALUES (k, v) ON CONFLICT (key) DO UPDATE SET value = excluded.value;
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
	INSERT INTO rival_log VALUES (n, clock_timestamp(), k, v);
	RETURN n;
END $$;
