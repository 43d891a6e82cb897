/*
 * retention.c
 *		Keep the batch log within a rule.
 *
 * The rule is a row of store_retention.  Each of its bounds says from which
 * number on the log is kept; the highest of these counts.  The caller of
 * store_set_retention() enforces it once, the worker from then on, a limited
 * number of batches at a time.
 *
 * The number of bytes in the log is the difference of two running totals: one
 * is noted with the floor, the other, the tally, now and then by the worker,
 * which counts only what has come since.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "arguments.h"
#include "batch_log.h"
#include "control.h"
#include "retention.h"

PG_FUNCTION_INFO_V1(store_set_retention);

/* How many batches the worker prunes in one transaction. */
#define PRUNE_AT_ONCE 1000

/* Every so many batches the worker notes how many bytes it has counted. */
#define TALLY_DISTANCE 1000

/* How long the worker waits while others prune. */
#define BUSY_RETRY_MS 100

/* How many batches to look at with one call of SPI. */
#define FETCH_AT_ONCE 1000

/* The store whose rule this transaction has changed. */
static SeShared *changed = NULL;

/* SQL: read the rule. */
static const char *
read_sql(const SeStore *store)
{
	return psprintf("SELECT rule FROM ONLY %s", store->retention_name);
}

/* SQL: set the rule. */
static const char *
set_sql(const SeStore *store)
{
	return psprintf("INSERT INTO %s (singleton, rule) VALUES (true, $1)"
					" ON CONFLICT (singleton) DO UPDATE SET rule = excluded.rule",
					store->retention_name);
}

/* SQL: clear the rule. */
static const char *
clear_sql(const SeStore *store)
{
	return psprintf("DELETE FROM %s", store->retention_name);
}

/* SQL: the batches above one number and up to another, in order. */
static const char *
list_sql(const SeStore *store)
{
	return psprintf("SELECT sequence_number, written_at, " SE_LOG_BYTES " FROM ONLY %s"
					" WHERE sequence_number OPERATOR(pg_catalog.>) $1"
					" AND sequence_number OPERATOR(pg_catalog.<=) $2"
					" ORDER BY sequence_number",
					store->log_name);
}

static SeStatement read_statement = {.sql = read_sql, .nargs = 0};
static SeStatement set_statement = {.sql = set_sql, .nargs = 1, .argtypes = {JSONBOID}};
static SeStatement clear_statement = {.sql = clear_sql, .nargs = 0};
static SeStatement list_statement = {.sql = list_sql, .nargs = 2, .argtypes = {INT8OID, INT8OID}};

/*
 * Read the rule as the active snapshot shows it; NULL if there is none.  The
 * caller is connected to SPI, outside of which the result is allocated.
 */
static Jsonb *
read_rule(const SeStore *store)
{
	bool		isnull;
	Datum		rule;

	if (se_store_execute(store, &read_statement, NULL, NULL, true) == 0)
		return NULL;
	if (SPI_gettypeid(SPI_tuptable->tupdesc, 1) != JSONBOID)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"rule\" of table \"store_retention\" has been altered"),
				 errhint("Its type must be jsonb.")));
	rule = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		return NULL;
	rule = JsonbPGetDatum(DatumGetJsonbP(rule));
	return DatumGetJsonbP(SPI_datumTransfer(rule, false, -1));
}

/* A walk along the batches above the floor, to see which are not to be kept. */
typedef struct Walk
{
	TimestampTz now;
	Interval   *max_age;		/* NULL if age does not matter */
	int64		excess;			/* bytes that are too many */
	SeRetentionState *state;
} Walk;

/* Tell when a batch will be too old. */
static TimestampTz
expiry(const Walk *walk, TimestampTz written_at)
{
	if (walk->max_age == NULL)
		return DT_NOEND;
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(written_at),
												   IntervalPGetDatum(walk->max_age)));
}

/* Look at the next batch; false if it is to be kept. */
static bool
step(Walk *walk, int64 number, TimestampTz written_at, int64 bytes)
{
	walk->state->next_expiry = expiry(walk, written_at);
	if (walk->state->next_expiry > walk->now && walk->excess <= 0)
		return false;
	walk->excess -= bytes;
	walk->state->cutoff = Max(walk->state->cutoff, number + 1);
	return true;
}

/* Look at the batches above one number and up to another, in order. */
static void
walk_batches(const SeStore *store, Walk *walk, int64 from, int64 to)
{
	Datum		args[2] = {Int64GetDatum(from), Int64GetDatum(to)};
	bool		more = true;
	Portal		portal;

	se_store_check_columns(store);
	se_store_prepare(store, &list_statement);
	portal = SPI_cursor_open(NULL, list_statement.plan, args, NULL, true);
	while (more)
	{
		SPI_cursor_fetch(portal, true, FETCH_AT_ONCE);
		more = SPI_processed > 0;
		for (uint64 i = 0; i < SPI_processed && more; i++)
		{
			HeapTuple	row = SPI_tuptable->vals[i];
			TupleDesc	desc = SPI_tuptable->tupdesc;
			bool		isnull;

			more = step(walk, DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull)),
						DatumGetTimestampTz(SPI_getbinval(row, desc, 2, &isnull)),
						DatumGetInt32(SPI_getbinval(row, desc, 3, &isnull)));
		}
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
}

/* Count the bytes of all batches up to the frontier, from what is noted. */
static void
count_bytes(const SeStore *store, const SeFrontier *found, const SeControlItem *floor,
			SeRetentionState *state)
{
	SeControlItem base;

	se_control_look_up(store, SE_CONTROL_TALLY, GetActiveSnapshot(), &base);
	if (base.number < floor->number || base.number > found->frontier)
		base = *floor;
	state->counts_bytes = true;
	state->counted = base.number;
	state->bytes = base.bytes + se_log_count_bytes(store, base.number, found->frontier);
}

/* Find the cutoff of the bounds that are about numbers. */
static int64
number_cutoff(const SeRetentionRule *rule, int64 frontier)
{
	int64		cutoff = 0;

	if (rule->drop_all)
		cutoff = frontier + 1;
	if (rule->has_keep_latest && rule->keep_latest <= (uint64) frontier)
		cutoff = Max(cutoff, frontier - (int64) rule->keep_latest + 1);
	if (rule->has_lowest)
		cutoff = Max(cutoff, (int64) Min(rule->lowest, (uint64) frontier + 1));
	return cutoff;
}

/*
 * Find out what a rule comes to, in the active snapshot, whose frontier the
 * caller has found.  Of the batches above the floor only so many are looked at
 * as limit says.  The caller has locked the store and is connected to SPI.
 */
void
se_retention_evaluate(const SeStore *store, const SeRetentionRule *rule,
					  const SeFrontier *found, int64 limit,
					  SeRetentionState *result)
{
	Walk		walk = {0};
	SeControlItem floor;
	Interval	max_age = rule->max_age;
	int64		last = found->frontier - found->floor <= limit ? found->frontier :
		found->floor + limit;

	memset(result, 0, sizeof(SeRetentionState));
	result->next_expiry = DT_NOEND;
	result->cutoff = number_cutoff(rule, found->frontier);
	walk.state = result;
	walk.now = GetCurrentTimestamp();
	if (rule->has_max_age)
		walk.max_age = &max_age;
	if (rule->has_max_bytes)
	{
		se_control_look_up(store, SE_CONTROL_FLOOR, GetActiveSnapshot(), &floor);
		count_bytes(store, found, &floor, result);
		walk.excess = result->bytes - floor.bytes - rule->max_bytes;
	}
	if (rule->has_max_age || walk.excess > 0)
		walk_batches(store, &walk, found->floor, last);

	if (last < found->frontier && result->cutoff > last)
	{
		result->cutoff = last + 1;
		result->limited = true;
	}
}

/*
 * Read the rule, as its owner, whoever calls.  NULL if there is none.  The
 * caller has locked the store.
 */
Jsonb *
se_retention_read_as_owner(const SeStore *store)
{
	SeSavedUser saved;
	Jsonb	   *rule;

	se_store_become_owner(store->retention_owner, &saved);
	rule = read_rule(store);
	se_store_become_self(&saved);
	return rule;
}

/*
 * Find out what the rule comes to, with a new snapshot and the rights of the
 * tables' owners, as the worker does; false if there is none.  *found becomes
 * the frontier.
 */
static bool
evaluate(const SeStore *store, SeFrontier *found, SeRetentionState *state)
{
	Jsonb	   *json = se_retention_read_as_owner(store);
	SeRetentionRule rule;
	SeSavedUser saved;

	if (json == NULL)
		return false;
	se_policy_parse_retention(json, &rule);
	se_store_become_owner(store->log_owner, &saved);
	se_frontier_read(store, GetActiveSnapshot(), found);
	se_retention_evaluate(store, &rule, found, PRUNE_AT_ONCE, state);
	se_store_become_self(&saved);
	return true;
}

/*
 * Prune a limited number of batches by the rule, with the rights of the
 * tables' owners; for the worker, which has locked the store.  Returns whether
 * there is a rule.  *found is the frontier before, *pruned how many batches
 * went.  *next becomes the time when there is something to do: at once if more
 * is to be pruned, soon if somebody else is pruning, DT_NOEND if not before
 * there are new batches.
 */
bool
se_retention_enforce(const SeStore *store, SeFrontier *found, int64 *pruned,
					 TimestampTz *next)
{
	SeRetentionState state;
	SeSavedUser saved;

	*pruned = 0;
	*next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), BUSY_RETRY_MS);
	if (!se_log_lock_pruning(store, false))
		return false;
	*next = DT_NOEND;
	if (!evaluate(store, found, &state))
		return false;

	if (state.counts_bytes && found->frontier - state.counted >= TALLY_DISTANCE)
	{
		se_store_become_owner(store->control_owner, &saved);
		se_control_raise(store, SE_CONTROL_TALLY, found->frontier, state.bytes);
		se_store_become_self(&saved);
	}
	if (state.cutoff > found->floor + 1)
		*pruned = se_log_prune_as_owners(store, state.cutoff);
	*next = state.limited ? GetCurrentTimestamp() : state.next_expiry;
	return true;
}

/*
 * Have the worker look at the new rule, or forget that there is one.  Raises
 * 0A000 where that would not be possible.
 */
static void
end_transaction(XactEvent event, void *arg)
{
	if (changed == NULL)
		return;
	if (event == XACT_EVENT_PRE_PREPARE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has set the retention rule"),
				 errdetail("COMMIT PREPARED could not tell the background worker."),
				 errhint("Use COMMIT.")));
	if (event == XACT_EVENT_COMMIT)
	{
		pg_atomic_exchange_u32(&changed->rule_changed, 1);
		se_registry_request_worker(changed);
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		changed = NULL;
}

/* Have the worker told when this transaction commits. */
static void
announce_change(SeShared *shared)
{
	static bool callback_registered = false;

	if (!callback_registered)
		RegisterXactCallback(end_transaction, NULL);
	callback_registered = true;
	changed = shared;
}

/*
 * Refuse to have cleared the rule if it is still there, for the worker would
 * go on to prune.  Raises 42501 if a policy hides it from the current user,
 * 27000 if a trigger keeps it.
 */
static void
check_cleared(const SeStore *store)
{
	CommandCounterIncrement();
	if (se_retention_read_as_owner(store) == NULL)
		return;
	if (check_enable_rls(store->retention, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row-level security forbids to clear the retention rule")));
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("the retention rule was not cleared"),
			 errhint("A trigger or a rule on store_retention keeps it.")));
}

/* Set or clear the rule, with the rights of the current user. */
static void
change_rule(const SeStore *store, Jsonb *rule)
{
	Datum		arg = JsonbPGetDatum(rule);

	if (rule == NULL)
	{
		(void) se_store_execute(store, &clear_statement, NULL, NULL, false);
		check_cleared(store);
	}
	else if (se_store_execute(store, &set_statement, &arg, NULL, false) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("the retention rule was not set"),
				 errhint("A trigger or a rule on store_retention suppresses rows.")));
}

/* Prune by a rule at once, with the rights of the current user. */
static void
apply_rule(const SeStore *store, const SeRetentionRule *rule)
{
	SeFrontier	found;
	SeRetentionState state;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	se_frontier_read(store, GetActiveSnapshot(), &found);
	se_retention_evaluate(store, rule, &found, PG_INT64_MAX, &state);
	PopActiveSnapshot();
	if (state.cutoff > found.floor + 1)
		(void) se_log_prune(store, state.cutoff);
}

/*
 * store_set_retention(policy jsonb) returns bigint
 */
Datum
store_set_retention(PG_FUNCTION_ARGS)
{
	Jsonb	   *json = PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0);
	SeRetentionRule rule;
	SeStore    *store;
	SeFrontier	found;

	se_registry_check_available();
	PreventCommandIfReadOnly("store_set_retention()");
	PreventCommandIfParallelMode("store_set_retention()");
	PreventCommandDuringRecovery("store_set_retention()");
	if (json != NULL)
		se_policy_parse_retention(json, &rule);

	/*
	 * The worker will prune with the rights of the owner: only for those who
	 * may.
	 */
	store = se_store_lock(RowExclusiveLock);
	se_check_may_read_numbers(store);
	if (json != NULL)
		se_log_check_may_prune(store);

	/*
	 * Nobody is to prune by the former rule any more: the worker reads the
	 * rule and prunes with this lock held.
	 */
	(void) se_log_lock_pruning(store, true);
	announce_change(se_registry_attach(store->log));
	SPI_connect();
	change_rule(store, json);
	if (json != NULL)
		apply_rule(store, &rule);
	SPI_finish();

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	se_frontier_read(store, GetActiveSnapshot(), &found);
	PopActiveSnapshot();
	if (found.frontier <= found.floor)
		PG_RETURN_NULL();
	PG_RETURN_INT64(found.floor + 1);
}
