/*
 * registry_processes.c
 *		What the registry knows of the launcher and of the workers.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "registry_memory.h"

/* Set the latch of a process, given its proc number plus one, or 0. */
static bool
wake_process(uint32 process)
{
	if (process == 0)
		return false;
	SetLatch(se_proc_latch(process - 1));
	return true;
}

/*
 * Have the worker look at a store.  Only flags and latches: for use in the
 * callbacks at the end of a transaction, too.  Whoever raised the flag before
 * us sees to the latch.
 */
void
se_registry_request_worker(SeShared *shared)
{
	if (pg_atomic_exchange_u32(&shared->requested, 1) != 0)
		return;
	if (!wake_process(pg_atomic_read_u32(&shared->worker)))
		(void) wake_process(pg_atomic_read_u32(&se_registry->launcher));
}

/*
 * Have the worker, if there is one, see whether it is still needed.  Only a
 * latch.
 */
void
se_registry_nudge_worker(SeShared *shared)
{
	(void) wake_process(pg_atomic_read_u32(&shared->worker));
}

/*
 * Become the worker of a store; false if another process is.
 */
bool
se_registry_claim_worker(SeShared *shared)
{
	uint32		nobody = 0;

	return pg_atomic_compare_exchange_u32(&shared->worker, &nobody,
										  se_my_proc_number() + 1);
}

/*
 * Stop being the worker of a store, if this process is.  Work that was
 * requested meanwhile, or comes due later, is the launcher's.
 */
void
se_registry_leave_worker(SeShared *shared)
{
	uint32		me = se_my_proc_number() + 1;

	if (!pg_atomic_compare_exchange_u32(&shared->worker, &me, 0))
		return;
	if (pg_atomic_read_u32(&shared->requested) != 0 ||
		pg_atomic_read_u64(&shared->due) != 0)
		(void) wake_process(pg_atomic_read_u32(&se_registry->launcher));
}

/* The process ID behind a proc number plus one, 0 for none. */
static int
process_pid(uint32 process)
{
	return process == 0 ? 0 : ProcGlobal->allProcs[process - 1].pid;
}

/*
 * Tell the process ID of a store's worker, 0 if none is running.
 */
int
se_registry_worker_pid(SeShared *shared)
{
	return process_pid(pg_atomic_read_u32(&shared->worker));
}

/*
 * Remember what went wrong in the worker.
 */
void
se_registry_note_error(SeShared *shared, const char *message)
{
	LWLockAcquire(se_registry->lock, LW_EXCLUSIVE);
	strlcpy(shared->error, message, SE_ERROR_LEN);
	shared->error_at = GetCurrentTimestamp();
	LWLockRelease(se_registry->lock);
}

/*
 * Tell when something last went wrong in the worker, 0 for never, and what;
 * there is room for SE_ERROR_LEN bytes.
 */
TimestampTz
se_registry_last_error(SeShared *shared, char *message)
{
	TimestampTz at;

	LWLockAcquire(se_registry->lock, LW_SHARED);
	at = shared->error_at;
	strlcpy(message, shared->error, SE_ERROR_LEN);
	LWLockRelease(se_registry->lock);
	return at;
}

/*
 * Become the launcher, or stop being it.
 */
void
se_registry_set_launcher(bool running)
{
	pg_atomic_exchange_u32(&se_registry->launcher,
						   running ? se_my_proc_number() + 1 : 0);
}

/*
 * Tell the process ID of the launcher, 0 if it is not running.
 */
int
se_registry_launcher_pid(void)
{
	return process_pid(pg_atomic_read_u32(&se_registry->launcher));
}

/*
 * Note whether the launcher found a process for the last worker it started.
 */
void
se_registry_set_starved(bool starved)
{
	pg_atomic_write_u32(&se_registry->starved, starved);
}

/*
 * Tell whether the launcher cannot start workers.
 */
bool
se_registry_starved(void)
{
	return pg_atomic_read_u32(&se_registry->starved) != 0;
}

/*
 * Have it noted when a worker finishes a round in a database.
 */
void
se_registry_begin_visit(Oid database)
{
	pg_atomic_exchange_u32(&se_registry->visit, database);
}

/*
 * Note that a worker has finished a round in this database.
 */
void
se_registry_note_visit(void)
{
	uint32		database = MyDatabaseId;

	(void) pg_atomic_compare_exchange_u32(&se_registry->visit, &database, InvalidOid);
}

/*
 * Tell whether a worker has finished a round since se_registry_begin_visit().
 */
bool
se_registry_visit_done(void)
{
	return pg_atomic_read_u32(&se_registry->visit) == InvalidOid;
}

/*
 * List the databases whose stores have work and no worker; returns how many.
 * *next_due becomes the time when the next of the others has, or DT_NOEND.
 */
int
se_registry_requests(Oid *databases, int room, TimestampTz *next_due)
{
	TimestampTz now = GetCurrentTimestamp();
	int			count = 0;

	*next_due = DT_NOEND;
	LWLockAcquire(se_registry->lock, LW_SHARED);
	for (int i = 0; i < se_registry->nstores && count < room; i++)
	{
		SeShared   *shared = &se_registry->stores[i];
		TimestampTz due = (TimestampTz) pg_atomic_read_u64(&shared->due);

		if (!OidIsValid(shared->database) ||
			pg_atomic_read_u32(&shared->worker) != 0)
			continue;
		if (pg_atomic_read_u32(&shared->requested) != 0 || (due != 0 && due <= now))
			databases[count++] = shared->database;
		else if (due != 0 && due < *next_due)
			*next_due = due;
	}
	LWLockRelease(se_registry->lock);
	return count;
}

/*
 * Tell whether the worker of a database ended and left what it was asked to do:
 * because it failed, most likely.
 */
bool
se_registry_left_undone(Oid database)
{
	SeShared   *shared;
	bool		result;

	LWLockAcquire(se_registry->lock, LW_SHARED);
	shared = se_registry_find_database_locked(database);
	result = shared != NULL && pg_atomic_read_u32(&shared->requested) != 0 &&
		pg_atomic_read_u32(&shared->worker) == 0;
	LWLockRelease(se_registry->lock);
	return result;
}
