-- store_read_log(): the feed
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

-- F1, F3: an empty store has no rows, but a place
SELECT * FROM store_read_log(0);
SELECT * FROM store_read_log(NULL);
SELECT * FROM store_read_log(9223372036854775807);

SELECT store_put_batch('{user/1,order/1,user/1,""}', '{a,b,c,d}');
SELECT store_delete_batch('{user/1,nothing}');
SELECT store_put_batch('{}', '{}');
SELECT store_put('user/2', 'e');
SELECT store_put('order/2', 'f');

CREATE VIEW pg_temp.everything AS
SELECT sequence_number, op, convert_from(key, 'UTF8') AS key, convert_from(value, 'UTF8') AS value FROM store_read_log(0);

-- F2: all of it, in order, with multiplicity; B7: deletes too; F1: an empty batch gives no rows
SELECT * FROM pg_temp.everything;

-- F3: from a cursor; from the end; from beyond it
SELECT sequence_number, op FROM store_read_log(3);
SELECT sequence_number, op FROM store_read_log(5);
SELECT sequence_number, op FROM store_read_log(6);
SELECT sequence_number, op FROM store_read_log(NULL);

-- F1: bounded by batches, read or not, and each read says how far it got
SELECT sequence_number, op FROM store_read_log(0, max_batches => 1);
SELECT sequence_number, op FROM store_read_log(1, max_batches => 2);
SELECT sequence_number, op FROM store_read_log(3, max_batches => 2);
SELECT sequence_number, op FROM store_read_log(2, max_batches => 1);

-- bounded by bytes: a batch is whole or not there, but for the first one
SELECT sequence_number, op, key FROM store_read_log(0, max_bytes => 1);
SELECT sequence_number, op FROM store_read_log(1, max_bytes => 13);
SELECT sequence_number, op FROM store_read_log(1, max_bytes => 12);
SELECT sequence_number, op FROM store_read_log(1, max_bytes => 21);
SELECT sequence_number, op FROM store_read_log(1, max_batches => NULL, max_bytes => NULL);

-- what a filter leaves out takes no room, and a batch of which nothing is left always fits
SELECT sequence_number, op FROM store_read_log(1, ARRAY[('user/2', '(?s).*')]::store_selector[], max_bytes => 1);
SELECT sequence_number, op FROM store_read_log(0, ARRAY[('user/', '(?s).*')]::store_selector[], max_bytes => 20);
SELECT sequence_number, op FROM store_read_log(0, ARRAY[('user/', '(?s).*')]::store_selector[], max_bytes => 19);
SELECT sequence_number, op FROM store_read_log(0, ARRAY[('user/1', '(?s).*')]::store_selector[], max_bytes => 20);

-- several reads in one query do not disturb each other
SELECT since, string_agg(sequence_number || ' ' || op, ', ' ORDER BY place) AS rows
FROM generate_series(3, 6) AS since,
	 LATERAL store_read_log(since) WITH ORDINALITY AS read (sequence_number, op, key, value, history, place)
GROUP BY since ORDER BY since;
SELECT a.sequence_number, b.sequence_number FROM store_read_log(4) AS a, store_read_log(3) AS b ORDER BY 1, 2;

-- E2: rows pass if a selector takes their key; F1: others still move the cursor
SELECT sequence_number, op, convert_from(key, 'UTF8') AS key, convert_from(value, 'UTF8') AS value
FROM store_read_log(0, ARRAY[('user/', '(?s).*')]::store_selector[]);
SELECT sequence_number, op, convert_from(key, 'UTF8') AS key, convert_from(value, 'UTF8') AS value
FROM store_read_log(0, ARRAY[('user/', '^2$'), ('order/', '1')]::store_selector[]);
SELECT sequence_number, op FROM store_read_log(0, ARRAY[('absent/', '(?s).*')]::store_selector[]);
-- E2, E3: delivered once though both select it; the payload of a key that is its prefix is empty
SELECT sequence_number, op, convert_from(key, 'UTF8') AS key
FROM store_read_log(3, ARRAY[('user/2', '^$'), ('', 'user')]::store_selector[]);
-- E4: values: exact, prefix, regex; deletes have none, and pass by their keys
SELECT sequence_number, op, convert_from(key, 'UTF8') AS key, convert_from(value, 'UTF8') AS value
FROM store_read_log(0, ARRAY[('', '(?s).*')]::store_selector[], ARRAY[('exact', 'a'), ('prefix', 'e'), ('regex', '^[cd]$')]::store_filter[]);
SELECT sequence_number, op FROM store_read_log(0, value_filters => ARRAY[('exact', 'f')]::store_filter[]);

-- A read ends where it began: at one snapshot.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT store_current_sequence();
SELECT sequence_number, op FROM store_read_log(5);
COMMIT;

-- C7: not below a number
SELECT sequence_number, op FROM store_read_log(5, min_sequence_number => 5);
\set VERBOSITY sqlstate
SELECT * FROM store_read_log(5, min_sequence_number => 6);

-- E1 and the other arguments
SELECT * FROM store_read_log(-1);
SELECT * FROM store_read_log(0, max_batches => 0);
SELECT * FROM store_read_log(0, max_bytes => -1);
SELECT * FROM store_read_log(0, min_sequence_number => -1);
SELECT * FROM store_read_log(0, '{}'::store_selector[]);
SELECT * FROM store_read_log(0, array_fill(('', 'a')::store_selector, ARRAY[17]));
SELECT * FROM store_read_log(0, value_filters => array_fill(('exact', 'a')::store_filter, ARRAY[17]));
SELECT * FROM store_read_log(0, ARRAY[('', '(')]::store_selector[]);
\set VERBOSITY default

-- F3: evicted, with the oldest that is retained
SELECT store_prune_batch_log(4);
SELECT * FROM store_read_log(2);
SELECT sequence_number, op FROM store_read_log(3);
SELECT store_prune_batch_log(100);
SELECT * FROM store_read_log(4);
SELECT sequence_number, op FROM store_read_log(5);

-- F3: a hole is never skipped: the feed ends before it, or fails
SELECT store_put('a', '1'), store_put('a', '2'), store_put('a', '3');
BEGIN;
SELECT count(*) FROM store_read_log(5);
DELETE FROM store_batch_log WHERE sequence_number = 7;
SELECT sequence_number, op FROM store_read_log(5);
ROLLBACK;

-- who may not read the log may not read the feed
CREATE ROLE regress_reader;
SET ROLE regress_reader;
SELECT * FROM store_read_log(5);
-- nor have patterns compiled
SELECT * FROM store_read_log(5, ARRAY[('', '(')]::store_selector[]);
RESET ROLE;
GRANT SELECT (sequence_number, payload, deleted_keys) ON store_batch_log TO regress_reader;
SET ROLE regress_reader;
SELECT count(*) FROM store_read_log(5);
RESET ROLE;
ALTER TABLE store_batch_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY part ON store_batch_log FOR SELECT USING (sequence_number <> 7);
SET ROLE regress_reader;
\set VERBOSITY sqlstate
SELECT count(*) FROM store_read_log(6);
\set VERBOSITY default
RESET ROLE;
DROP POLICY part ON store_batch_log;
ALTER TABLE store_batch_log DISABLE ROW LEVEL SECURITY;
DROP OWNED BY regress_reader;
DROP ROLE regress_reader;
