-- row-level security on the store's tables
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SELECT store_put_batch('{a1,a2,b1,b2}', '{1,2,3,4}');
CREATE ROLE regress_store_user;
GRANT ALL ON store_kv, store_batch_log, store_control TO regress_store_user;
GRANT USAGE ON SEQUENCE store_sequence TO regress_store_user;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO regress_store_user;

-- Without a policy nothing is visible, and nothing can be written.
\set SHOW_CONTEXT never
ALTER TABLE store_kv ENABLE ROW LEVEL SECURITY;
SET ROLE regress_store_user;
SELECT store_get('a1');
SELECT * FROM store_get_many('{b1,a1}');
SELECT * FROM store_range_scan();
SELECT store_put('a1', 'new');
\set VERBOSITY sqlstate
SELECT store_put('c', 'new');
SELECT store_delete_batch('{a1}');
SELECT store_delete_batch('{c}');
RESET ROLE;
SELECT store_current_sequence(), count(*) FROM store_kv;

-- With a policy, what it shows, forward and back, with and without an index.
CREATE POLICY own_keys ON store_kv USING (substr(key, 1, 1) = 'a');
SET ROLE regress_store_user;
SELECT store_get('a1'), store_get('b1');
SELECT * FROM store_get_many('{b1,a1}');
SELECT * FROM store_range_scan();
SELECT * FROM store_range_scan('a2', 'b2', NULL, false);
SET enable_seqscan = off;
SELECT * FROM store_range_scan("limit" => 1, forward => false);
RESET enable_seqscan;
SELECT store_put('a3', '5');
SELECT store_delete_batch('{a2,a3,a4}');
SELECT store_put('b1', 'new');
SELECT store_put_batch('{a4,b1}', '{6,7}');
SELECT store_delete_batch('{b1}');
SELECT store_delete_batch('{a1,b3}');
SET row_security = off;
SELECT store_get('a1');
SELECT store_put('a1', 'new');
SELECT * FROM store_range_scan();
RESET row_security;
RESET ROLE;
SELECT * FROM store_range_scan();

-- A9: a policy for DELETE that hides rows must not make the log say what did not happen.
SELECT store_current_sequence() AS before \gset
DROP POLICY own_keys ON store_kv;
CREATE POLICY see ON store_kv FOR SELECT USING (true);
CREATE POLICY put ON store_kv FOR INSERT WITH CHECK (true);
CREATE POLICY overwrite ON store_kv FOR UPDATE USING (true);
CREATE POLICY remove ON store_kv FOR DELETE USING (substr(key, 1, 1) = 'a');
SET ROLE regress_store_user;
SELECT store_delete_batch('{b1}');
SELECT store_delete_batch('{a1,nothing}');
RESET ROLE;
SELECT * FROM store_range_scan();
SELECT store_current_sequence() = :before;
SET ROLE regress_store_user;
SELECT store_delete_batch('{a1,a9}') > :before;
RESET ROLE;
SELECT * FROM store_range_scan();
ALTER TABLE store_kv DISABLE ROW LEVEL SECURITY;

-- On the log: hidden batches are missing, not evicted; numbers are no secret to who may read them.
ALTER TABLE store_batch_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY first ON store_batch_log FOR SELECT USING (sequence_number = 1);
SELECT store_current_sequence() AS before \gset
SET ROLE regress_store_user;
SELECT store_current_sequence() = :before, store_oldest_retained_batch();
SELECT store_get_batch(1), store_get_batch(2) IS NULL AS missing;
SELECT store_get_batch_response(1);
\set VERBOSITY default
SELECT store_get_batch_response(2);

-- D3: who does not see all batches cannot prune them.
SELECT store_prune_batch_log(3);
\set VERBOSITY sqlstate
SET row_security = off;
SELECT store_prune_batch_log(3);
RESET row_security;
SELECT store_prune_batch_log(0);
SELECT store_put('a1', 'new');
SELECT store_delete_batch('{}');
RESET ROLE;
SELECT store_oldest_retained_batch();

-- The owner, superusers and those with BYPASSRLS do.  (In a new session: not all
-- minor versions of PostgreSQL plan again for it.)
ALTER ROLE regress_store_user BYPASSRLS;
\c -
SET ROLE regress_store_user;
SELECT store_prune_batch_log(3);
SELECT store_get_batch(3);
RESET ROLE;
SELECT store_prune_batch_log(4), store_oldest_retained_batch();
ALTER TABLE store_batch_log DISABLE ROW LEVEL SECURITY;

DROP OWNED BY regress_store_user;
DROP ROLE regress_store_user;
