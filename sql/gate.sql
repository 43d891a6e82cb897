-- min_sequence_number: reads that ask for a state of the store
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

-- C7, I: nothing asked, nothing checked; 0 is always reached
SELECT store_get('a', NULL), store_get('a', 0), store_get('a');
SELECT * FROM store_get_many('{a}', 0);
SELECT * FROM store_range_scan(min_sequence_number => 0);
SELECT store_get('a', 1);
\set VERBOSITY sqlstate
SELECT * FROM store_get_many('{a}', 1);
SELECT * FROM store_range_scan(min_sequence_number => 1);

SELECT store_put('a', '1'), store_put('a', '2'), store_put('b', '3');

-- C7: below and equal pass, above does not; what is shown is the newest
SELECT store_get('a', 1), store_get('a', 2), store_get('a', 3);
\set VERBOSITY default
SELECT store_get('a', 4);
\set VERBOSITY sqlstate
SELECT * FROM store_get_many('{b,a}', 1);
SELECT * FROM store_get_many('{b,a}', 3);
SELECT * FROM store_get_many('{b,a}', 4);
SELECT * FROM store_range_scan('a', 'b', NULL, true, 1);
SELECT * FROM store_range_scan('a', 'b', NULL, false, 3);
SELECT * FROM store_range_scan('a', 'b', NULL, true, 4);
SELECT * FROM store_range_scan('a', 'b', NULL, false, 4);

-- C7: also where there is nothing to be found
SELECT store_get('nothing', 4);
SELECT store_get(NULL, 4);
SELECT * FROM store_get_many('{}', 4);
SELECT * FROM store_range_scan('a', 'b', 0, true, 4);
SELECT * FROM store_range_scan('b', 'a', 0, false, 4);
SELECT * FROM store_range_scan('b', 'a', NULL, true, 4);
SELECT * FROM store_range_scan('x', 'y', 1, true, 4);
SELECT count(*) FROM store_range_scan('a', 'b', 0, true, 3);
SELECT count(*) FROM store_range_scan('x', 'y', 1, true, 3);
SET constraint_exclusion = on;
SELECT * FROM store_range_scan('b', 'a', NULL, true, 4);
SELECT * FROM store_range_scan('b', 'a', NULL, true, -1);
RESET constraint_exclusion;

-- C7: the same with a generic plan
SET plan_cache_mode = force_generic_plan;
PREPARE scan (bytea, bytea, bigint, boolean, bigint) AS SELECT count(*) FROM store_range_scan($1, $2, $3, $4, $5);
PREPARE many (bytea[], bigint) AS SELECT count(*) FROM store_get_many($1, $2);
EXECUTE scan ('', '', NULL, true, 3);
EXECUTE scan ('', '', NULL, true, 4);
EXECUTE scan ('', '', NULL, false, 4);
EXECUTE scan ('b', 'a', 0, false, 4);
EXECUTE scan ('', '', NULL, true, NULL);
EXECUTE many ('{a}', 3);
EXECUTE many ('{a}', 4);
EXECUTE many ('{}', 4);
EXECUTE many ('{}', NULL);

-- A11: after everything, and negative numbers
SELECT store_get('a', 9223372036854775807);
SELECT store_get('a', -1);
SELECT * FROM store_get_many('{a}', -1);
SELECT * FROM store_range_scan(min_sequence_number => -1);
EXECUTE scan ('', '', NULL, true, -9223372036854775808);
\set VERBOSITY default
SELECT store_get('a', -1);
\set VERBOSITY sqlstate

-- C7: what is wrong with the arguments comes first
SELECT * FROM store_get_many(NULL, 4);
SELECT * FROM store_get_many('{NULL}', 4);
SELECT * FROM store_get_many('{{a}}', 4);
SELECT * FROM store_range_scan(NULL, '', NULL, true, 4);
SELECT * FROM store_range_scan('', NULL, NULL, true, 4);
SELECT * FROM store_range_scan('', '', -1, true, 4);
SELECT * FROM store_range_scan('', '', NULL, NULL, 4);
EXECUTE scan (NULL, '', NULL, true, 4);
EXECUTE scan ('', '', -1, true, 4);
EXECUTE many (NULL, 4);

-- A6: a transaction has reached its own writes, until it rolls them back
BEGIN;
SELECT store_put('c', '4');
SELECT store_get('c', 4);
SAVEPOINT s;
SELECT store_get('c', 5);
ROLLBACK TO s;
SAVEPOINT s;
SELECT store_put('c', '5');
SELECT store_get('c', 5);
ROLLBACK TO s;
SELECT store_get('c', 4);
SELECT store_get('c', 5);
ROLLBACK;
SELECT store_get('c', 4);

-- A5: pruning lowers nothing
SELECT store_prune_batch_log(100);
SELECT store_get('a', 3);
SELECT store_get('a', 4);
