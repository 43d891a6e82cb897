-- store_range_scan(): reading a range of keys
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SELECT * FROM store_range_scan();
SELECT store_put_batch('{"\\x61","\\xff","","\\x6100","\\x0000","\\x80","\\x60ff","\\x00","\\x7f"}', '{1,2,3,4,5,6,7,8,9}');

-- C2: unsigned bytes, the shorter prefix first; C5: nothing else is there
SELECT key FROM store_range_scan();
-- C4: descending
SELECT key FROM store_range_scan(forward => false);

-- C3: both ends are inclusive, an empty end is no bound, an empty start neither
SELECT key FROM store_range_scan('\x61', '\x7f');
SELECT key FROM store_range_scan('\x6000', '\x7eff');
SELECT key FROM store_range_scan('\x7f', '');
SELECT key FROM store_range_scan('', '\x00');
SELECT key FROM store_range_scan('\x61', '\x61');
SELECT key FROM store_range_scan('\x62', '\x62');
SELECT key FROM store_range_scan('\xff', '\xff');
SELECT key FROM store_range_scan('\xff00');
SELECT key FROM store_range_scan('\x7f', '\x61');
SELECT key FROM store_range_scan('\x7f', '\x61', forward => false);

-- C3: limits
SELECT key FROM store_range_scan("limit" => 2);
SELECT key FROM store_range_scan('\x61', '\xff', 3);
SELECT key FROM store_range_scan('\x61', '\xff', 0);
SELECT key FROM store_range_scan('\x61', '\xff', 0, false);
SELECT count(*) FROM store_range_scan("limit" => NULL);
SELECT count(*) FROM store_range_scan("limit" => 100);
SELECT count(*) FROM store_range_scan("limit" => 9223372036854775807);

-- C4: reverse, the limit takes the highest keys of the range
SELECT key, value FROM store_range_scan('\x00', '\x80', 3, false);
SELECT key FROM store_range_scan('\x61', '', 2, false);
SELECT key FROM store_range_scan('', '\x60ff', 2, false);
SELECT key FROM store_range_scan('\x61', '\x7f', NULL, false);

-- B3: bounds longer than any key; the highest key that can be
SELECT store_put(decode(repeat('ff', 254), 'hex'), 'highest');
SELECT octet_length(key) FROM store_range_scan('\xff');
SELECT octet_length(key) FROM store_range_scan('\xff', decode(repeat('ff', 300), 'hex'));
SELECT octet_length(key) FROM store_range_scan('\xff', decode(repeat('ff', 253), 'hex'));
SELECT octet_length(key) FROM store_range_scan(decode(repeat('ff', 255), 'hex'));
SELECT octet_length(key) FROM store_range_scan("limit" => 1, forward => false);

--
-- Errors.
--
SELECT * FROM store_range_scan(NULL);
SELECT * FROM store_range_scan('', NULL);
SELECT * FROM store_range_scan(forward => NULL);
SELECT * FROM store_range_scan("limit" => -1);
\set VERBOSITY sqlstate
SELECT * FROM store_range_scan(NULL, '', 0, false);
SELECT count(*) FROM store_range_scan('', NULL, NULL, false);
SELECT 1 FROM store_range_scan('\x62', '\x61', -1, false);
SELECT * FROM store_range_scan("limit" => -9223372036854775808);
SELECT store_range_scan("limit" => -1);
