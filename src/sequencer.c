/*
 * sequencer.c
 *		Give out sequence numbers and keep account of them.
 *
 * A transaction that takes numbers is in flight from just before it takes the
 * first one until it has left the proc array.  While it is, the registry says
 * so, and nobody takes one of its numbers for a hole.
 *
 * The callbacks at the end of (sub)transactions only set flags and latches.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_sequence.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/syscache.h"

#include "frontier.h"
#include "sequencer.h"

int			se_debug_allocation_delay;

/* The numbers this transaction holds. */
typedef struct InFlight
{
	SeShared   *shared;			/* NULL when it holds none */
	uint64		lowest;			/* bound in the registry */
	uint64		highest;		/* the latest number */
	int			first_level;	/* nesting level that owns the lowest number */
	int			last_level;		/* nesting level that owns the highest */
	bool		leaves_holes;	/* did any of them turn out unused? */
} InFlight;

static InFlight in_flight;

/* Have the worker look for holes up to the highest number taken. */
static void
report_holes(void)
{
	se_registry_raise(&in_flight.shared->suspect, in_flight.highest);
	se_registry_request_worker(in_flight.shared);
}

/*
 * Leave the registry, and wake the worker if a hole was left, if it waits for
 * one of our numbers, or if readers face a long walk over what we held back.
 */
static void
land(bool leaves_holes)
{
	SeShared   *shared = in_flight.shared;
	uint64		allocated;

	se_registry_withdraw();
	allocated = pg_atomic_read_u64(&shared->allocated);
	if (leaves_holes)
		report_holes();
	else if (in_flight.lowest <= pg_atomic_read_u64(&shared->wake_below) ||
			 in_flight.highest >= pg_atomic_read_u64(&shared->wake_from) ||
			 allocated > in_flight.lowest + SE_LONG_WALK)
		se_registry_request_worker(shared);
	in_flight.shared = NULL;
}

/* Called at the stations of a transaction's end. */
static void
end_transaction(XactEvent event, void *arg)
{
	if (in_flight.shared == NULL)
		return;

	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that has written to the store"),
					 errhint("Use COMMIT, or roll back to a savepoint before the write.")));
			break;
		case XACT_EVENT_COMMIT:
			land(in_flight.leaves_holes);
			break;
		case XACT_EVENT_ABORT:
			land(true);
			break;
		default:
			break;
	}
}

/*
 * Called at the end of a subtransaction, while it is still the current one.
 * A released savepoint's numbers become its parent's.  A rolled back one's
 * are holes; if the lowest was among them, so were all, and nothing is held
 * any more.
 */
static void
end_subtransaction(SubXactEvent event, SubTransactionId subid,
				   SubTransactionId parent, void *arg)
{
	int			level;

	if (in_flight.shared == NULL)
		return;

	level = GetCurrentTransactionNestLevel();
	if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		in_flight.first_level = Min(in_flight.first_level, level - 1);
		in_flight.last_level = Min(in_flight.last_level, level - 1);
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		if (in_flight.first_level >= level)
			land(true);
		else if (in_flight.last_level >= level)
		{
			in_flight.leaves_holes = true;
			in_flight.last_level = level - 1;
		}
	}
}

/*
 * Tell whether the sequence counts 1, 2, 3 in every session, as it was made,
 * or somebody altered it.
 */
bool
se_sequencer_counts_by_one(const SeStore *store)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(store->sequence));
	Form_pg_sequence form;
	bool		sound;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", store->sequence);
	form = (Form_pg_sequence) GETSTRUCT(tuple);
	sound = form->seqincrement == 1 && form->seqcache == 1 && !form->seqcycle;
	ReleaseSysCache(tuple);
	return sound;
}

/* Refuse a sequence that does not. */
static void
check_sequence(const SeStore *store)
{
	if (!se_sequencer_counts_by_one(store))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("sequence store_sequence has been altered"),
				 errhint("Use ALTER SEQUENCE store_sequence INCREMENT 1 CACHE 1 NO CYCLE.")));
}

/* Enter the registry, before the transaction's first number is taken. */
static void
take_off(SeShared *shared)
{
	static bool callbacks_registered = false;
	int			level = GetCurrentTransactionNestLevel();

	if (!callbacks_registered)
	{
		RegisterXactCallback(end_transaction, NULL);
		RegisterSubXactCallback(end_subtransaction, NULL);
		callbacks_registered = true;
	}

	/* The sequence cannot return what it has returned before. */
	in_flight.lowest = pg_atomic_read_u64(&shared->allocated) + 1;
	in_flight.highest = in_flight.lowest;
	in_flight.first_level = in_flight.last_level = level;
	in_flight.leaves_holes = false;
	in_flight.shared = shared;
	se_registry_publish(shared, in_flight.lowest);
}

/*
 * Raise the bound to the number that was taken.  If the worker has been
 * waiting for us because of the lower bound, it need not any more.
 */
static void
refine_bound(SeShared *shared, uint64 number)
{
	uint64		bound = in_flight.lowest;
	uint64		wake_below;

	in_flight.lowest = number;
	se_registry_refine(number);
	wake_below = pg_atomic_read_u64(&shared->wake_below);
	if (bound <= wake_below && wake_below < number)
		se_registry_request_worker(shared);
}

/*
 * Take the next sequence number for a batch.  The caller has locked all keys
 * of the batch and has nothing left to do but to write its log row.  Raises
 * 42501 without the right to use the sequence, 25006 in a read-only
 * transaction, 55000 if the sequence has been tampered with.
 */
int64
se_sequencer_allocate(const SeStore *store, SeShared *shared)
{
	bool		first = in_flight.shared == NULL;
	uint64		before;
	int64		number;

	check_sequence(store);
	before = pg_atomic_read_u64(&shared->allocated);
	if (first)
		take_off(shared);

	number = nextval_internal(store->sequence, true);
	if (number <= (int64) before ||
		number <= (int64) pg_atomic_read_u64(&shared->complete))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("sequence store_sequence has been set back"),
				 errdetail("It returned %lld, which has been given out before.",
						   (long long) number),
				 errhint("Use setval() to move it above the highest sequence number in store_batch_log. If that log was changed by hand, restart the server, too.")));

	if (first)
		refine_bound(shared, number);
	in_flight.highest = number;
	in_flight.last_level = GetCurrentTransactionNestLevel();

	/*
	 * Nobody remembers what was given out before the server started.  A crash
	 * may have skipped some numbers just below ours.
	 */
	if (before == 0)
		in_flight.leaves_holes = true;
	se_registry_raise(&shared->allocated, number);

	if (se_debug_allocation_delay > 0)
		DirectFunctionCall1(pg_sleep,
							Float8GetDatum(se_debug_allocation_delay / 1000.0));
	return number;
}

/*
 * Tell the last number that the sequence has given out, 0 if there is none.
 * For those who may read it: it returns 0 to others.
 */
int64
se_sequencer_last(const SeStore *store)
{
	LOCAL_FCINFO(fcinfo, 1);
	Datum		last;

	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(store->sequence);
	fcinfo->args[0].isnull = false;
	last = pg_sequence_last_value(fcinfo);
	return fcinfo->isnull ? 0 : DatumGetInt64(last);
}
