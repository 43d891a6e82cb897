-- E5: patterns match as they do in Rust, or are refused
--
-- test/regex has the vectors and the program that made them, with Rust's crate regex.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

CREATE FUNCTION store_probe_regex(pattern text, subject bytea) RETURNS text
	AS '$libdir/storeengine' LANGUAGE C STRICT;
CREATE FUNCTION probe(pattern text, subject bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN store_probe_regex(pattern, subject);
EXCEPTION WHEN invalid_regular_expression OR program_limit_exceeded THEN
	RETURN 'error';
END $$;

CREATE TEMPORARY TABLE vector (theme text, pattern text, subject text, expected text);
\copy vector FROM 'test/regex/vectors.csv' (FORMAT csv, FORCE_NOT_NULL (pattern, subject))
ALTER TABLE vector ADD found text;
UPDATE vector SET found = probe(pattern, decode(subject, 'hex'));

-- they are all there
SELECT theme, count(DISTINCT pattern) AS patterns, count(*) AS vectors FROM vector GROUP BY theme ORDER BY theme COLLATE "C";

-- none is matched differently, and none accepted that Rust refuses
SELECT * FROM vector WHERE found <> expected AND found <> 'error' ORDER BY pattern COLLATE "C", subject COLLATE "C";

-- those that we refuse and Rust does not
SELECT theme, pattern FROM vector WHERE found = 'error' AND expected <> 'error' AND theme <> 'random'
GROUP BY theme, pattern ORDER BY theme COLLATE "C", pattern COLLATE "C";
SELECT count(DISTINCT pattern) AS random_refused FROM vector WHERE found = 'error' AND expected <> 'error' AND theme = 'random';

DROP FUNCTION probe, store_probe_regex;
