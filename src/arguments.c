/*
 * arguments.c
 *		What SQL functions have in common: checks of arguments and of the state
 *		of things.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "arguments.h"
#include "frontier.h"
#include "registry.h"
#include "store.h"

/* An error a client may want to tell apart. */
#define ERRCODE_CONSISTENCY_NOT_READY MAKE_SQLSTATE('S', 'E', '0', '0', '3')

/*
 * Raise 22004 if an argument is NULL.
 */
void
se_check_not_null(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be NULL", name)));
}

/* Refuse a negative number. */
static void
check_not_negative(int64 number, const char *name)
{
	if (number < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative", name),
				 errdetail("It is %lld.", (long long) number)));
}

/*
 * Read an argument that is a number.  Raises 22004 if it is NULL, 22023 if it
 * is negative.
 */
int64
se_number_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	se_check_not_null(fcinfo, argument, name);
	check_not_negative(PG_GETARG_INT64(argument), name);
	return PG_GETARG_INT64(argument);
}

/*
 * Raise 25006 in a read-only transaction and on a standby, naming the function.
 */
void
se_check_may_change(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandIfParallelMode(function);
	PreventCommandDuringRecovery(function);
}

/*
 * As se_check_may_change(), and raise 55000 unless the library is preloaded.
 */
void
se_check_may_write(const char *function)
{
	se_registry_check_available();
	se_check_may_change(function);
}

/*
 * Raise 42501 unless the caller may read the log's numbers.
 */
void
se_check_may_read_numbers(const SeStore *store)
{
	Oid			user = GetUserId();
	AttrNumber	column;

	if (pg_class_aclcheck(store->log, user, ACL_SELECT) == ACLCHECK_OK)
		return;
	column = get_attnum(store->log, "sequence_number");
	if (pg_attribute_aclcheck(store->log, column, user, ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(store->log));
}

/*
 * Find the frontier of the caller's snapshot, if the caller may know it.
 */
void
se_read_frontier(SeFrontier *found)
{
	SeStore    *store = se_store_lock(AccessShareLock);

	se_check_may_read_numbers(store);
	se_frontier_read(store, GetActiveSnapshot(), found);
}

/*
 * Find the frontier's number alone, likewise.
 */
int64
se_read_current(void)
{
	SeStore    *store = se_store_lock(AccessShareLock);

	se_check_may_read_numbers(store);
	return se_frontier_current(store, GetActiveSnapshot());
}

/*
 * Raise SE003 for a number above the current one.
 */
void
se_report_not_ready(int64 required, int64 current)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONSISTENCY_NOT_READY),
			 errmsg("the store has not reached the required sequence number"),
			 errdetail("Sequence number %lld is required, but the current one is %lld.",
					   (long long) required, (long long) current),
			 errhint("Use CALL store_wait_for_sequence(%lld), then retry in a new statement.",
					 (long long) required)));
}

/*
 * Let a read pass if the caller's snapshot shows a sequence number, which may be
 * NULL: a floor under what the read will see.  It never waits, as the snapshot is
 * fixed.  Raises SE003.
 */
void
se_check_min_sequence_number(FunctionCallInfo fcinfo, int argument)
{
	int64		required;
	int64		current;

	if (PG_ARGISNULL(argument))
		return;
	required = se_number_argument(fcinfo, argument, "min_sequence_number");
	current = se_read_current();
	if (current < required)
		se_report_not_ready(required, current);
}
