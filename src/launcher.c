/*
 * launcher.c
 *		Start a worker in every database whose store has work.
 *
 * The launcher is connected to no database.  When the server starts, and when
 * a standby is promoted, it sends a worker through all databases, one after
 * the other, to fill what a crash left behind; from then on it starts workers
 * where the registry says that there is something to do, or that it is time
 * to do something.  Workers leave by
 * themselves when there is nothing more.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "registry.h"
#include "worker.h"

/* How long to wait after a worker failed or none could be started. */
#define RETRY_MIN_MS 10
#define RETRY_MAX_MS 30000

/* The launcher itself is restarted this many seconds after a failure. */
#define RESTART_SECONDS 1

/* A database that has, or is to have, a worker. */
typedef struct Charge
{
	Oid			database;
	BackgroundWorkerHandle *handle; /* NULL if no worker is running */
	TimestampTz started_at;		/* of the one that is running, or failed */
	TimestampTz not_before;		/* do not start one earlier */
	int			delay;			/* what to wait after the next failure */
} Charge;

static List *charges = NIL;		/* of Charge, in TopMemoryContext */
static List *unvisited = NIL;	/* OIDs of databases not yet looked at */
static Oid	visited = InvalidOid;	/* the one being looked at */
static bool warned_no_worker = false;

/*
 * Have the postmaster start the launcher; while preloading.  While pg_upgrade
 * is at work nobody else should be.
 */
void
se_launcher_register(void)
{
	BackgroundWorker worker = {0};

	if (IsBinaryUpgrade)
		return;
	strlcpy(worker.bgw_name, "storeengine launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "storeengine launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "storeengine", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "se_launcher_main", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_SECONDS;
	RegisterBackgroundWorker(&worker);
}

/* Ask the postmaster for a worker in a database. */
static bool
start_worker(Charge *charge)
{
	BackgroundWorker worker = {0};

	snprintf(worker.bgw_name, BGW_MAXLEN, "storeengine worker for database %u",
			 charge->database);
	strlcpy(worker.bgw_type, "storeengine worker", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "storeengine", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "se_worker_main", BGW_MAXLEN);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = ObjectIdGetDatum(charge->database);
	worker.bgw_notify_pid = MyProcPid;

	if (RegisterDynamicBackgroundWorker(&worker, &charge->handle))
	{
		charge->started_at = GetCurrentTimestamp();
		warned_no_worker = false;
		se_registry_set_starved(false);
		return true;
	}
	if (!warned_no_worker)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("storeengine could not start a worker"),
				 errdetail("All background worker slots are taken; trying again until one is free."),
				 errhint("Raise max_worker_processes and restart the server.")));
	warned_no_worker = true;
	se_registry_set_starved(true);
	charge->handle = NULL;
	return false;
}

/* Find a database's charge. */
static Charge *
find_charge(Oid database)
{
	ListCell   *lc;

	foreach(lc, charges)
	{
		Charge	   *charge = lfirst(lc);

		if (charge->database == database)
			return charge;
	}
	return NULL;
}

/* Find a database's charge, or make one. */
static Charge *
get_charge(Oid database)
{
	Charge	   *charge = find_charge(database);

	if (charge == NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(TopMemoryContext);

		charge = palloc0(sizeof(Charge));
		charge->database = database;
		charge->delay = RETRY_MIN_MS;
		charges = lappend(charges, charge);
		MemoryContextSwitchTo(old_context);
	}
	return charge;
}

/*
 * Note that a worker failed or could not be started.  One that was there for
 * longer than the last delay is not to pay for its predecessors.
 */
static void
postpone(Charge *charge)
{
	TimestampTz now = GetCurrentTimestamp();

	if (charge->started_at != 0 &&
		now > TimestampTzPlusMilliseconds(charge->started_at, Max(charge->delay, 1000)))
		charge->delay = RETRY_MIN_MS;
	charge->started_at = 0;
	charge->not_before = TimestampTzPlusMilliseconds(now, charge->delay);
	charge->delay = Min(charge->delay * 2, RETRY_MAX_MS);
}

/* List all databases, or those that one can connect to. */
static List *
list_databases(bool only_connectable)
{
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	List	   *databases = NIL;

	StartTransactionCommand();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old_context;

		/* An interrupted DROP DATABASE leaves an invalid one, with limit -2. */
		if (only_connectable && (!form->datallowconn || form->datconnlimit < -1))
			continue;
		old_context = MemoryContextSwitchTo(TopMemoryContext);
		databases = lappend_oid(databases, form->oid);
		MemoryContextSwitchTo(old_context);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	return databases;
}

/* Forget the charges and requests of databases that are gone. */
static void
forget_dropped_databases(void)
{
	List	   *databases = list_databases(false);
	ListCell   *lc;

	foreach(lc, charges)
	{
		Charge	   *charge = lfirst(lc);

		if (charge->handle != NULL || list_member_oid(databases, charge->database))
			continue;
		se_registry_forget_database(charge->database);
		charges = foreach_delete_current(charges, lc);
		pfree(charge);
	}
	list_free(databases);
}

/* Is a database among those with work and no worker? */
static bool
is_requested(Oid database, const Oid *requests, int nrequests)
{
	for (int i = 0; i < nrequests; i++)
	{
		if (requests[i] == database)
			return true;
	}
	return false;
}

/* Forget the charges for which there is nothing to do. */
static void
forget_idle_charges(const Oid *requests, int nrequests)
{
	ListCell   *lc;

	foreach(lc, charges)
	{
		Charge	   *charge = lfirst(lc);

		if (charge->handle != NULL ||
			is_requested(charge->database, requests, nrequests) ||
			list_member_oid(unvisited, charge->database))
			continue;
		charges = foreach_delete_current(charges, lc);
		pfree(charge);
	}
}

/* Look after the workers that have ended; true if one left work undone. */
static bool
collect_ended_workers(void)
{
	bool		any_failed = false;
	ListCell   *lc;

	foreach(lc, charges)
	{
		Charge	   *charge = lfirst(lc);
		pid_t		pid;

		if (charge->handle == NULL ||
			GetBackgroundWorkerPid(charge->handle, &pid) != BGWH_STOPPED)
			continue;
		pfree(charge->handle);
		charge->handle = NULL;
		if (se_registry_left_undone(charge->database))
		{
			postpone(charge);
			any_failed = true;
		}
	}
	return any_failed;
}

/* Start a worker if it is time to; true if there is one now. */
static bool
try_start(Oid database)
{
	Charge	   *charge = get_charge(database);

	if (charge->handle != NULL)
		return true;
	if (charge->not_before > GetCurrentTimestamp())
		return false;
	if (start_worker(charge))
		return true;
	postpone(charge);
	return false;
}

/*
 * Go on with the first visit to all databases, one at a time.  A visit that
 * came to nothing is made up for after the others, as long as the database is
 * there.
 */
static void
visit_databases(void)
{
	Charge	   *charge = OidIsValid(visited) ? find_charge(visited) : NULL;

	if (charge != NULL && charge->handle != NULL)
		return;

	if (OidIsValid(visited) && !se_registry_visit_done())
	{
		List	   *databases = list_databases(true);

		if (list_member_oid(databases, visited))
		{
			MemoryContext old_context = MemoryContextSwitchTo(TopMemoryContext);

			unvisited = lappend_oid(unvisited, visited);
			MemoryContextSwitchTo(old_context);
			postpone(get_charge(visited));
		}
		list_free(databases);
	}
	visited = InvalidOid;

	if (unvisited == NIL)
		return;
	se_registry_begin_visit(linitial_oid(unvisited));
	if (try_start(linitial_oid(unvisited)))
	{
		visited = linitial_oid(unvisited);
		unvisited = list_delete_first(unvisited);
	}
}

/*
 * Tell how many milliseconds to sleep, -1 for as long as nothing happens: until
 * the first of those can be started that we would start now, or the next store
 * has something to do.
 */
static long
time_to_sleep(const Oid *requests, int nrequests, TimestampTz next_due)
{
	TimestampTz now = GetCurrentTimestamp();
	long		least = -1;
	ListCell   *lc;

	if (next_due != DT_NOEND)
		least = TimestampDifferenceMilliseconds(now, next_due);

	foreach(lc, charges)
	{
		Charge	   *charge = lfirst(lc);
		bool		next_visit = !OidIsValid(visited) && unvisited != NIL &&
			charge->database == linitial_oid(unvisited);
		long		left;

		if (charge->handle != NULL ||
			(!next_visit && !is_requested(charge->database, requests, nrequests)))
			continue;
		left = TimestampDifferenceMilliseconds(now, charge->not_before);
		if (least < 0 || left < least)
			least = left;
	}
	return least;
}

/* Do what there is to do, and return how long to sleep. */
static long
launcher_round(void)
{
	Oid		   *requests = palloc(se_max_databases * sizeof(Oid));
	TimestampTz next_due;
	int			nrequests = se_registry_requests(requests, se_max_databases, &next_due);
	long		timeout;

	if (collect_ended_workers())
	{
		forget_dropped_databases();
		nrequests = se_registry_requests(requests, se_max_databases, &next_due);
	}
	for (int i = 0; i < nrequests; i++)
		(void) try_start(requests[i]);
	visit_databases();
	forget_idle_charges(requests, nrequests);

	timeout = time_to_sleep(requests, nrequests, next_due);
	pfree(requests);
	return timeout;
}

/* Called when the launcher exits. */
static void
leave(int code, Datum arg)
{
	se_registry_set_launcher(false);
}

/*
 * The launcher.
 */
void
se_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	before_shmem_exit(leave, (Datum) 0);
	se_registry_set_launcher(true);
	unvisited = list_databases(true);

	for (;;)
	{
		long		timeout;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		timeout = launcher_round();
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout >= 0 ? WL_TIMEOUT : 0),
						 timeout, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}
