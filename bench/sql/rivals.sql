-- What one would write by hand for "put pairs, log them, number them".

CREATE TABLE rival_kv (key bytea PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE rival_log (number bigint PRIMARY KEY, written_at timestamptz, key bytea, value bytea);
CREATE TABLE rival_batch_log (number bigint PRIMARY KEY, written_at timestamptz, keys bytea[], "values" bytea[]);
-- As in the store: do not try to compress.
ALTER TABLE rival_batch_log ALTER COLUMN keys SET STORAGE EXTERNAL, ALTER COLUMN "values" SET STORAGE EXTERNAL;
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

-- The same with a notification for who follows.
CREATE FUNCTION put_notify(k bytea, v bytea) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	n := put_locked(k, v);
	PERFORM pg_notify('rival', n::text);
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

-- The same for batches.  They fail if a key occurs twice in one, and two that
-- have keys in common can deadlock: to sort and to look for that would cost more.
CREATE FUNCTION put_locked_batch(ks bytea[], vs bytea[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	PERFORM pg_advisory_xact_lock(42);
	INSERT INTO rival_kv SELECT * FROM unnest(ks, vs) ON CONFLICT (key) DO UPDATE SET value = excluded.value;
	n := nextval('rival_sequence');
	INSERT INTO rival_batch_log VALUES (n, clock_timestamp(), ks, vs);
	RETURN n;
END $$;

CREATE FUNCTION put_unordered_batch(ks bytea[], vs bytea[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	INSERT INTO rival_kv SELECT * FROM unnest(ks, vs) ON CONFLICT (key) DO UPDATE SET value = excluded.value;
	n := nextval('rival_sequence');
	INSERT INTO rival_batch_log VALUES (n, clock_timestamp(), ks, vs);
	RETURN n;
END $$;

-- As above, in the order of keys, which is how two of them do not deadlock.
CREATE FUNCTION put_sorted_batch(ks bytea[], vs bytea[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	INSERT INTO rival_kv SELECT * FROM unnest(ks, vs) AS pair (k, v) ORDER BY k
		ON CONFLICT (key) DO UPDATE SET value = excluded.value;
	n := nextval('rival_sequence');
	INSERT INTO rival_batch_log VALUES (n, clock_timestamp(), ks, vs);
	RETURN n;
END $$;

-- What a function written in PL/pgSQL does to read a value of the store.
CREATE FUNCTION rival_get(k bytea) RETURNS bytea LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
	RETURN (SELECT value FROM store_kv WHERE key = k);
END $$;
