/*
 * compat.h
 *		Everything that differs between the PostgreSQL versions we support.
 *
 * The floor is PostgreSQL 15.  No other file tests PG_VERSION_NUM.
 */
#ifndef SE_COMPAT_H
#define SE_COMPAT_H

#include "access/genam.h"
#include "access/tableam.h"
#include "storage/proc.h"
#include "utils/relcache.h"

#if PG_VERSION_NUM < 150000
#error "storeengine needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/*
 * A number in 0 .. MaxBackends - 1 that belongs to this backend alone, and
 * the number under which others find its PGPROC.
 */
#if PG_VERSION_NUM >= 170000
#define se_my_backend_index() ((int) MyProcNumber)
#define se_my_proc_number() ((int) MyProcNumber)
#else
#include "storage/backendid.h"
#define se_my_backend_index() ((int) MyBackendId - 1)
#define se_my_proc_number() (MyProc->pgprocno)
#endif

#define se_proc_latch(procno) (&ProcGlobal->allProcs[procno].procLatch)

/*
 * PostgreSQL 18 counts what an index scan does, if told where to, and can
 * return a deferrable primary key, which is no use to us.
 */
#if PG_VERSION_NUM >= 180000
#define se_primary_key_index(table) RelationGetPrimaryKeyIndex(table, false)
#define se_index_beginscan(table, index, snapshot, nkeys) \
	index_beginscan(table, index, snapshot, NULL, nkeys, 0)
#else
#define se_primary_key_index(table) RelationGetPrimaryKeyIndex(table)
#define se_index_beginscan(table, index, snapshot, nkeys) \
	index_beginscan(table, index, snapshot, nkeys, 0)
#endif

/*
 * What an update tells of the indexes: from PostgreSQL 16 on, which of them need
 * a new entry.  A B-tree does not summarize.
 */
#if PG_VERSION_NUM >= 160000
typedef TU_UpdateIndexes SeIndexesToUpdate;
#define se_must_index(indexes) ((indexes) == TU_All)
#else
typedef bool SeIndexesToUpdate;
#define se_must_index(indexes) (indexes)
#endif

/* The right to execute a function. */
#if PG_VERSION_NUM >= 160000
#define se_proc_aclcheck(function, user) \
	object_aclcheck(ProcedureRelationId, function, user, ACL_EXECUTE)
#else
#define se_proc_aclcheck(function, user) pg_proc_aclcheck(function, user, ACL_EXECUTE)
#endif

/* Where EXPLAIN's formats are. */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

/* Before PostgreSQL 16, keys had to tell whether an outer join can make them NULL. */
#if PG_VERSION_NUM >= 160000
#define se_build_expression_pathkey(root, expr, operator, relids) \
	build_expression_pathkey(root, expr, operator, relids, false)
#else
#define se_build_expression_pathkey(root, expr, operator, relids) \
	build_expression_pathkey(root, expr, NULL, operator, relids, false)
#endif

#if PG_VERSION_NUM >= 170000
#define se_estimate_array_length(root, array) estimate_array_length(root, array)
#else
#define se_estimate_array_length(root, array) estimate_array_length(array)
#endif

/* Before PostgreSQL 18 this has another name. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* From PostgreSQL 17 on there are infinite intervals. */
#if PG_VERSION_NUM >= 170000
#define se_interval_is_finite(interval) (!INTERVAL_NOT_FINITE(interval))
#else
#define se_interval_is_finite(interval) true
#endif

#endif							/* SE_COMPAT_H */
