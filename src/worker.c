/*
 * worker.c
 *		The worker of one database: fill holes, leave anchors.
 *
 * A worker stays for a moment after its last round, in case there is more,
 * and leaves then: DROP DATABASE and CREATE DATABASE ... TEMPLATE wait longer
 * than that for a database to be free.  Every round finds the extension
 * afresh and does not wait for its tables, so that DROP EXTENSION waits for a
 * round at most.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lockdefs.h"
#include "utils/guc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "batch_log.h"
#include "control.h"
#include "frontier.h"
#include "registry.h"
#include "sequencer.h"
#include "worker.h"

/* How long a worker stays without work. */
#define LINGER_MS 1000

/* How long it waits for the tables, when somebody has locked them. */
#define LOCKED_RETRY_MS 100

/* How many holes one transaction fills. */
#define FILL_AT_ONCE 4096

typedef enum RoundResult
{
	ROUND_DONE,					/* nothing more to do */
	ROUND_MORE,					/* go on at once */
	ROUND_LOCKED,				/* the tables are locked: try again soon */
	ROUND_NO_STORE,				/* there is no extension any more */
	ROUND_NOT_OURS				/* another worker is at it */
} RoundResult;

/* The entry this process is the worker of. */
static SeShared *served = NULL;

/* Has anybody asked for us, or are we on the launcher's first visit? */
static bool requested = false;

/* A view of the log in which holes can be told. */
typedef struct Survey
{
	SeFrontier	found;			/* as of the survey's snapshot */
	int64		holder;			/* lowest number in flight, 0 if there is none */
	int64		decided;		/* every number below is decided */
} Survey;

/* Have defaults of the database or of roles not change what we do. */
static void
pin_settings(void)
{
	static const char *const settings[][2] = {
		{"role", "none"},
		{"search_path", "pg_catalog"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"synchronous_commit", "on"},
		{"lock_timeout", "0"},
		{"transaction_timeout", "0"},	/* since PostgreSQL 17 */
		{"row_security", "on"},
		{"session_replication_role", "origin"},
	};

	for (int i = 0; i < lengthof(settings); i++)
	{
		if (GetConfigOption(settings[i][0], true, false) == NULL)
			continue;
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	}
}

/*
 * Find out what is decided.  The order is what makes it right: first a row
 * that is visible, so that all lower numbers have been given out; then the
 * writers in flight, so that whoever held a number below all of theirs has
 * ended; then a new snapshot, which shows what became of it.  The snapshot is
 * left active.  Returns the store's entry in the registry, NULL if there is
 * none.
 */
static SeShared *
survey_log(const SeStore *store, Survey *survey)
{
	SeHolder	holder = {0};
	SeShared   *shared;
	int64		highest;

	PushActiveSnapshot(GetTransactionSnapshot());
	highest = se_frontier_highest(store, GetActiveSnapshot());
	PopActiveSnapshot();

	/* A row that somebody added by hand above the sequence proves nothing. */
	highest = Min(highest, se_sequencer_last(store) + 1);

	/*
	 * Writers claim an entry for the store before they take a number: if
	 * there is none by now, none of them is in flight.
	 */
	shared = se_registry_find(store->log);
	if (shared != NULL)
		se_registry_lowest(shared, &holder);
	survey->holder = (int64) holder.bound;
	survey->decided = highest;
	if (survey->holder != 0)
		survey->decided = Min(survey->decided, survey->holder);

	PushActiveSnapshot(GetTransactionSnapshot());
	se_frontier_read(store, GetActiveSnapshot(), &survey->found);
	return shared;
}

/* What become_owner() changed. */
typedef struct SavedUser
{
	Oid			user;
	int			context;
	int			guc_level;
} SavedUser;

/*
 * Go on with the rights of a table's owner, as maintenance of tables does:
 * their triggers and policies must not get ours, nor change our settings.  And
 * connect to SPI.
 */
static void
become_owner(Oid owner, SavedUser *saved)
{
	GetUserIdAndSecContext(&saved->user, &saved->context);
	SetUserIdAndSecContext(owner, saved->context | SECURITY_RESTRICTED_OPERATION);
	saved->guc_level = NewGUCNestLevel();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
}

/* Undo become_owner(). */
static void
become_worker(const SavedUser *saved)
{
	SPI_finish();
	PopActiveSnapshot();
	AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->user, saved->context);
}

/* Fill holes, durably: what has been seen filled must stay so. */
static void
fill_holes(const SeStore *store, const int64 *holes, int count)
{
	SavedUser	saved;

	become_owner(store->log_owner, &saved);
	se_log_fill(store, holes, count);
	become_worker(&saved);
	ForceSyncCommit();
}

/* Leave the frontier for others to start from. */
static void
leave_anchor(const SeStore *store, int64 frontier)
{
	SavedUser	saved;

	become_owner(store->control_owner, &saved);
	se_control_raise(store, SE_CONTROL_ANCHOR, frontier, 0);
	become_worker(&saved);
}

/* Tell whether a row above a number is visible by now. */
static bool
visible_above(const SeStore *store, int64 number)
{
	bool		result;

	PushActiveSnapshot(GetTransactionSnapshot());
	result = se_frontier_highest(store, GetActiveSnapshot()) > number;
	PopActiveSnapshot();
	return result;
}

/*
 * Say which ending writers shall wake us, there being no hole to fill now.
 * False if what we would wait for has happened meanwhile: whoever ended before
 * we said so did not wake us.
 */
static bool
arm(const SeStore *store, SeShared *shared, const Survey *survey)
{
	int64		frontier = survey->found.frontier;
	int64		next = frontier + 1;
	SeHolder	holder;

	/* Nothing is missing, or it is not for us to fill. */
	if (pg_atomic_read_u64(&shared->suspect) <= (uint64) frontier ||
		next < survey->decided)
	{
		pg_atomic_write_u64(&shared->wake_below, 0);
		return true;
	}

	/* A writer in flight stands in the way: wait for its end. */
	if (survey->holder != 0 && survey->holder <= next)
	{
		pg_atomic_exchange_u64(&shared->wake_below, next);
		se_registry_lowest(shared, &holder);
		return holder.bound != 0 && holder.bound <= (uint64) next;
	}

	/* Nothing is visible above: wait for anybody's commit. */
	pg_atomic_exchange_u64(&shared->wake_below, PG_UINT64_MAX);
	return !visible_above(store, frontier);
}

/*
 * List the holes that can be filled, as many as there is room for; returns how
 * many.  The survey's snapshot is active.
 */
static int
list_holes(const SeStore *store, const Survey *survey, int64 *holes, int room)
{
	if (survey->found.frontier + 1 >= survey->decided ||
		!se_frontier_is_sound(store, GetActiveSnapshot(), &survey->found))
		return 0;
	return se_frontier_holes(store, GetActiveSnapshot(), survey->found.frontier,
							 survey->decided, holes, room);
}

/*
 * Fill all holes there are; when there are none, leave an anchor after a long
 * walk.
 */
static RoundResult
serve_store(const SeStore *store)
{
	static int64 first_filled = 0;
	SeShared   *shared;
	Survey		survey;
	int64	   *holes = palloc(FILL_AT_ONCE * sizeof(int64));
	int			nholes;

	shared = survey_log(store, &survey);
	nholes = list_holes(store, &survey, holes, FILL_AT_ONCE);
	PopActiveSnapshot();

	if (nholes > 0)
	{
		if (holes[0] == first_filled)
			ereport(ERROR,
					(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
					 errmsg("batch %lld was filled and is missing again",
							(long long) first_filled),
					 errhint("A trigger or a rule on the batch log changes or deletes rows.")));
		fill_holes(store, holes, nholes);
		first_filled = holes[0];
		return ROUND_MORE;
	}
	first_filled = 0;
	if (survey.found.walked > SE_LONG_WALK)
		leave_anchor(store, survey.found.frontier);
	return shared == NULL || arm(store, shared, &survey) ? ROUND_DONE : ROUND_MORE;
}

/*
 * Take the requests there are, if there is an entry for them.  It comes before
 * everything that a round looks at, the extension included, so that no
 * request is lost.  False if the database has another worker.
 */
static bool
take_requests(void)
{
	SeShared   *shared = se_registry_of_database();

	if (shared == NULL)
		return true;
	if (served == NULL && !se_registry_claim_worker(shared))
		return false;
	served = shared;
	if (pg_atomic_exchange_u32(&shared->requested, 0) != 0)
		requested = true;
	return true;
}

/* One round: one transaction. */
static RoundResult
worker_round(void)
{
	RoundResult result;
	const SeStore *store;
	bool		missing;

	if (!take_requests())
		return ROUND_NOT_OURS;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	store = se_store_try_lock(RowExclusiveLock, &missing);
	if (store != NULL)
	{
		pgstat_report_activity(STATE_RUNNING, "storeengine: filling holes");
		result = serve_store(store);
	}
	else
		result = missing ? ROUND_NO_STORE : ROUND_LOCKED;

	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	if (result != ROUND_LOCKED)
		se_registry_note_visit();
	return result;
}

/*
 * Called when the worker exits.  If it exits by an error, its work is not
 * done, and the launcher shall start another one.
 */
static void
leave(int code, Datum arg)
{
	if (served == NULL)
		return;
	if (code != 0)
		pg_atomic_exchange_u32(&served->requested, 1);
	se_registry_leave_worker(served);
}

/* Sleep until there is work or the time is over; true if there is work. */
static bool
wait_for_work(long milliseconds)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);

	for (;;)
	{
		long		left;

		if (served != NULL && pg_atomic_read_u32(&served->requested) != 0)
			return true;
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);
		if (left <= 0)
			return false;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 left, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}

/*
 * The worker of the database whose OID is the argument.
 */
void
se_worker_main(Datum arg)
{
	RoundResult result;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	before_shmem_exit(leave, (Datum) 0);
	pin_settings();

	do
	{
		CHECK_FOR_INTERRUPTS();
		result = worker_round();
		if (result == ROUND_LOCKED)
			(void) wait_for_work(LOCKED_RETRY_MS);
	}
	while (result == ROUND_MORE || result == ROUND_LOCKED ||
		   (result == ROUND_DONE && wait_for_work(requested ? LINGER_MS : 0)));

	proc_exit(0);
}
