/*
 * status.c
 *		What the store is doing, for store_status.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "batch_log.h"
#include "control.h"
#include "frontier.h"
#include "registry.h"
#include "retention.h"
#include "sequencer.h"
#include "store.h"

PG_FUNCTION_INFO_V1(store_status_values);

/* How many batches to look at to see whether retention lags. */
#define LAG_LIMIT 10000

/* The columns of store_status_values(). */
enum
{
	STATUS_FRONTIER,
	STATUS_HIGHEST_ALLOCATED,
	STATUS_OLDEST,
	STATUS_IN_FLIGHT,
	STATUS_HOLDER_PID,
	STATUS_HOLDER_NUMBER,
	STATUS_HOLDER_SINCE,
	STATUS_HOLES,
	STATUS_OLDEST_WRITTEN_AT,
	STATUS_LOG_BYTES,
	STATUS_TABLE_BYTES,
	STATUS_RETENTION,
	STATUS_RETENTION_LAG,
	STATUS_LAST_PRUNE_AT,
	STATUS_WAITERS,
	STATUS_ANNOUNCED,
	STATUS_WORKER_STATE,
	STATUS_WORKER_PID,
	STATUS_LAST_ERROR,
	STATUS_LAST_ERROR_AT,
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

/* Set a column to a number, or to NULL if there is none. */
static void
set_number(Datum *values, bool *nulls, int column, bool exists, int64 number)
{
	values[column] = Int64GetDatum(number);
	nulls[column] = !exists;
}

/* Fill in who is writing and who is waiting, and return the writers. */
static SeHolder
session_values(SeShared *shared, Datum *values, bool *nulls)
{
	SeHolder	holder = {0};
	int			waiters = 0;
	int64		announced = 0;

	if (shared != NULL)
	{
		se_registry_lowest(shared, &holder);
		(void) se_registry_lowest_awaited(shared, 0, &waiters);
		announced = (int64) pg_atomic_read_u64(&shared->announced);
	}
	values[STATUS_IN_FLIGHT] = Int32GetDatum(holder.in_flight);
	values[STATUS_HOLDER_PID] = Int32GetDatum(holder.pid);
	nulls[STATUS_HOLDER_PID] = holder.in_flight == 0;
	set_number(values, nulls, STATUS_HOLDER_NUMBER, holder.in_flight > 0, holder.bound);
	set_number(values, nulls, STATUS_HOLDER_SINCE, holder.in_flight > 0, holder.since);
	values[STATUS_WAITERS] = Int32GetDatum(waiters);
	set_number(values, nulls, STATUS_ANNOUNCED, announced > 0, announced);
	return holder;
}

/* Fill in how it is with the worker. */
static void
worker_values(SeShared *shared, Datum *values, bool *nulls)
{
	int			pid = shared == NULL ? 0 : se_registry_worker_pid(shared);
	char		error[SE_ERROR_LEN] = "";
	TimestampTz error_at = shared == NULL ? 0 : se_registry_last_error(shared, error);

	values[STATUS_WORKER_STATE] = CStringGetTextDatum(worker_state(pid));
	values[STATUS_WORKER_PID] = Int32GetDatum(pid);
	nulls[STATUS_WORKER_PID] = pid == 0;
	values[STATUS_LAST_ERROR] = CStringGetTextDatum(error);
	nulls[STATUS_LAST_ERROR] = error_at == 0;
	set_number(values, nulls, STATUS_LAST_ERROR_AT, error_at != 0, error_at);
}

/*
 * Count the holes: numbers below a visible one and below all that are in
 * flight, which have no row by now.
 */
static int64
count_holes(const SeStore *store, const SeFrontier *found, const SeHolder *holder)
{
	int64		decided = se_frontier_highest(store, GetActiveSnapshot());
	int64		holes;

	if (holder->bound != 0)
		decided = Min(decided, (int64) holder->bound);
	if (decided - 1 <= found->frontier)
		return 0;
	PushActiveSnapshot(GetLatestSnapshot());
	holes = se_frontier_count_holes(store, GetActiveSnapshot(), found->frontier, decided);
	PopActiveSnapshot();
	return holes;
}

/* Tell the size of a table with its indexes and its TOAST table. */
static Datum
table_size(Oid table)
{
	return DirectFunctionCall1(pg_total_relation_size, ObjectIdGetDatum(table));
}

/*
 * Fill in the retention rule and how many batches in the log it does not keep,
 * as far as LAG_LIMIT.
 */
static void
retention_values(const SeStore *store, const SeFrontier *found, Datum *values, bool *nulls)
{
	Jsonb	   *json = se_retention_read_as_owner(store);
	SeSavedUser saved;
	SeRetentionRule rule;
	SeRetentionState state = {0};

	if (json != NULL)
	{
		se_policy_parse_retention(json, &rule);
		se_store_become_owner(store->log_owner, &saved);
		se_retention_evaluate(store, &rule, found, LAG_LIMIT, &state);
		se_store_become_self(&saved);
	}
	values[STATUS_RETENTION] = JsonbPGetDatum(json);
	nulls[STATUS_RETENTION] = json == NULL;
	set_number(values, nulls, STATUS_RETENTION_LAG, json != NULL,
			   Max(state.cutoff - found->floor - 1, 0));
}

/*
 * Fill in what the tables tell.  Whoever may see the status need not be able
 * to read them.
 */
static void
table_values(const SeStore *store, const SeFrontier *found, Datum *values, bool *nulls)
{
	SeSavedUser saved;
	SeControlItem floor;
	TimestampTz written_at = 0;

	se_control_look_up(store, SE_CONTROL_FLOOR, GetActiveSnapshot(), &floor);
	set_number(values, nulls, STATUS_LAST_PRUNE_AT, floor.noted_at != 0, floor.noted_at);
	values[STATUS_LOG_BYTES] = table_size(store->log);
	values[STATUS_TABLE_BYTES] = table_size(store->kv);

	/* This runs nobody's code, and the sequence may be another one's. */
	se_store_become_owner(BOOTSTRAP_SUPERUSERID, &saved);
	values[STATUS_HIGHEST_ALLOCATED] = Int64GetDatum(se_sequencer_last(store));
	se_store_become_self(&saved);

	se_store_become_owner(store->log_owner, &saved);
	if (found->frontier > found->floor)
		written_at = se_log_written_at(store, found->floor + 1);
	se_store_become_self(&saved);
	retention_values(store, found, values, nulls);
	set_number(values, nulls, STATUS_OLDEST_WRITTEN_AT, written_at != 0, written_at);
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
	SeShared   *shared = se_registry_find(store->log);
	SeFrontier	found;
	SeHolder	holder;
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);

	se_frontier_read(store, GetActiveSnapshot(), &found);
	values[STATUS_FRONTIER] = Int64GetDatum(found.frontier);
	set_number(values, nulls, STATUS_OLDEST, found.frontier > found.floor, found.floor + 1);
	holder = session_values(shared, values, nulls);
	values[STATUS_HOLES] = Int64GetDatum(count_holes(store, &found, &holder));
	table_values(store, &found, values, nulls);
	worker_values(shared, values, nulls);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
