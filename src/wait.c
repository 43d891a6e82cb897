/*
 * wait.c
 *		store_wait_for_sequence(): wait until the log is complete up to a number.
 *
 * A procedure, since the caller of a function holds a snapshot.  Between looks
 * it holds neither a snapshot nor a lock: each look is a subtransaction that is
 * rolled back.
 *
 * Where there is a worker it wakes us: we say what we wait for and look again
 * before we sleep, so no number is missed.  On a standby, where commits are
 * replayed by a process that knows nothing of us, we look when there has been
 * something to replay.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/pquery.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "arguments.h"
#include "frontier.h"
#include "registry.h"
#include "store.h"

PG_FUNCTION_INFO_V1(store_wait_for_sequence);

/* How often to look for something replayed, or when there is no worker. */
#define POLL_MS 2
#define NO_WORKER_POLL_MS 20

/* With a worker, how long to sleep without looking: should the store be gone. */
#define LONGEST_SLEEP_MS 10000

/* What a session waits for. */
typedef struct Wait
{
	int64		number;
	TimestampTz end;			/* DT_NOEND if it waits for ever */
	SeShared   *shared;			/* NULL if nobody can wake us */
	bool		announced;		/* have we said what we wait for? */
	XLogRecPtr	replayed;		/* what had been replayed at the last look */
} Wait;

/*
 * Refuse to wait in a transaction that has written: two of them could wait for
 * each other's end, and nobody would notice.  Raises 25001.
 */
static void
check_has_not_written(void)
{
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("store_wait_for_sequence() cannot be called in a transaction that has written"),
				 errdetail("What it waits for may itself wait for this transaction's end."),
				 errhint("Call it after COMMIT.")));
}

/*
 * Let go of the snapshot that this statement was given, as procedures do that
 * end transactions.  It is active and, for the sake of the result, registered;
 * our result needs none.  Raises 25001 if there is another one.
 */
static void
release_snapshot(void)
{
	Portal		portal = ActivePortal;

	if (portal != NULL && portal->portalSnapshot != NULL &&
		ActiveSnapshotSet() && GetActiveSnapshot() == portal->portalSnapshot)
	{
		portal->portalSnapshot = NULL;
		PopActiveSnapshot();
		if (portal->holdSnapshot != NULL)
			UnregisterSnapshotFromOwner(portal->holdSnapshot, portal->resowner);
		portal->holdSnapshot = NULL;
	}
	InvalidateCatalogSnapshot();
	if (HaveRegisteredOrActiveSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("store_wait_for_sequence() cannot be called while a snapshot is held"),
				 errdetail("What it waits for would not be visible in that snapshot."),
				 errhint("Call it in a transaction of isolation level READ COMMITTED, without open cursors, and not from within a query.")));
}

/*
 * Read the current sequence number in a subtransaction that leaves neither a
 * snapshot nor a lock behind.
 */
static int64
look(Wait *wait)
{
	MemoryContext old_context = CurrentMemoryContext;
	ResourceOwner old_owner = CurrentResourceOwner;
	SeStore    *store;
	SeFrontier	found;

	if (RecoveryInProgress())
		wait->replayed = GetXLogReplayRecPtr(NULL);
	BeginInternalSubTransaction(NULL);
	store = se_store_lock(AccessShareLock);
	se_check_may_read_numbers(store);
	PushActiveSnapshot(GetTransactionSnapshot());
	se_frontier_read(store, GetActiveSnapshot(), &found);
	PopActiveSnapshot();
	wait->shared = RecoveryInProgress() ? NULL : se_registry_try_attach(store->log);
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(old_context);
	CurrentResourceOwner = old_owner;
	InvalidateCatalogSnapshot();
	return found.frontier;
}

/*
 * Have the worker called, unless it will be when what we wait for is written.
 * Having said that, it looks for those who have begun to wait meanwhile.
 */
static void
call_worker(const Wait *wait)
{
	if (se_registry_worker_pid(wait->shared) == 0 ||
		pg_atomic_read_u64(&wait->shared->wake_from) > (uint64) wait->number)
		se_registry_request_worker(wait->shared);
}

/* Tell how many milliseconds to sleep at most, 0 if the time is over. */
static long
time_to_sleep(const Wait *wait)
{
	long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), wait->end);
	long		most = LONGEST_SLEEP_MS;

	if (RecoveryInProgress())
		most = POLL_MS;
	else if (wait->shared == NULL || se_registry_worker_pid(wait->shared) == 0)
		most = NO_WORKER_POLL_MS;
	return wait->end == DT_NOEND ? most : Min(left, most);
}

/* Sleep until there may be something to see; false if the time is over. */
static bool
sleep_a_while(const Wait *wait)
{
	long		timeout;

	do
	{
		timeout = time_to_sleep(wait);
		if (timeout <= 0)
			return false;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 timeout, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	while (RecoveryInProgress() && GetXLogReplayRecPtr(NULL) == wait->replayed);
	return true;
}

/* Wait; return how far the log is complete. */
static int64
wait_for(Wait *wait)
{
	for (;;)
	{
		int64		reached = look(wait);

		if (reached >= wait->number)
			return reached;
		if (wait->shared != NULL && !wait->announced)
		{
			se_registry_await(wait->shared, wait->number);
			wait->announced = true;
			call_worker(wait);
			continue;
		}
		if (!sleep_a_while(wait))
			return reached;
		if (wait->shared != NULL)
			call_worker(wait);
	}
}

/*
 * Say that we do not wait any more, however that came: the worker may have
 * stayed for us.
 */
static void
stop_waiting(int code, Datum arg)
{
	Wait	   *wait = (Wait *) DatumGetPointer(arg);

	if (!wait->announced)
		return;
	wait->announced = false;
	se_registry_stop_awaiting();
	if (wait->shared != NULL)
		se_registry_nudge_worker(wait->shared);
}

/* Tell when a timeout ends that begins now.  Raises 22023 if it is negative. */
static TimestampTz
end_of_timeout(Interval *timeout)
{
	static Interval zero = {0};

	if (DatumGetBool(DirectFunctionCall2(interval_lt, IntervalPGetDatum(timeout),
										 IntervalPGetDatum(&zero))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must not be negative")));
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(GetCurrentTimestamp()),
												   IntervalPGetDatum(timeout)));
}

/* Make the procedure's result: a row of its one output argument. */
static Datum
make_result(FunctionCallInfo fcinfo, int64 reached)
{
	TupleDesc	desc;
	Datum		value = Int64GetDatum(reached);
	bool		isnull = false;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), &value, &isnull));
}

/*
 * store_wait_for_sequence(sequence_number bigint, timeout interval,
 *						   INOUT reached bigint)
 */
Datum
store_wait_for_sequence(PG_FUNCTION_ARGS)
{
	Wait		wait = {0};
	int64		reached = 0;

	wait.number = se_number_argument(fcinfo, 0, "sequence_number");
	wait.end = PG_ARGISNULL(1) ? DT_NOEND : end_of_timeout(PG_GETARG_INTERVAL_P(1));
	check_has_not_written();
	release_snapshot();

	PG_ENSURE_ERROR_CLEANUP(stop_waiting, PointerGetDatum(&wait));
	{
		reached = wait_for(&wait);
	}
	PG_END_ENSURE_ERROR_CLEANUP(stop_waiting, PointerGetDatum(&wait));
	stop_waiting(0, PointerGetDatum(&wait));

	EnsurePortalSnapshotExists();
	PG_RETURN_DATUM(make_result(fcinfo, reached));
}
