/*
 * worker.c
 *		The worker of one database.
 *
 * Each round is a transaction that looks at the log, wakes the sessions that
 * wait for what is complete, fills holes and says who is to wake the worker
 * next.  Between rounds come duties that can wait for a moment: to tell
 * listeners, to enforce the retention rule, to have pruned space reused.  A
 * duty that fails does not keep the others from being done.
 *
 * A worker stays for a moment after its last round, in case there is more,
 * and leaves then: DROP DATABASE and CREATE DATABASE ... TEMPLATE wait longer
 * than that for a database to be free.  Every round finds the extension
 * afresh and does not wait for its tables, so that DROP EXTENSION waits for a
 * round at most.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
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

#include "filler.h"
#include "registry.h"
#include "retention.h"
#include "vacuum.h"
#include "worker.h"

/* The channel on which listeners are told. */
#define CHANNEL "storeengine"

/* How long a worker stays without work. */
#define LINGER_MS 1000

/* How long it waits for the tables, when somebody has locked them. */
#define LOCKED_RETRY_MS 100

/* How long a duty waits for a lock, while sessions may wait for us. */
#define LOCK_TIMEOUT "1s"

/* While there are new batches, how often the retention rule is enforced ... */
#define RETENTION_MS 100

/* ... and how often, at most, pruned batches are removed. */
#define VACUUM_MS 500

/*
 * How long it waits for those who can still see them: this at first, doubled every
 * time up to that.  Of short transactions somebody is nearly always in the way.
 */
#define HORIZON_MIN_MS 10
#define HORIZON_MAX_MS 1000

/* How long to wait after a duty failed: this at first, doubled every time. */
#define RETRY_MIN_MS 10
#define RETRY_MAX_MS 30000

typedef enum RoundResult
{
	ROUND_DONE,					/* nothing more to do */
	ROUND_MORE,					/* go on at once */
	ROUND_LOCKED,				/* the tables are locked: try again soon */
	ROUND_NO_STORE,				/* there is no extension any more */
	ROUND_NOT_OURS				/* another worker is at it */
} RoundResult;

/* Something to be done between rounds, in transactions of its own. */
typedef struct Duty
{
	void		(*perform) (void);
	TimestampTz at;				/* when, DT_NOEND if nothing calls for it */
	TimestampTz not_before;		/* but not before this, if it has failed */
	int			delay;			/* ms that it last had to wait for that */
} Duty;

static void announce(void);
static void retain(void);
static void vacuum(void);

static Duty announcing = {announce, DT_NOEND, DT_NOBEGIN, 0};
static Duty retaining = {retain, DT_NOBEGIN, DT_NOBEGIN, 0};
static Duty vacuuming = {vacuum, DT_NOEND, DT_NOBEGIN, 0};

int			se_notify_interval;

/* The entry this process is the worker of. */
static SeShared *served = NULL;

/* When there was last something to do, DT_NOBEGIN if nobody asked for us. */
static TimestampTz active_at = DT_NOBEGIN;

/* What the last round saw, and in which log. */
static int64 frontier = 0;
static Oid	frontier_log = InvalidOid;
static int	waiters = 0;

/* Will the next commit call us? */
static bool on_call = true;

/* Listeners are not told again before this. */
static TimestampTz quiet_until = DT_NOBEGIN;

/* When, and at which frontier, the retention rule was last enforced. */
static TimestampTz retained_at = DT_NOBEGIN;
static int64 retained_frontier = -1;

/* When the log was last vacuumed, and how long we last waited until it can be. */
static TimestampTz vacuumed_at = DT_NOBEGIN;
static int	horizon_delay = 0;

/* Have defaults of the database or of roles not change what we do. */
static void
pin_settings(void)
{
	static const char *const settings[][2] = {
		{"role", "none"},
		{"search_path", "pg_catalog"},
		{"exit_on_error", "off"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_deferrable", "off"},
		{"synchronous_commit", "on"},
		{"lock_timeout", "0"},
		{"transaction_timeout", "0"},	/* since PostgreSQL 17 */
		{"row_security", "on"},
		{"vacuum_cost_delay", "0"},
		{"session_replication_role", "origin"},
	};

	/* session_authorization can have a default, too; "role" builds upon it. */
	SetSessionAuthorization(BOOTSTRAP_SUPERUSERID, true);
	for (int i = 0; i < lengthof(settings); i++)
	{
		if (GetConfigOption(settings[i][0], true, false) == NULL)
			continue;
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	}
}

/* Some milliseconds from now. */
static TimestampTz
from_now(int milliseconds)
{
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
}

/* Have listeners been told of everything? */
static bool
all_announced(SeShared *shared)
{
	return pg_atomic_read_u64(&shared->announced) >= (uint64) frontier;
}

/*
 * Say who is to wake us: the commit of the lowest number that a session waits
 * for, or, if listeners can be told at once, of the next one.  False if there
 * is something to do already.  Sessions that begin to wait after we have said
 * so call us if it does not cover them; those before are found here.
 */
static bool
arm(const SeStore *store, const SeSurvey *survey)
{
	SeShared   *shared = survey->shared;
	uint64		wanted = se_registry_lowest_awaited(shared, frontier, &waiters);

	on_call = all_announced(shared) && quiet_until <= GetCurrentTimestamp();
	if (on_call)
		wanted = Min(wanted, (uint64) frontier + 1);
	return se_filler_arm(store, survey, wanted) &&
		se_registry_lowest_awaited(shared, frontier, &waiters) >= wanted;
}

/*
 * Do what cannot wait: wake those who wait for what is complete, and fill holes
 * or, when there are none, leave an anchor after a long walk.
 */
static RoundResult
serve_store(const SeStore *store)
{
	SeSurvey	survey;

	if (served != NULL)
		pg_atomic_fetch_add_u64(&served->looks, 1);
	se_filler_survey(store, &survey);

	/* It has an entry by now, which is to be ours before we act on it. */
	if (survey.shared != NULL && served == NULL)
		return ROUND_MORE;
	if (survey.found.frontier != frontier && active_at != DT_NOBEGIN)
		active_at = GetCurrentTimestamp();
	frontier = survey.found.frontier;
	frontier_log = store->log;
	if (survey.shared != NULL)
		se_registry_wake_waiters(survey.shared, frontier);
	if (survey.nholes > 0)
	{
		se_filler_fill(store, &survey);
		return ROUND_MORE;
	}
	if (survey.found.walked > SE_LONG_WALK)
		se_filler_leave_anchor(store, frontier);
	if (survey.shared == NULL)
	{
		/* whoever writes first calls us */
		on_call = true;
		waiters = 0;
		return ROUND_DONE;
	}
	return arm(store, &survey) ? ROUND_DONE : ROUND_MORE;
}

/* Become the worker of an entry, if there is one; false if another is. */
static bool
serve_entry(SeShared *shared)
{
	if (shared == NULL || served != NULL)
		return true;
	if (!se_registry_claim_worker(shared))
		return false;
	served = shared;
	if (pg_atomic_exchange_u64(&shared->due, 0) != 0)
		active_at = GetCurrentTimestamp();
	return true;
}

/*
 * Take the requests there are, if there is an entry for them.  It comes before
 * everything that a round looks at, the extension included, so that no
 * request is lost.  False if the database has another worker.
 */
static bool
take_requests(void)
{
	if (!serve_entry(se_registry_of_database()))
		return false;
	if (served != NULL && pg_atomic_exchange_u32(&served->requested, 0) != 0)
		active_at = GetCurrentTimestamp();
	if (served != NULL && pg_atomic_exchange_u32(&served->rule_changed, 0) != 0)
		retaining.at = DT_NOBEGIN;
	return true;
}

/* Begin a transaction and lock the store; NULL if that cannot be. */
static SeStore *
begin_work(const char *activity, bool *missing)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	pgstat_report_activity(STATE_RUNNING, activity);
	return se_store_try_lock(RowExclusiveLock, missing);
}

/* End the transaction. */
static void
end_work(void)
{
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
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
	store = begin_work("storeengine: looking after the log", &missing);
	if (store != NULL)
		result = serve_store(store);
	else
		result = missing ? ROUND_NO_STORE : ROUND_LOCKED;
	end_work();

	/* Those who wait are to see for themselves that there is no store. */
	if (result == ROUND_NO_STORE)
	{
		retaining.at = DT_NOEND;
		if (served != NULL)
			se_registry_wake_waiters(served, PG_UINT64_MAX);
	}
	if (result != ROUND_LOCKED)
		se_registry_note_visit();
	return result;
}

/* Change a setting until the transaction ends. */
static void
set_locally(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

/*
 * Tell listeners how far the log is complete.  Whoever hears the number sees
 * it, for the round that found it is over.  Nothing of this need be durable.
 */
static void
announce(void)
{
	char		number[32];

	if (pg_atomic_read_u32(&served->log) != frontier_log)
	{
		announcing.at = DT_NOEND;
		return;
	}
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	pgstat_report_activity(STATE_RUNNING, "storeengine: telling listeners");
	set_locally("synchronous_commit", "off");
	set_locally("lock_timeout", LOCK_TIMEOUT);
	snprintf(number, sizeof(number), INT64_FORMAT, frontier);
	Async_Notify(CHANNEL, number);
	end_work();
	if (pg_atomic_read_u32(&served->log) == frontier_log)
		pg_atomic_write_u64(&served->announced, frontier);
	quiet_until = from_now(se_notify_interval);
	announcing.at = DT_NOEND;
}

/* Prune by the rule, and note what comes of it. */
static void
prune_by_rule(const SeStore *store)
{
	SeFrontier	found;
	int64		pruned;
	TimestampTz next;
	bool		has_rule = se_retention_enforce(store, &found, &pruned, &next);

	retaining.at = next;
	if (!has_rule)
		return;

	/* With a rule, something can come due while nobody writes. */
	(void) serve_entry(se_registry_try_attach(store->log));
	if (pruned > 0)
	{
		active_at = GetCurrentTimestamp();
		se_vacuum_note_pruned(pruned, found.frontier - found.floor - pruned,
							  GetTopTransactionIdIfAny());
	}
	if (se_vacuum_wanted() && vacuuming.at == DT_NOEND)
		vacuuming.at = TimestampTzPlusMilliseconds(vacuumed_at, VACUUM_MS);
}

/*
 * Enforce the retention rule, on a limited number of batches.
 */
static void
retain(void)
{
	const SeStore *store;
	bool		missing;

	retained_at = GetCurrentTimestamp();
	retained_frontier = frontier;
	retaining.at = from_now(LOCKED_RETRY_MS);
	store = begin_work("storeengine: enforcing the retention rule", &missing);
	set_locally("lock_timeout", LOCK_TIMEOUT);
	if (store != NULL)
		prune_by_rule(store);
	end_work();
}

/*
 * Have the space of pruned batches used again.
 */
static void
vacuum(void)
{
	const SeStore *store;
	bool		missing;
	bool		done;

	store = begin_work("storeengine: vacuuming the batch log", &missing);
	done = store != NULL && se_vacuum_log(store);
	end_work();
	if (done)
	{
		vacuumed_at = GetCurrentTimestamp();
		vacuuming.at = DT_NOEND;
		horizon_delay = 0;
	}
	else
	{
		horizon_delay = Min(Max(2 * horizon_delay, HORIZON_MIN_MS), HORIZON_MAX_MS);
		vacuuming.at = from_now(horizon_delay);
	}
}

/*
 * Remember an error for store_status.  The copy of it goes with a context of
 * its own: FreeErrorData() leaves part of it behind.
 */
static void
note_error(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "storeengine error",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	ErrorData  *error = CopyErrorData();
	int			len = strlen(error->message);

	len = pg_mbcliplen(error->message, len, SE_ERROR_LEN - 1);
	error->message[len] = '\0';
	if (served != NULL)
		se_registry_note_error(served, error->message);
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
}

/*
 * Get over the failure of a duty, which is the current error.  The time to
 * wait goes on from that of a predecessor of ours, if it was no better off.
 */
static void
recover(Duty *duty)
{
	int			delay = duty->delay;
	char		last_error[SE_ERROR_LEN];
	TimestampTz last_error_at = served == NULL ? 0 : se_registry_last_error(served, last_error);

	HOLD_INTERRUPTS();
	EmitErrorReport();
	note_error();
	AbortCurrentTransaction();
	FlushErrorState();
	pgstat_report_activity(STATE_IDLE, NULL);
	RESUME_INTERRUPTS();

	if (served != NULL && from_now(-2 * RETRY_MAX_MS) < last_error_at)
		delay = Max(delay, (int) pg_atomic_read_u32(&served->retry_delay));
	duty->delay = Min(Max(2 * delay, RETRY_MIN_MS), RETRY_MAX_MS);
	duty->not_before = from_now(duty->delay);
	if (served != NULL)
		pg_atomic_write_u32(&served->retry_delay, duty->delay);
}

/* Perform a duty if it is time to. */
static void
perform(Duty *duty)
{
	TimestampTz now = GetCurrentTimestamp();

	if (duty->at > now || duty->not_before > now)
		return;
	PG_TRY();
	{
		duty->perform();
		if (duty->delay > 0 && served != NULL)
			pg_atomic_write_u32(&served->retry_delay, 0);
		duty->delay = 0;
	}
	PG_CATCH();
	{
		recover(duty);
	}
	PG_END_TRY();
}

/* Do between rounds what is due, as far as it can be done. */
static void
perform_duties(void)
{
	announcing.at = served != NULL && !all_announced(served) ? quiet_until : DT_NOEND;
	if (frontier != retained_frontier)
		retaining.at = Min(retaining.at,
						   TimestampTzPlusMilliseconds(retained_at, RETENTION_MS));
	perform(&announcing);
	perform(&retaining);
	perform(&vacuuming);
}

/* Tell when a duty is to be performed. */
static TimestampTz
time_of(const Duty *duty)
{
	return Max(duty->at, duty->not_before);
}

/* Tell when the next duty is to be performed. */
static TimestampTz
next_duty(void)
{
	return Min(time_of(&announcing), Min(time_of(&retaining), time_of(&vacuuming)));
}

/*
 * Called when the worker exits.  If it exits by an error, its work is not
 * done, and the launcher shall start another one; and when a duty is due.
 * Pruned batches are left to autovacuum.
 */
static void
leave(int code, Datum arg)
{
	TimestampTz due = Min(time_of(&announcing), time_of(&retaining));

	if (served == NULL)
		return;
	if (code != 0)
		pg_atomic_exchange_u32(&served->requested, 1);
	pg_atomic_write_u64(&served->due, due == DT_NOEND || due == DT_NOBEGIN ? 0 : Max(due, 1));
	se_registry_leave_worker(served);
}

/* Sleep until somebody has something to say, or it is time. */
static void
nap(TimestampTz end)
{
	long		left = -1;

	if (end != DT_NOEND)
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);
	(void) WaitLatch(MyLatch,
					 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (left >= 0 ? WL_TIMEOUT : 0),
					 left, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/*
 * Tell when we can leave.  Not while sessions wait; and not before we are on
 * call, unless it is for a duty that fails and will be due again.
 */
static TimestampTz
time_to_leave(void)
{
	if (served != NULL && waiters > 0)
		(void) se_registry_lowest_awaited(served, frontier, &waiters);
	if (waiters > 0 || (!on_call && announcing.delay == 0))
		return DT_NOEND;
	return active_at == DT_NOBEGIN ? DT_NOBEGIN :
		TimestampTzPlusMilliseconds(active_at, LINGER_MS);
}

/*
 * Sleep until there is something to do; false if it is time to leave.  To be on
 * call takes a round after listeners can be told at once again.
 */
static bool
wait_for_work(void)
{
	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		TimestampTz next = next_duty();
		TimestampTz leave_at = time_to_leave();

		if (!on_call && served != NULL && all_announced(served))
			next = Min(next, quiet_until);
		if (next <= now || (served != NULL && pg_atomic_read_u32(&served->requested) != 0))
			return true;
		if (leave_at <= now)
			return false;
		nap(Min(next, leave_at));
	}
}

/* Work until there is nothing to do. */
static void
work(void)
{
	RoundResult result;

	do
	{
		CHECK_FOR_INTERRUPTS();
		result = worker_round();
		if (result == ROUND_DONE || result == ROUND_MORE)
			perform_duties();
		if (result == ROUND_LOCKED)
			nap(from_now(LOCKED_RETRY_MS));
	}
	while (result == ROUND_MORE || result == ROUND_LOCKED ||
		   (result == ROUND_DONE && wait_for_work()));
}

/*
 * The worker of the database whose OID is the argument.
 */
void
se_worker_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	before_shmem_exit(leave, (Datum) 0);
	pin_settings();

	PG_TRY();
	{
		work();
	}
	PG_CATCH();
	{
		note_error();
		PG_RE_THROW();
	}
	PG_END_TRY();
	proc_exit(0);
}
