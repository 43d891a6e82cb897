-- store_put_request(): writing a protobuf message
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

-- message PutRequest { repeated Entry kvs = 1; }  message Entry { bytes key = 1; bytes value = 2; }

-- A1, B2: entries in the given order, with multiplicity
SELECT store_put_request('\x0a060a016112013a0a060a0162120131');
SELECT * FROM unnest(store_get_batch(1));
SELECT store_put_request('\x0a060a01611201310a060a01621201320a060a0161120133');
SELECT * FROM unnest(store_get_batch(2));
SELECT * FROM store_range_scan();

-- B5: the empty message is an empty batch
SELECT store_put_request('');
SELECT store_get_batch(3);

-- missing fields are empty, of a repeated field the last one counts
SELECT store_put_request('\x0a00');
SELECT * FROM unnest(store_get_batch(4));
SELECT store_put_request('\x0a030a0161');
SELECT * FROM unnest(store_get_batch(5));
SELECT store_put_request('\x0a03120161');
SELECT * FROM unnest(store_get_batch(6));
SELECT store_put_request('\x0a0c0a0161120131120132' || '\x0a0162'::bytea);
SELECT * FROM unnest(store_get_batch(7));
SELECT store_put_request('\x0a04' || '\x0a001200'::bytea);
SELECT * FROM unnest(store_get_batch(8));

-- fields in another order, and lengths in more bytes than they need
SELECT store_put_request('\x0a061201310a0161');
SELECT * FROM unnest(store_get_batch(9));
SELECT store_put_request('\x8a00' || '\x8800'::bytea || '\x0a81800061'::bytea || '\x120131'::bytea);
SELECT * FROM unnest(store_get_batch(10));

-- unknown fields are skipped: varint, 64 bits, bytes, group, 32 bits; around entries
SELECT store_put_request('\x18ffffffffffffffffff01' || '\x190102030405060708'::bytea || '\x1a020a00'::bytea
	|| '\x1b08011b1c1c'::bytea || '\x1d01020304'::bytea || '\x0a060a0161120131'::bytea
	|| '\xf8ffffff0f00'::bytea || '\x1a00'::bytea);
SELECT * FROM unnest(store_get_batch(11));
-- ... and in entries; a group may hold what would be a key elsewhere
SELECT store_put_request('\x0a33' || '\x18ffffffffffffffffff01'::bytea || '\x190102030405060708'::bytea
	|| '\x1a020a00'::bytea || '\x0a0161'::bytea || '\x1b0a01781d010203041a00191122334455667788'::bytea
	|| '\x1c'::bytea || '\x120131'::bytea);
SELECT * FROM unnest(store_get_batch(12));
SELECT store_put_request(decode(repeat('1b', 64) || repeat('1c', 64), 'hex'));
SELECT store_get_batch(13);

-- a message longer than a page, of entries longer than 127 bytes
SELECT store_put_request(string_agg('\x0ad101'::bytea || '\x0a04'::bytea || int4send(i) || '\x12c801'::bytea
	|| convert_to(repeat('v', 200), 'UTF8'), '' ORDER BY i)) FROM generate_series(1, 1000) AS i;
SELECT count(*), bool_and(key = int4send(place::int)), bool_and(value = convert_to(repeat('v', 200), 'UTF8'))
FROM unnest(store_get_batch(14)) WITH ORDINALITY AS batch (key, value, place);

--
-- Errors.  None of them takes a number.
--

-- I: malformed messages
SELECT store_put_request('\x0a030a0161' || '\x0a'::bytea);          -- no length
SELECT store_put_request('\x80');                                  -- no end of a tag
SELECT store_put_request('\x0affffffffffffffffff7f');              -- length of 70 bits
SELECT store_put_request('\x0a808080808080808080808000');          -- length of 12 bytes
SELECT store_put_request('\x8a8080808001');                        -- tag of more than 32 bits
SELECT store_put_request('\x0000');                                -- field number zero
SELECT store_put_request('\x0a020200');                            -- ... in an entry
SELECT store_put_request('\x1e');                                  -- wire type 6
SELECT store_put_request('\x1f');                                  -- wire type 7
SELECT store_put_request('\x0a020a');                              -- entry cut off
SELECT store_put_request('\x0a020a0161');                          -- key longer than its entry
SELECT store_put_request('\x0affffffffffffffffff01');              -- length of 2^64-1
SELECT store_put_request('\x1901020304050607');                    -- 64 bits cut off
SELECT store_put_request('\x1d010203');                            -- 32 bits cut off
SELECT store_put_request('\x1a0201');                              -- unknown bytes cut off
SELECT store_put_request('\x1c');                                  -- end of no group
SELECT store_put_request('\x1b24');                                -- end of another group
SELECT store_put_request('\x1b1b1c');                              -- group cut off
SELECT store_put_request(decode(repeat('1b', 65) || repeat('1c', 65), 'hex'));
SELECT store_put_request('\x0801');                                -- entry as a number
SELECT store_put_request('\x0b0c');                                -- entry as a group
SELECT store_put_request('\x0a020801');                            -- key as a number
SELECT store_put_request('\x0a051501020304');                      -- value as 32 bits
\set VERBOSITY sqlstate
SELECT store_put_request('\x80');
SELECT store_put_request(NULL);
SELECT store_put_request('\x0a8202' || '\x0aff01'::bytea || convert_to(repeat('k', 255), 'UTF8'));

-- B1: an entry that is malformed spoils the entries before it
SELECT store_put_request('\x0a060a01781201310a01');
SELECT store_get('\x78') IS NULL, store_current_sequence();
SELECT store_put_request('');
