-- privileges: nobody, and who may read
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SELECT store_put_batch('{a,b,c}', '{1,2,3}');
SELECT store_delete_batch('{c}');
CREATE ROLE regress_store_nobody;
CREATE ROLE regress_store_kv_reader;
CREATE ROLE regress_store_reader;

-- I: without grants one can do nothing and learn nothing.
\set SHOW_CONTEXT never
SET ROLE regress_store_nobody;
SELECT store_put('x', 'x');
SELECT store_get('a');
SELECT store_current_sequence();
\set VERBOSITY sqlstate
SELECT store_put_batch('{x}', '{x}');
SELECT store_put_batch(ARRAY[('x', 'x')]::store_entry[]);
SELECT store_put_request('');
SELECT store_delete_batch('{a}');
SELECT store_prune_batch_log(0);
SELECT store_get('nothing');
SELECT store_get('a', 0);
SELECT store_get('a', 100);
SELECT store_get_many('{}');
SELECT * FROM store_get_many('{}');
SELECT * FROM store_get_many('{a}', 0);
SELECT * FROM store_get_many('{a}', 100);
SELECT * FROM store_range_scan();
SELECT * FROM store_range_scan("limit" => 0);
SELECT * FROM store_range_scan(min_sequence_number => 100);
SELECT * FROM store_range_scan(forward => false, min_sequence_number => 0);
SELECT store_range_scan();
SELECT count(*) FROM store_range_scan('b', 'a');
SELECT store_oldest_retained_batch();
SELECT store_get_batch(1);
SELECT store_get_batch(100);
SELECT store_get_batch_response(0);
SELECT store_get_batch_response(1);
SELECT store_get_batch_response(100);
SELECT * FROM store_status;
SELECT store_status_values();
SELECT * FROM store_kv;
SELECT last_value FROM store_sequence;
SELECT nextval('store_sequence');
SELECT currval('store_sequence');
RESET ROLE;
SELECT store_current_sequence(), store_get('a');

-- Reading keys takes SELECT on the table; asking for a number takes that one column of the log.
GRANT SELECT ON store_kv TO regress_store_kv_reader;
SET ROLE regress_store_kv_reader;
SELECT store_get('a'), store_get('nothing');
SELECT * FROM store_get_many('{b,nothing}');
SELECT * FROM store_range_scan();
SELECT store_get('a', 0);
SELECT * FROM store_get_many('{a}', 0);
SELECT * FROM store_range_scan(min_sequence_number => 0);
SELECT store_current_sequence();
RESET ROLE;
GRANT SELECT (sequence_number) ON store_batch_log TO regress_store_kv_reader;
SET ROLE regress_store_kv_reader;
SELECT store_get('a', 2), store_current_sequence(), store_oldest_retained_batch();
SELECT * FROM store_get_many('{b}', 2);
SELECT * FROM store_range_scan("limit" => 1, min_sequence_number => 2);
SELECT store_get('a', 3);
SELECT store_get_batch(1);
SELECT store_get_batch_response(1);
SELECT store_get_batch_response(0);
SELECT store_put('x', 'x');
RESET ROLE;

-- Reading the log takes SELECT on the log.
GRANT SELECT ON store_batch_log TO regress_store_reader;
SET ROLE regress_store_reader;
SELECT store_get_batch(1), store_get_batch_response(2), store_current_sequence(), store_oldest_retained_batch();
SELECT store_get('a');
SELECT * FROM store_range_scan();
SELECT * FROM store_status;
RESET ROLE;

-- Looking in is granted besides.
GRANT SELECT ON store_status TO regress_store_reader;
SET ROLE regress_store_reader;
SELECT * FROM store_status;
RESET ROLE;
GRANT EXECUTE ON FUNCTION store_status_values TO regress_store_reader;
SET ROLE regress_store_reader;
SELECT frontier, highest_allocated, oldest_retained FROM store_status;
RESET ROLE;

DROP OWNED BY regress_store_kv_reader, regress_store_reader;
DROP ROLE regress_store_nobody, regress_store_kv_reader, regress_store_reader;
