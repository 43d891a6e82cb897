\set k random(1, 1000000000)
SELECT put_unordered(decode(md5(:k::text), 'hex'), decode(repeat(md5(:k::text), 6), 'hex'));
