-- one statement a line, as a server by itself reads them
CREATE FUNCTION store_fuzz(target text, arguments text[]) RETURNS void AS 'storefuzz' LANGUAGE C
CREATE FUNCTION store_fuzz_replay(target text, input bytea) RETURNS void AS 'storefuzz' LANGUAGE C
CREATE TYPE store_entry AS (key bytea, value bytea)
CREATE TYPE store_selector AS (prefix bytea, payload_regex text)
CREATE TYPE store_filter AS (kind text, operand bytea)
