/*
 * status.c
 *		What the store is doing, for store_status.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "frontier.h"
#include "registry.h"
#include "store.h"

PG_FUNCTION_INFO_V1(store_status_values);

/* The columns of store_status_values(). */
enum
{
	STATUS_FRONTIER,
	STATUS_OLDEST,
	STATUS_IN_FLIGHT,
	STATUS_HOLDER_PID,
	STATUS_HOLDER_NUMBER,
	STATUS_HOLDER_SINCE,
	STATUS_WORKER_STATE,
	STATUS_WORKER_PID,
	STATUS_COLUMNS
};

/* Say in a word how it is with the worker. */
static const char *
worker_state(int worker_pid)
{
	if (RecoveryInProgress())
		return "standby";
	if (!se_registry_available())
		return "not loaded";
	if (worker_pid != 0)
		return "running";
	if (se_registry_launcher_pid() == 0)
		return "stopped";
	return se_registry_starved() ? "starved" : "idle";
}

/* Fill in what only the registry knows. */
static void
registry_values(const SeStore *store, Datum *values, bool *nulls)
{
	SeShared   *shared = se_registry_find(store->log);
	SeHolder	holder = {0};
	int			worker_pid = 0;

	if (shared != NULL)
	{
		se_registry_lowest(shared, &holder);
		worker_pid = se_registry_worker_pid(shared);
	}

	values[STATUS_IN_FLIGHT] = Int32GetDatum(holder.in_flight);
	values[STATUS_HOLDER_PID] = Int32GetDatum(holder.pid);
	values[STATUS_HOLDER_NUMBER] = Int64GetDatum((int64) holder.bound);
	values[STATUS_HOLDER_SINCE] = TimestampTzGetDatum(holder.since);
	nulls[STATUS_HOLDER_PID] = nulls[STATUS_HOLDER_NUMBER] =
		nulls[STATUS_HOLDER_SINCE] = holder.in_flight == 0;
	values[STATUS_WORKER_STATE] = CStringGetTextDatum(worker_state(worker_pid));
	values[STATUS_WORKER_PID] = Int32GetDatum(worker_pid);
	nulls[STATUS_WORKER_PID] = worker_pid == 0;
}

/*
 * Lock the store without waiting: whoever looks at the view has locked that,
 * and DROP EXTENSION takes the tables first.
 */
static SeStore *
lock_at_once(void)
{
	bool		missing;
	SeStore    *store = se_store_try_lock(AccessShareLock, &missing);

	if (missing)
		store = se_store_find();	/* raises */
	if (store == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("the store is locked"),
				 errdetail("Another session has locked one of its tables exclusively, or is dropping the extension."),
				 errhint("Try again when it is done.")));
	return store;
}

/*
 * store_status_values() returns record: the columns above.
 */
Datum
store_status_values(PG_FUNCTION_ARGS)
{
	SeStore    *store = lock_at_once();
	Datum		values[STATUS_COLUMNS];
	bool		nulls[STATUS_COLUMNS] = {false};
	SeFrontier	found;
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);

	se_frontier_read(store, GetActiveSnapshot(), &found);
	values[STATUS_FRONTIER] = Int64GetDatum(found.frontier);
	values[STATUS_OLDEST] = Int64GetDatum(found.floor + 1);
	nulls[STATUS_OLDEST] = found.frontier <= found.floor;
	registry_values(store, values, nulls);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
