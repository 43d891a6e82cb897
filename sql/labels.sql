-- labels: what the install script says of its objects
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS storeengine CASCADE;
CREATE EXTENSION storeengine;
RESET client_min_messages;

SELECT p.oid::regprocedure AS function, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof,
	   p.proconfig IS NOT NULL AS settings, p.prosqlbody IS NOT NULL AS parsed,
	   has_function_privilege('public', p.oid, 'EXECUTE') AS public
FROM pg_extension AS e
JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
WHERE e.extname = 'storeengine'
ORDER BY p.oid::regprocedure::text COLLATE "C";

SELECT p.proname AS function, p.prorows, p.proargnames, p.pronargdefaults
FROM pg_extension AS e
JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
WHERE e.extname = 'storeengine' AND (p.proretset OR p.pronargdefaults > 0)
ORDER BY 1;

-- relations: their kinds, and whether PUBLIC may do anything with them
SELECT c.oid::regclass AS relation, c.relkind, c.relpersistence, c.relacl IS NULL AS default_acl
FROM pg_extension AS e
JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
WHERE e.extname = 'storeengine'
ORDER BY c.relname COLLATE "C";

-- every object has a comment
SELECT pg_describe_object(d.classid, d.objid, d.objsubid) AS without_comment
FROM pg_extension AS e
JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
WHERE e.extname = 'storeengine'
  AND CASE d.classid
	  WHEN 'pg_type'::regclass THEN obj_description(d.objid, 'pg_type') IS NULL
		   AND EXISTS (SELECT FROM pg_type AS t LEFT JOIN pg_class AS c ON c.oid = t.typrelid
					   WHERE t.oid = d.objid AND t.typelem = 0 AND (t.typrelid = 0 OR c.relkind = 'c'))
	  ELSE obj_description(d.objid, (SELECT relname FROM pg_class WHERE oid = d.classid)) IS NULL
	  END
ORDER BY 1;
SELECT obj_description(oid, 'pg_extension') IS NOT NULL AS commented, extrelocatable FROM pg_extension WHERE extname = 'storeengine';

-- what pg_dump takes along
SELECT config.relation::regclass, config.condition
FROM pg_extension, unnest(extconfig, extcondition) AS config (relation, condition)
WHERE extname = 'storeengine'
ORDER BY config.relation::regclass::text COLLATE "C";

-- the columns of what users see
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.oid IN ('store_kv'::regclass, 'store_batch_log'::regclass, 'store_control'::regclass, 'store_histories'::regclass, 'store_status'::regclass, 'store_entry'::regclass,
				'store_selector'::regclass, 'store_filter'::regclass)
  AND a.attnum > 0
ORDER BY c.relname COLLATE "C", a.attnum;
