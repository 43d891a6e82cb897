-- privileges: who may write, delete and prune
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SELECT store_put_batch('{a,b,c}', '{1,2,3}');
SELECT store_delete_batch('{c}');
CREATE ROLE regress_store_writer;
CREATE ROLE regress_store_deleter;
CREATE ROLE regress_store_pruner;
\set VERBOSITY sqlstate

-- I: writing takes the function, the table, INSERT on the log, and the sequence: each of them.
GRANT EXECUTE ON FUNCTION store_put, store_put_batch(bytea[], bytea[]), store_put_batch(store_entry[]), store_put_request TO regress_store_writer;
SET ROLE regress_store_writer;
SELECT store_put('w', '1');
SELECT store_put_batch('{}', '{}');
RESET ROLE;
GRANT INSERT, SELECT, UPDATE ON store_kv TO regress_store_writer;
SET ROLE regress_store_writer;
SELECT store_put('w', '1');
RESET ROLE;
GRANT INSERT ON store_batch_log TO regress_store_writer;
SET ROLE regress_store_writer;
SELECT store_put('w', '1');
RESET ROLE;
GRANT USAGE ON SEQUENCE store_sequence TO regress_store_writer;
SET ROLE regress_store_writer;
SELECT store_put('w', '1'), store_put_batch('{w}', '{2}'), store_put_batch(ARRAY[('v', '3')]::store_entry[]), store_put_request('');
SELECT * FROM store_range_scan('v');
SELECT store_current_sequence();
SELECT store_get_batch(3);
SELECT store_delete_batch('{w}');
SELECT store_prune_batch_log(1);
UPDATE store_batch_log SET payload = '';
DELETE FROM store_kv;
RESET ROLE;

-- Deleting takes DELETE, and what a writer has, for it locks absent keys by inserting them.
GRANT regress_store_writer TO regress_store_deleter;
GRANT EXECUTE ON FUNCTION store_delete_batch TO regress_store_deleter;
SET ROLE regress_store_deleter;
SELECT store_delete_batch('{w}');
RESET ROLE;
GRANT DELETE ON store_kv TO regress_store_deleter;
SET ROLE regress_store_deleter;
SELECT store_delete_batch('{w,nothing}');
SELECT count(*) FROM store_range_scan('v');
RESET ROLE;
SELECT store_current_sequence();

-- Pruning the log takes the function, DELETE on the log with its numbers, and the control table.
GRANT DELETE, SELECT (sequence_number) ON store_batch_log TO regress_store_pruner;
GRANT SELECT, INSERT, DELETE ON store_control TO regress_store_pruner;
SET ROLE regress_store_pruner;
SELECT store_prune_batch_log(3);
RESET ROLE;
GRANT EXECUTE ON FUNCTION store_prune_batch_log TO regress_store_pruner;
SET ROLE regress_store_pruner;
SELECT store_prune_batch_log(3);
SELECT store_oldest_retained_batch(), store_get_batch_response(1);
SELECT store_oldest_retained_batch();
SELECT store_get_batch(3);
SELECT store_get('a');
RESET ROLE;
REVOKE DELETE ON store_batch_log FROM regress_store_pruner;
SET ROLE regress_store_pruner;
SELECT store_prune_batch_log(4);
RESET ROLE;
GRANT DELETE ON store_batch_log TO regress_store_pruner;
REVOKE INSERT ON store_control FROM regress_store_pruner;
SET ROLE regress_store_pruner;
SELECT store_prune_batch_log(4);
RESET ROLE;
SELECT store_oldest_retained_batch(), store_current_sequence();

DROP OWNED BY regress_store_writer, regress_store_deleter, regress_store_pruner;
DROP ROLE regress_store_writer, regress_store_deleter, regress_store_pruner;
