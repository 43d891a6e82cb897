-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION storeengine UPDATE TO '1.1'" to load this file. \quit

--
-- Histories: see to it that a cursor is not taken for one of numbers that were
-- given out again after a crash, a promotion or a restore.
--

CREATE TABLE store_histories (
	ordinal bigint,
	sequence_number bigint,
	history uuid NOT NULL,
	follows bigint NOT NULL,
	PRIMARY KEY (ordinal, sequence_number)
);
COMMENT ON TABLE store_histories IS
'the histories the store has been through, each noted by its first batches';
COMMENT ON COLUMN store_histories.sequence_number IS 'the batch that the note was made with';
COMMENT ON COLUMN store_histories.follows IS 'the last batch from before the history';

SELECT pg_catalog.pg_extension_config_dump('store_histories', '');

CREATE FUNCTION store_history() RETURNS uuid
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION store_history() IS
'history of the current sequence number, NULL if nothing has been written; a new one begins with the first write after each start of the server';

DROP FUNCTION store_read_log(bigint, store_selector[], store_filter[], bigint, bigint, bigint);
CREATE FUNCTION store_read_log(since bigint,
							   selectors store_selector[] DEFAULT NULL,
							   value_filters store_filter[] DEFAULT NULL,
							   max_batches bigint DEFAULT 1000,
							   max_bytes bigint DEFAULT 16777216,
							   min_sequence_number bigint DEFAULT NULL,
							   since_history uuid DEFAULT NULL)
	RETURNS TABLE (sequence_number bigint, op text, key bytea, value bytea, history uuid)
	AS 'MODULE_PATHNAME', 'store_read_log_since' LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 1000;
COMMENT ON FUNCTION store_read_log(bigint, store_selector[], store_filter[], bigint, bigint, bigint, uuid) IS
'what the batches after a cursor put and deleted, in order, and the new cursor; SE001 if the next batch is pruned, SE004 if the cursor is of another history';

--
-- Reads that the planner knows as nodes of its plans.
--

CREATE FUNCTION store_scan_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C STRICT;
COMMENT ON FUNCTION store_scan_support(internal) IS
'internal: tell the planner about store_range_scan and store_get_many';

CREATE OR REPLACE FUNCTION store_get_many(keys bytea[], min_sequence_number bigint DEFAULT NULL)
	RETURNS SETOF store_entry
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 100 ROWS 100
	SUPPORT store_scan_support;

CREATE OR REPLACE FUNCTION store_range_scan(start bytea DEFAULT '', "end" bytea DEFAULT '',
											"limit" bigint DEFAULT NULL, forward boolean DEFAULT true,
											min_sequence_number bigint DEFAULT NULL)
	RETURNS SETOF store_entry
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 100 ROWS 1000
	SUPPORT store_scan_support;

DROP FUNCTION store_check_keys(bytea[], bigint);
DROP FUNCTION store_check_scan(bytea, bytea, bigint, boolean, bigint);
DROP FUNCTION store_scan_bound(bytea);

--
-- Verifying.
--

CREATE FUNCTION store_verify(OUT check_name text,
							 OUT result text,
							 OUT checked bigint,
							 OUT sequence_number bigint,
							 OUT key bytea,
							 OUT detail text)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 10;
COMMENT ON FUNCTION store_verify() IS
'read the whole store in one snapshot; a row for each check, and before it one for each problem that it found';

-- It shows keys, and takes long.
REVOKE ALL ON FUNCTION store_verify() FROM PUBLIC;

--
-- TRUNCATE leaves nothing by which anybody could tell what has become of the
-- numbers: it is refused.
--

CREATE FUNCTION store_refuse_truncate() RETURNS trigger
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION store_refuse_truncate() IS 'internal: refuse TRUNCATE';

CREATE TRIGGER store_refuse_truncate BEFORE TRUNCATE ON store_kv
	EXECUTE FUNCTION store_refuse_truncate();
CREATE TRIGGER store_refuse_truncate BEFORE TRUNCATE ON store_batch_log
	EXECUTE FUNCTION store_refuse_truncate();
CREATE TRIGGER store_refuse_truncate BEFORE TRUNCATE ON store_control
	EXECUTE FUNCTION store_refuse_truncate();
CREATE TRIGGER store_refuse_truncate BEFORE TRUNCATE ON store_histories
	EXECUTE FUNCTION store_refuse_truncate();
