-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION storeengine" to load this file. \quit

--
-- Data.  Dumped by pg_dump with its contents, but for anchors and tallies, which
-- can be found again.
--

CREATE TABLE store_kv (
	key bytea PRIMARY KEY CHECK (pg_catalog.octet_length(key) <= 254),
	value bytea NOT NULL
);
COMMENT ON TABLE store_kv IS 'current pairs of the store';

CREATE TABLE store_batch_log (
	sequence_number bigint PRIMARY KEY CHECK (sequence_number > 0),
	stable bigint NOT NULL,
	written_at timestamptz NOT NULL,
	payload bytea NOT NULL,
	deleted_keys bytea,
	CHECK (stable < sequence_number)
);
-- Toasting happens while the number is held: do not compress.
ALTER TABLE store_batch_log ALTER COLUMN payload SET STORAGE EXTERNAL;
ALTER TABLE store_batch_log ALTER COLUMN deleted_keys SET STORAGE EXTERNAL;
COMMENT ON TABLE store_batch_log IS 'every batch, by sequence number';
COMMENT ON COLUMN store_batch_log.stable IS
'a number up to which the log was complete before this batch was written';
COMMENT ON COLUMN store_batch_log.payload IS
'the pairs put, in the given order: field 2 of protobuf message log.stream.v1.GetResponse';
COMMENT ON COLUMN store_batch_log.deleted_keys IS
'the keys deleted, framed as payload, without values; NULL if the batch is not a delete';

CREATE TABLE store_control (
	item name,
	number bigint,
	bytes bigint NOT NULL,
	noted_at timestamptz NOT NULL,
	PRIMARY KEY (item, number)
);
COMMENT ON TABLE store_control IS
'numbers about the store; of each item the highest counts: floor (highest pruned batch), anchor (a frontier), tally (highest counted batch)';
COMMENT ON COLUMN store_control.bytes IS
'of floor and tally: the bytes of all batches up to the number, since counting began';

CREATE TABLE store_retention (
	singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
	rule jsonb NOT NULL
);
COMMENT ON TABLE store_retention IS
'the rule by which the worker prunes the batch log, if there is one: see store_set_retention';

CREATE SEQUENCE store_sequence;
COMMENT ON SEQUENCE store_sequence IS 'sequence numbers of batches';

SELECT pg_catalog.pg_extension_config_dump('store_kv', '');
SELECT pg_catalog.pg_extension_config_dump('store_batch_log', '');
SELECT pg_catalog.pg_extension_config_dump('store_control', 'WHERE item = ''floor''');
SELECT pg_catalog.pg_extension_config_dump('store_retention', '');
SELECT pg_catalog.pg_extension_config_dump('store_sequence', '');

CREATE TYPE store_entry AS (key bytea, value bytea);
COMMENT ON TYPE store_entry IS 'a key and its value';

CREATE TYPE store_selector AS (prefix bytea, payload_regex text);
COMMENT ON TYPE store_selector IS
'keys that start with prefix, and in whose remaining bytes payload_regex is found';

CREATE TYPE store_filter AS (kind text, operand bytea);
COMMENT ON TYPE store_filter IS
'values that equal the operand (kind exact), start with it (prefix), or in which it is found (regex)';

--
-- Writing.
--

CREATE FUNCTION store_put_batch(keys bytea[], "values" bytea[]) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION store_put_batch(bytea[], bytea[]) IS
'store pairs atomically, return the sequence number of the batch';

CREATE FUNCTION store_put_batch(entries store_entry[]) RETURNS bigint
	AS 'MODULE_PATHNAME', 'store_put_batch_entries' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION store_put_batch(store_entry[]) IS
'store pairs atomically, return the sequence number of the batch';

CREATE FUNCTION store_put(key bytea, value bytea) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION store_put(bytea, bytea) IS
'store one pair, return the sequence number of the batch';

CREATE FUNCTION store_put_request(request bytea) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION store_put_request(bytea) IS
'store the pairs of a protobuf message log.ingest.v1.PutRequest, return the sequence number of the batch';

CREATE FUNCTION store_delete_batch(keys bytea[]) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION store_delete_batch(bytea[]) IS
'delete keys atomically, return the sequence number of the batch';

--
-- Reading.
--

CREATE FUNCTION store_current_sequence() RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION store_current_sequence() IS
'sequence number up to which every batch is visible, 0 if there is none';

CREATE FUNCTION store_oldest_retained_batch() RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION store_oldest_retained_batch() IS
'lowest sequence number in the batch log, NULL if the log is empty';

CREATE FUNCTION store_get_batch(sequence_number bigint) RETURNS store_entry[]
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION store_get_batch(bigint) IS
'pairs put by a batch, in the given order; NULL if it is pruned or not written, {} if it put none';

CREATE FUNCTION store_get_batch_response(sequence_number bigint) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION store_get_batch_response(bigint) IS
'a batch as protobuf message log.stream.v1.GetResponse; SE001 if it is pruned, SE002 if it is not written';

CREATE FUNCTION store_get(key bytea, min_sequence_number bigint DEFAULT NULL) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION store_get(bytea, bigint) IS
'value of a key, NULL if there is none; SE003 unless min_sequence_number has been reached';

CREATE FUNCTION store_check_keys(keys bytea[], min_sequence_number bigint) RETURNS bytea[]
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION store_check_keys(bytea[], bigint) IS
'internal: check the arguments of store_get_many, return keys';

CREATE FUNCTION store_check_scan(start bytea, "end" bytea, "limit" bigint,
								 forward boolean, min_sequence_number bigint) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION store_check_scan(bytea, bytea, bigint, boolean, bigint) IS
'internal: check the arguments of store_range_scan, return whether it has to look for rows';

-- The cost makes the planner use it as a bound of the index rather than call it
-- for each row: a scan need not sort its rows, and can be stopped early.
CREATE FUNCTION store_scan_bound(bound bytea) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION store_scan_bound(bytea) IS
'internal: return a bound of store_range_scan, unseen by the planner';

-- Names in the bodies are qualified where a function in the store's schema could
-- be a better match.  The planner inlines the two functions below: they are as fast as the SQL in
-- them, and stop when the caller does.

CREATE FUNCTION store_get_many(keys bytea[], min_sequence_number bigint DEFAULT NULL)
	RETURNS SETOF store_entry
	LANGUAGE sql STABLE PARALLEL SAFE ROWS 100
BEGIN ATOMIC
	SELECT wanted.key, kv.value
	FROM pg_catalog.unnest(store_check_keys(keys, min_sequence_number)) WITH ORDINALITY AS wanted (key, place)
	LEFT JOIN store_kv AS kv ON kv.key = wanted.key
	ORDER BY wanted.place;
END;
COMMENT ON FUNCTION store_get_many(bytea[], bigint) IS
'one row for each given key, in the given order, with NULL for missing values; SE003 unless min_sequence_number has been reached';

-- Of the two arms one is dropped by the planner, or at the latest when the
-- scan starts.  No key is longer than 254 bytes, so 255 times ff is above all.
CREATE FUNCTION store_range_scan(start bytea DEFAULT '', "end" bytea DEFAULT '',
								 "limit" bigint DEFAULT NULL, forward boolean DEFAULT true,
								 min_sequence_number bigint DEFAULT NULL)
	RETURNS SETOF store_entry
	LANGUAGE sql STABLE PARALLEL SAFE ROWS 1000
BEGIN ATOMIC
	(SELECT kv.key, kv.value
	 FROM store_kv AS kv
	 WHERE forward IS NOT FALSE
	   AND store_check_scan(start, "end", "limit", forward, min_sequence_number)
	   AND kv.key >= store_scan_bound(start)
	   AND kv.key <= store_scan_bound(CASE WHEN "end" = '' THEN pg_catalog.decode(pg_catalog.repeat('ff', 255), 'hex') ELSE "end" END)
	 ORDER BY kv.key
	 LIMIT nullif("limit", 0))
	UNION ALL
	(SELECT kv.key, kv.value
	 FROM store_kv AS kv
	 WHERE forward IS FALSE
	   AND store_check_scan(start, "end", "limit", forward, min_sequence_number)
	   AND kv.key >= store_scan_bound(start)
	   AND kv.key <= store_scan_bound(CASE WHEN "end" = '' THEN pg_catalog.decode(pg_catalog.repeat('ff', 255), 'hex') ELSE "end" END)
	 ORDER BY kv.key DESC
	 LIMIT nullif("limit", 0));
END;
COMMENT ON FUNCTION store_range_scan(bytea, bytea, bigint, boolean, bigint) IS
'pairs with start <= key <= end, in ascending or descending order of keys; an empty end is no bound';

--
-- The feed.
--

CREATE FUNCTION store_read_log(since bigint,
							   selectors store_selector[] DEFAULT NULL,
							   value_filters store_filter[] DEFAULT NULL,
							   max_batches bigint DEFAULT 1000,
							   max_bytes bigint DEFAULT 16777216,
							   min_sequence_number bigint DEFAULT NULL)
	RETURNS TABLE (sequence_number bigint, op text, key bytea, value bytea)
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 1000;
COMMENT ON FUNCTION store_read_log(bigint, store_selector[], store_filter[], bigint, bigint, bigint) IS
'what the batches after a cursor put and deleted, in order, and the new cursor; SE001 if the next batch is pruned';

CREATE PROCEDURE store_wait_for_sequence(sequence_number bigint,
										 timeout interval DEFAULT NULL,
										 INOUT reached bigint DEFAULT NULL)
	AS 'MODULE_PATHNAME' LANGUAGE C;
COMMENT ON PROCEDURE store_wait_for_sequence(bigint, interval, bigint) IS
'wait until every batch up to a sequence number is visible, or the timeout is over; return how far it is so';

--
-- Pruning and looking in.
--

CREATE FUNCTION store_prune_batch_log(cutoff_exclusive bigint) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION store_prune_batch_log(bigint) IS
'delete the batches with lower sequence numbers from the log, return how many were deleted';

CREATE FUNCTION store_set_retention(policy jsonb) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION store_set_retention(jsonb) IS
'set the rule by which the batch log is pruned from now on, NULL for none; return the lowest sequence number in the log';

CREATE FUNCTION store_prune(request jsonb, dry_run boolean DEFAULT false) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION store_prune(jsonb, boolean) IS
'apply the policies of a message store.prune.v1.PruneRequest, return how many keys were deleted, or would be';

CREATE FUNCTION store_status_values(OUT frontier bigint,
									OUT highest_allocated bigint,
									OUT oldest_retained bigint,
									OUT in_flight integer,
									OUT holder_pid integer,
									OUT holder_sequence_number bigint,
									OUT holder_since timestamptz,
									OUT holes bigint,
									OUT oldest_written_at timestamptz,
									OUT log_bytes bigint,
									OUT table_bytes bigint,
									OUT retention jsonb,
									OUT retention_lag bigint,
									OUT last_prune_at timestamptz,
									OUT waiters integer,
									OUT announced bigint,
									OUT worker_state text,
									OUT worker_pid integer,
									OUT last_error text,
									OUT last_error_at timestamptz)
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION store_status_values() IS 'internal: what store_status shows';

-- Nothing but the function: who reads a view has locked it before its tables,
-- which DROP EXTENSION takes first.
CREATE VIEW store_status AS
	SELECT status.frontier,
		   status.highest_allocated,
		   status.in_flight,
		   status.holder_pid,
		   status.holder_sequence_number,
		   status.holder_since,
		   status.holes,
		   status.oldest_retained,
		   status.oldest_written_at,
		   status.log_bytes,
		   status.table_bytes,
		   status.retention,
		   status.retention_lag,
		   status.last_prune_at,
		   status.waiters,
		   status.announced,
		   pg_catalog.pg_notification_queue_usage() AS notification_queue_usage,
		   status.worker_state,
		   status.worker_pid,
		   status.last_error,
		   status.last_error_at
	FROM store_status_values() AS status;
COMMENT ON VIEW store_status IS 'what the store is doing: one row';

--
-- Privileges.  The functions run with the rights of their callers, so grants
-- on the tables decide who may read and write.  What changes the store, or
-- shows what others are doing, has to be granted besides.
--

REVOKE ALL ON FUNCTION store_put_batch(bytea[], bytea[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION store_put_batch(store_entry[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION store_put(bytea, bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION store_put_request(bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION store_delete_batch(bytea[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION store_prune_batch_log(bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION store_set_retention(jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION store_prune(jsonb, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION store_status_values() FROM PUBLIC;
