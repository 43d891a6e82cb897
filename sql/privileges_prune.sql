-- privileges: who may prune by policy, and what row-level security does
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SELECT store_put_batch('{a1,a2,a3,b1,b2,b3}', '{1,2,3,4,5,6}');
CREATE ROLE regress_store_pruner;
\set keys '{"policies": [{"keys": {"selector": {"payloadRegex": "^(?P<x>.)(?P<y>.)"}, "groupBy": {"captureGroups": ["x"]}, "orderBy": {"captureGroup": "y"}}, "retain": {"keepLatest": {"count": "2"}}}]}'
\set all '{"policies": [{"keys": {"selector": {"payloadRegex": "."}}, "retain": {"dropAll": {}}}]}'
\set log '{"policies": [{"sequence": {}, "retain": {"keepLatest": {"count": "1"}}}]}'
\set VERBOSITY sqlstate

-- I: the function; a dry run takes SELECT besides
SET ROLE regress_store_pruner;
SELECT store_prune(:'keys');
SELECT store_prune(:'keys', true);
RESET ROLE;
GRANT EXECUTE ON FUNCTION store_prune TO regress_store_pruner;
SET ROLE regress_store_pruner;
SELECT store_prune(:'keys', true);
RESET ROLE;
GRANT SELECT ON store_kv TO regress_store_pruner;
SET ROLE regress_store_pruner;
SELECT store_prune(:'keys', true);

-- to delete takes what store_delete_batch() does: each of them
SELECT store_prune(:'keys');
RESET ROLE;
GRANT INSERT, UPDATE ON store_kv TO regress_store_pruner;
SET ROLE regress_store_pruner;
SELECT store_prune(:'keys');
RESET ROLE;
GRANT DELETE ON store_kv TO regress_store_pruner;
SET ROLE regress_store_pruner;
SELECT store_prune(:'keys');
RESET ROLE;
GRANT INSERT ON store_batch_log TO regress_store_pruner;
SET ROLE regress_store_pruner;
SELECT store_prune(:'keys');
RESET ROLE;
SELECT count(*), store_current_sequence() FROM store_range_scan();
GRANT USAGE ON SEQUENCE store_sequence TO regress_store_pruner;
SET ROLE regress_store_pruner;
SELECT store_prune(:'keys');
SELECT convert_from(key, 'UTF8') FROM store_range_scan();

-- the log takes what store_prune_batch_log() does
SELECT store_prune(:'log', true);
SELECT store_prune(:'log');
RESET ROLE;
GRANT SELECT (sequence_number), DELETE ON store_batch_log TO regress_store_pruner;
GRANT SELECT, INSERT, DELETE ON store_control TO regress_store_pruner;
SET ROLE regress_store_pruner;
SELECT store_prune(:'log');
SELECT store_oldest_retained_batch() = store_current_sequence() AS pruned;
RESET ROLE;

-- what a policy of the table hides is not there; what it lets nobody delete makes it fail
ALTER TABLE store_kv ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON store_kv FOR SELECT USING (key >= 'a3');
CREATE POLICY inserts ON store_kv FOR INSERT WITH CHECK (true);
CREATE POLICY updates ON store_kv FOR UPDATE USING (true);
CREATE POLICY deletes ON store_kv FOR DELETE USING (key < 'b3');
SET ROLE regress_store_pruner;
SELECT store_prune(:'all', true);
SELECT store_prune(:'all');
RESET ROLE;
DROP POLICY deletes ON store_kv;
CREATE POLICY deletes ON store_kv FOR DELETE USING (true);
SET ROLE regress_store_pruner;
SELECT store_prune(:'all');
RESET ROLE;
SELECT convert_from(key, 'UTF8') FROM store_range_scan();

-- a batch log that hides numbers is not pruned
ALTER TABLE store_batch_log ENABLE ROW LEVEL SECURITY;
SET ROLE regress_store_pruner;
SELECT store_prune(:'log');
RESET ROLE;

DROP OWNED BY regress_store_pruner;
DROP ROLE regress_store_pruner;
