-- limits of keys, values and batches, and the settings for them
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SHOW storeengine.max_value_size;
SHOW storeengine.max_batch_size;
SELECT name, boot_val, unit, vartype, context, min_val, max_val FROM pg_settings WHERE name LIKE 'storeengine.%' ORDER BY name COLLATE "C";

-- B3, I: keys of 0, 254 and 255 bytes
SELECT store_put('', 'empty');
SELECT store_put(convert_to(repeat('k', 254), 'UTF8'), 'long');
SELECT octet_length(key), encode(value, 'escape') FROM store_range_scan();
SELECT store_put(convert_to(repeat('k', 255), 'UTF8'), 'longer');
SELECT store_put_batch(ARRAY['a', convert_to(repeat('k', 254), 'UTF8'), convert_to(repeat('k', 255), 'UTF8')], '{1,2,3}');
SELECT store_put_batch(ARRAY[('a', '1'), (convert_to(repeat('k', 1000), 'UTF8'), '2')]::store_entry[]);
SELECT store_put_request('\x0a00' || '\x0a8202'::bytea || '\x0aff01'::bytea || convert_to(repeat('k', 255), 'UTF8'));
SELECT store_delete_batch(ARRAY[convert_to(repeat('k', 255), 'UTF8'), 'a']);
SELECT store_put_batch(ARRAY[convert_to(repeat('k', 100000), 'UTF8')], '{1}');

-- B3: nobody can put a longer one past the functions
\set VERBOSITY sqlstate
INSERT INTO store_kv VALUES (convert_to(repeat('k', 255), 'UTF8'), '');
INSERT INTO store_kv VALUES ('a', NULL);
\set VERBOSITY default

-- B4: values
SET storeengine.max_value_size = 10;
SELECT store_put('a', '0123456789');
SELECT store_put('a', '0123456789a');
SELECT store_put_batch('{a,b,c}', '{1,0123456789,0123456789a}');
SELECT store_put_batch(ARRAY[('a', '0123456789a')]::store_entry[]);
SELECT store_put_request('\x0a0d120b' || '0123456789a'::bytea);
SET storeengine.max_value_size = 0;
SELECT store_put('a', '');
SELECT store_put('a', '0');
RESET storeengine.max_value_size;
SELECT store_put('a', convert_to(repeat('v', 10 * 1024 * 1024), 'UTF8'));
SELECT octet_length(store_get('a')), cardinality(store_get_batch(5)), octet_length(store_get_batch_response(5));
SELECT store_put('a', convert_to(repeat('v', 10 * 1024 * 1024 + 1), 'UTF8'));
SELECT store_current_sequence();

-- B4: batches; each entry counts 16 bytes besides its key and value
SET storeengine.max_batch_size = 40;
SELECT store_put_batch('{ab,c}', '{12,345}');
SELECT store_put_batch('{ab,c}', '{12,3456}');
SELECT store_put_batch('{a,b,c}', '{1,2,3}');
SELECT store_put_batch(ARRAY[('ab', '12'), ('c', '345')]::store_entry[]);
SELECT store_put_batch(ARRAY[('ab', '12'), ('c', '3456')]::store_entry[]);
SELECT store_put_request('\x0a080a02616212023132' || '\x0a080a01631203333435'::bytea);
SELECT store_put_request('\x0a080a02616212023132' || '\x0a090a0163120433343536'::bytea);
SELECT store_delete_batch('{abcd,efgh}');
SELECT store_delete_batch('{abcd,efghi}');
SELECT store_put('abcdefghijkl', '0123456789ab');
SELECT store_put('abcdefghijkl', '0123456789abc');
SET storeengine.max_batch_size = 0;
SELECT store_put_batch('{}', '{}'), store_put_batch('{}'::store_entry[]), store_put_request(''), store_delete_batch('{}');
\set VERBOSITY sqlstate
SELECT store_put('', '');
SELECT store_put_batch('{""}', '{""}');
SELECT store_put_batch(ARRAY[('', '')]::store_entry[]);
SELECT store_put_request('\x0a00');
SELECT store_delete_batch('{""}');
RESET storeengine.max_batch_size;
SELECT store_current_sequence();

-- reading has no limits
SET storeengine.max_value_size = 0;
SET storeengine.max_batch_size = 0;
SELECT octet_length(store_get('a')), count(*) FROM store_get_many('{a,b}');
RESET ALL;

-- bounds of the settings
SET storeengine.max_value_size = -1;
SET storeengine.max_value_size = '512MB';
SET storeengine.max_value_size = 536870913;
SET storeengine.max_value_size = '1h';
SET storeengine.max_value_size = 'big';
SET storeengine.max_batch_size = -1;
SET storeengine.max_batch_size = '512MB';
SET storeengine.max_batch_size = 536870913;
SET storeengine.max_databases = 1;
SET storeengine.no_such_setting = 1;
RESET ALL;
CREATE ROLE regress_store_nobody;
SET ROLE regress_store_nobody;
SET storeengine.max_value_size = 1;
SET storeengine.max_batch_size = 1;
SET storeengine.debug_allocation_delay = 1;
RESET ROLE;
DROP ROLE regress_store_nobody;
