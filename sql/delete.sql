-- store_delete_batch(): deleting keys
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SELECT store_put_batch('{a,b,c,d,""}', '{1,2,3,4,5}');
SELECT store_delete_batch('{c,a}');
SELECT * FROM store_range_scan();

-- B7, D1: the log shows the keys; get_batch is present and empty
SELECT sequence_number, payload, deleted_keys FROM store_batch_log ORDER BY sequence_number;
SELECT store_get_batch(2), store_get_batch(2) IS NULL AS missing, store_get_batch(3) IS NULL AS missing;

-- B6: missing keys, in part and altogether, and no keys at all
SELECT store_delete_batch('{b,nothing}');
SELECT store_delete_batch('{a,b}');
SELECT store_delete_batch('{}');
SELECT store_current_sequence();
SELECT * FROM store_range_scan();
SELECT n, store_get_batch(n) FROM generate_series(2, 5) AS n ORDER BY n;

-- B7: given order and multiplicity, the empty key too
SELECT store_delete_batch('{x,"",d,x}');
SELECT sequence_number, payload, deleted_keys FROM store_batch_log WHERE sequence_number > 2 ORDER BY sequence_number;
SELECT count(*) FROM store_range_scan();

-- A9: the higher number wins, be it a delete or a put; a delete of an absent key leaves nothing
SELECT store_put('a', '1'), store_delete_batch('{a}'), store_put('a', '2');
SELECT store_get('a');
BEGIN;
SELECT store_put('e', '1');
SELECT store_delete_batch('{e,f}');
SELECT * FROM store_range_scan();
SELECT store_put('f', '2');
SELECT * FROM store_range_scan();
COMMIT;
SELECT store_current_sequence();
SELECT * FROM store_range_scan();
SELECT count(*) FROM store_kv;

-- B8: any lower bound
SELECT store_delete_batch('[3:4]={a,f}'::bytea[]);
SELECT count(*) FROM store_kv;

-- B3: keys of every length
SELECT store_put_batch(array_agg(convert_to(repeat('k', i), 'UTF8')), array_agg(int4send(i)))
FROM generate_series(0, 254) AS i;
SELECT store_delete_batch(array_agg(convert_to(repeat('k', i), 'UTF8')))
FROM generate_series(0, 254) AS i WHERE i <> 100;
SELECT octet_length(key), value FROM store_range_scan();

--
-- Errors.  None of them takes a number or deletes anything.
--
SELECT store_delete_batch('{a,NULL}');
SELECT store_delete_batch('{{a}}');
SELECT store_delete_batch(ARRAY[repeat('k', 100), repeat('k', 255)]::bytea[]);
\set VERBOSITY sqlstate
SELECT store_delete_batch(NULL);
SELECT store_delete_batch('{NULL}');
SELECT store_delete_batch('{{a,b},{c,d}}');
SELECT store_current_sequence(), count(*) FROM store_kv;
SELECT store_delete_batch('{}');
