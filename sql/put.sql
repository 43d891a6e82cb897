-- store_put(), store_put_batch(): writing pairs
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

-- A1: an empty store is at 0, the first write gets 1, then 2, 3, ...
SELECT store_current_sequence();
SELECT store_put('\x61', '\x31');
SELECT store_put_batch('{"\\x62","\\x63"}', '{"\\x32","\\x33"}');
SELECT store_put_batch(ARRAY[('\x64', '\x34'), ('\x65', '\x35')]::store_entry[]);
SELECT store_put_batch(keys => '{"\\x66"}', "values" => '{"\\x36"}');
SELECT store_put_batch(entries => ARRAY[ROW('\x67'::bytea, '\x37'::bytea)::store_entry]);
SELECT store_put(key => '\x68', value => '\x38');
SELECT store_current_sequence();
SELECT * FROM store_range_scan();

-- A8: one call after the other, also from one statement
SELECT bool_and(number = n + 6)
FROM (SELECT n, store_put('\x6e', int4send(n)) AS number FROM generate_series(1, 100) AS n OFFSET 0) AS puts;

-- overwriting, with the same value and with another one
SELECT store_put('\x61', '\x31'), store_put('\x61', '\x39');
SELECT store_get('\x61');

-- B2: of a repeated key the last value wins in the table, the log keeps all
SELECT store_put_batch('{"\\x63","\\x61","\\x63","\\x62","\\x63"}', '{c1,a1,c2,b1,c3}') AS n \gset
SELECT key, encode(value, 'escape') FROM store_range_scan('\x61', '\x63');
SELECT key, encode(value, 'escape') FROM unnest(store_get_batch(:n)) WITH ORDINALITY AS batch (key, value, place) ORDER BY place;
SELECT store_put_batch(ARRAY[('\x61', '\x01'), ('\x61', '\x02')]::store_entry[]) AS n \gset
SELECT store_get('\x61'), cardinality(store_get_batch(:n));

-- B5: an empty batch takes a number and is in the log, empty
SELECT store_put_batch('{}', '{}') AS n1, store_put_batch('{}'::store_entry[]) AS n2 \gset
SELECT :n2 - :n1, store_get_batch(:n1), store_get_batch(:n2), store_current_sequence() = :n2;

-- B3, B4: the empty key is a key, the empty value is a value
SELECT store_put_batch('{""}', '{""}') AS n \gset
SELECT store_get(''), store_get('') IS NULL AS missing;
SELECT * FROM unnest(store_get_batch(:n));

-- B8: lower bounds other than 1 are fine, for each array on its own
SELECT store_put_batch('[7:8]={"\\x71","\\x72"}'::bytea[], '[-1:0]={"\\x01","\\x02"}'::bytea[]) > 0;
SELECT store_put_batch('[0:0]={"(\"\\\\x73\",\"\\\\x03\")"}'::store_entry[]) > 0;
SELECT * FROM store_range_scan('\x70');

-- large batches: order of the log, last one wins, in and out of order
SELECT store_put_batch(array_agg(int4send(i * 7919 % 5000) ORDER BY i), array_agg(int4send(i) ORDER BY i)) AS n
FROM generate_series(1, 10000) AS i \gset
SELECT count(*), bool_and(key = int4send((i * 7919 % 5000)::int) AND value = int4send(i::int))
FROM unnest(store_get_batch(:n)) WITH ORDINALITY AS batch (key, value, i);
SELECT count(*), bool_and(value = int4send(i))
FROM generate_series(5001, 10000) AS i JOIN store_kv ON key = int4send(i * 7919 % 5000);

--
-- Errors.  None of them takes a number or leaves a trace.
--
SELECT store_current_sequence() AS before \gset

-- B8, I: NULL arguments and elements, shapes and lengths
SELECT store_put(NULL, '');
SELECT store_put_batch('{a,b}', '{a,NULL}');
SELECT store_put_batch('{a,b}', '{a}');
SELECT store_put_batch('{{a},{b}}', '{a,b}');
SELECT store_put_batch(ARRAY[('a', 'a'), ('b', NULL)]::store_entry[]);
\set VERBOSITY sqlstate
SELECT store_put('', NULL);
SELECT store_put(NULL, NULL);
SELECT store_put_batch(NULL, '{}');
SELECT store_put_batch('{}', NULL);
SELECT store_put_batch(NULL::bytea[], NULL);
SELECT store_put_batch(NULL::store_entry[]);
SELECT store_put_batch('{NULL}', '{a}');
SELECT store_put_batch('{a,NULL}', '{a}');
SELECT store_put_batch('{a,NULL}', '{a,NULL}');
SELECT store_put_batch('{}', '{a}');
SELECT store_put_batch('{a}', '{}');
SELECT store_put_batch('{a,b}', '{{a,b}}');
SELECT store_put_batch('{{a,b}}', '{{a,b}}');
SELECT store_put_batch('{{{a}}}', '{a}');
SELECT store_put_batch(ARRAY[NULL::store_entry]);
SELECT store_put_batch(ARRAY[('a', 'a'), NULL]::store_entry[]);
SELECT store_put_batch(ARRAY[(NULL, 'a')]::store_entry[]);
SELECT store_put_batch(ARRAY[(NULL, NULL)]::store_entry[]);
SELECT store_put_batch(ARRAY[ARRAY[('a', 'a')::store_entry]]);
\set VERBOSITY default

-- B1: a batch is refused as a whole
SELECT store_put_batch(ARRAY['\x616263', '\x616264', convert_to(repeat('k', 255), 'UTF8')], '{1,2,3}');
SELECT count(*) FROM store_get_many('{abc,abd}') WHERE value IS NOT NULL;
SELECT store_current_sequence() = :before, max(sequence_number) = :before FROM store_batch_log;
SELECT store_put('', '') = :before + 1;
