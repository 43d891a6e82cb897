\set k random(1, 1000000000)
SELECT store_put(decode(md5(:k::text), 'hex'), decode(repeat(md5(:k::text), 6), 'hex'));
