-- regular expressions: names that are long or foreign, comments, hexadecimal
-- digits of either kind
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

CREATE FUNCTION store_probe_regex(pattern text, subject bytea) RETURNS text
	AS '$libdir/storeengine' LANGUAGE C STRICT;
CREATE FUNCTION store_probe_group(pattern text, name text) RETURNS integer
	AS '$libdir/storeengine' LANGUAGE C STRICT;

-- E5: names of Unicode properties
SELECT store_probe_regex('^\p{Lowercase_Letter}\p{lower}\p{Upper}\p{wspace}\p{space}$', convert_to('aaA  ', 'UTF8'));
SELECT store_probe_regex('^\p{gc=Ll}\p{General_Category:Lu}$', 'aA');
SELECT store_probe_regex('\p{a name that is longer than that of any property there is}', '');
SELECT store_probe_regex('\p{Gréek}', '');
SELECT store_probe_regex('\p{gc=Nonsense}', '');
SELECT store_probe_regex('\p{a=b}', '');
SELECT store_probe_regex('\b{start-and-more-of-it}', '');
SELECT store_probe_regex('\b{starts}', '');
SELECT store_probe_regex('\b{start', '');

-- E5: names of groups
SELECT store_probe_group('(?P<a>a)(?P<é²_.[0]>b)', 'é²_.[0]');
SELECT store_probe_regex('(?P<²>a)', '');
SELECT store_probe_regex('(?P<a-b>a)', '');
SELECT store_probe_regex('(?P<a€>a)', '');
SELECT store_probe_regex('(?P<a', '');

-- E5: comments, also within classes
SELECT store_probe_regex(E'(?x) a # one\n b # two', 'ab'), store_probe_regex(E'(?x)[a # one\n & # two\n b]+', 'a&b');
SELECT store_probe_regex(E'(?x)[a - # one\n c]+', 'abc'), store_probe_regex(E'(?x)[a - \n ]+', 'a-');
-- a comment between - and ] makes it a range, as in Rust
SELECT store_probe_regex(E'(?x)[a - # one\n ]+', 'a-');

-- E5: characters by their numbers
SELECT store_probe_regex('\x6a\x6A\x{6a}\u006A\U0000006a', 'jjjjj');
SELECT store_probe_regex('\x6g', '');
SELECT store_probe_regex('\x{110000}', '');
SELECT store_probe_regex('\x{ffffffffffffffffffff}', '');
SELECT store_probe_regex('\x{d800}', '');
SELECT store_probe_regex('\x{}', '');
SELECT store_probe_regex('a{2,70000}', '');
SELECT store_probe_regex('a{70000}', '');
SELECT store_probe_regex('a{99999999999999999999}', '');

DROP FUNCTION store_probe_regex, store_probe_group;
