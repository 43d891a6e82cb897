/*
 * registry.c
 *		The shared memory: one slot per backend, one entry per store.
 *
 * A slot says which numbers its backend's transaction may hold: all from its
 * bound upwards.  It is published before the sequence is asked for a number
 * and withdrawn after the transaction has left the proc array, so that
 *
 *		a number below every published bound, which the sequence is known to
 *		have given out, is decided: any snapshot taken afterwards shows its
 *		row, or it has none.
 *
 * Slots are written by their backends alone and read without a lock; the
 * atomics used are full barriers where the order matters.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "registry.h"

#define TRANCHE_NAME "storeengine"

/* What one backend may hold.  Written by that backend alone. */
typedef struct Slot
{
	pg_atomic_uint64 bound;		/* lowest number it may hold, 0 if none */
	pg_atomic_uint64 since;		/* when it took that number */
	pg_atomic_uint32 pid;
	pg_atomic_uint32 store;		/* index of its store's entry */
	pg_atomic_uint64 awaited;	/* number it waits for, 0 if none */
	pg_atomic_uint32 procno;	/* proc number, while it waits */
} Slot;

/* Slots are written often and by different processors: keep them apart. */
typedef union PaddedSlot
{
	Slot		slot;
	char		pad[PG_CACHE_LINE_SIZE];
} PaddedSlot;

typedef struct Registry
{
	LWLock	   *lock;			/* protects the claiming of entries */
	pg_atomic_uint32 launcher;	/* proc number plus one, or 0 */
	pg_atomic_uint32 starved;	/* was there no process for the last worker? */
	pg_atomic_uint32 visit;		/* database to be visited, 0 when it was */
	int			nslots;
	int			nstores;
	PaddedSlot *slots;
	SeShared	stores[FLEXIBLE_ARRAY_MEMBER];
} Registry;

int			se_max_databases;

static Registry *registry = NULL;

/* Size of the registry itself, without the slots. */
static Size
registry_size(void)
{
	return MAXALIGN(add_size(offsetof(Registry, stores),
							 mul_size(se_max_databases, sizeof(SeShared))));
}

/* Size of the slots, aligned to a cache line. */
static Size
slots_size(void)
{
	return add_size(mul_size(MaxBackends, sizeof(PaddedSlot)),
					PG_CACHE_LINE_SIZE);
}

/*
 * Ask for our memory and lock; for shmem_request_hook.
 */
void
se_registry_request_memory(void)
{
	RequestAddinShmemSpace(add_size(registry_size(), slots_size()));
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

/* Bring an entry's counters to where a new store starts. */
static void
reset_shared(SeShared *shared, Oid database, Oid log)
{
	shared->database = database;
	shared->error_at = 0;
	shared->history.ordinal = 0;
	pg_atomic_write_u32(&shared->history_noted, 0);
	pg_atomic_write_u64(&shared->complete, 0);
	pg_atomic_write_u64(&shared->allocated, 0);
	pg_atomic_write_u64(&shared->advance_at, 0);
	pg_atomic_write_u64(&shared->suspect, 0);
	pg_atomic_write_u64(&shared->wake_below, 0);
	pg_atomic_write_u64(&shared->wake_from, 0);
	pg_atomic_write_u64(&shared->announced, 0);
	pg_atomic_write_u64(&shared->due, 0);
	pg_atomic_write_u32(&shared->retry_delay, 0);
	pg_write_barrier();
	pg_atomic_write_u32(&shared->log, log);
}

/* Initialise the atomics of an entry. */
static void
init_shared(SeShared *shared)
{
	pg_atomic_init_u32(&shared->log, InvalidOid);
	pg_atomic_init_u64(&shared->complete, 0);
	pg_atomic_init_u64(&shared->allocated, 0);
	pg_atomic_init_u64(&shared->advance_at, 0);
	pg_atomic_init_u64(&shared->suspect, 0);
	pg_atomic_init_u64(&shared->wake_below, 0);
	pg_atomic_init_u64(&shared->wake_from, 0);
	pg_atomic_init_u64(&shared->announced, 0);
	pg_atomic_init_u64(&shared->due, 0);
	pg_atomic_init_u32(&shared->requested, 0);
	pg_atomic_init_u32(&shared->rule_changed, 0);
	pg_atomic_init_u32(&shared->worker, 0);
	pg_atomic_init_u32(&shared->retry_delay, 0);
	pg_atomic_init_u32(&shared->history_noted, 0);
	shared->history.ordinal = 0;
	shared->error_at = 0;
	shared->database = InvalidOid;
}

/* Initialise the atomics of a slot. */
static void
init_slot(Slot *slot)
{
	pg_atomic_init_u64(&slot->bound, 0);
	pg_atomic_init_u64(&slot->since, 0);
	pg_atomic_init_u32(&slot->pid, 0);
	pg_atomic_init_u32(&slot->store, 0);
	pg_atomic_init_u64(&slot->awaited, 0);
	pg_atomic_init_u32(&slot->procno, 0);
}

/*
 * Set our memory up, or find it; for shmem_startup_hook.
 */
void
se_registry_init_memory(void)
{
	bool		found;
	char	   *slots;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	registry = ShmemInitStruct("storeengine registry", registry_size(), &found);
	slots = ShmemInitStruct("storeengine slots", slots_size(), &found);
	if (!found)
	{
		registry->lock = &(GetNamedLWLockTranche(TRANCHE_NAME))->lock;
		registry->nslots = MaxBackends;
		registry->nstores = se_max_databases;
		registry->slots = (PaddedSlot *) TYPEALIGN(PG_CACHE_LINE_SIZE, slots);
		pg_atomic_init_u32(&registry->launcher, 0);
		pg_atomic_init_u32(&registry->starved, 0);
		pg_atomic_init_u32(&registry->visit, InvalidOid);
		for (int i = 0; i < registry->nslots; i++)
			init_slot(&registry->slots[i].slot);
		for (int i = 0; i < registry->nstores; i++)
			init_shared(&registry->stores[i]);
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * Tell whether the library was preloaded, without which nobody can write.
 */
bool
se_registry_available(void)
{
	return registry != NULL;
}

/*
 * Raise 55000 unless the library was preloaded.
 */
void
se_registry_check_available(void)
{
	if (registry == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("storeengine must be loaded when the server starts to be written to"),
				 errhint("Add storeengine to shared_preload_libraries in postgresql.conf and restart the server.")));
}

/* Find the entry of a database.  The caller holds the lock. */
static SeShared *
find_database(Oid database)
{
	for (int i = 0; i < registry->nstores; i++)
	{
		if (registry->stores[i].database == database)
			return &registry->stores[i];
	}
	return NULL;
}

/*
 * Find this database's entry, whichever store it is for; NULL if there is
 * none, also without the library preloaded.
 */
SeShared *
se_registry_of_database(void)
{
	/* Entries stay while the database is there, so one look-up is enough. */
	static SeShared *mine = NULL;

	if (registry == NULL || mine != NULL)
		return mine;
	LWLockAcquire(registry->lock, LW_SHARED);
	mine = find_database(MyDatabaseId);
	LWLockRelease(registry->lock);
	return mine;
}

/*
 * Find this database's entry for the store with the given log table; NULL if
 * there is none.
 */
SeShared *
se_registry_find(Oid log)
{
	SeShared   *shared = se_registry_of_database();

	if (shared == NULL || pg_atomic_read_u32(&shared->log) != log)
		return NULL;
	pg_read_barrier();			/* pairs with reset_shared() */
	return shared;
}

/* Claim or reset the entry of this database; NULL if all are in use. */
static SeShared *
claim_entry(Oid log)
{
	SeShared   *shared;

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	shared = find_database(MyDatabaseId);
	if (shared == NULL)
		shared = find_database(InvalidOid);
	if (shared != NULL &&
		(shared->database != MyDatabaseId || pg_atomic_read_u32(&shared->log) != log))
		reset_shared(shared, MyDatabaseId, log);
	LWLockRelease(registry->lock);
	return shared;
}

/* Free the entries of databases that have been dropped. */
static void
reclaim_entries(void)
{
	for (int i = 0; i < registry->nstores; i++)
	{
		Oid			database = registry->stores[i].database;

		if (OidIsValid(database) &&
			!SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database)))
			se_registry_forget_database(database);
	}
}

/*
 * Find or claim the entry for the store with the given log table, on which
 * the caller holds a lock: that keeps a store and its successor from being
 * attached to at once.  NULL when there are more stores than entries, or the
 * library was not preloaded.
 */
SeShared *
se_registry_try_attach(Oid log)
{
	SeShared   *shared = se_registry_find(log);

	if (shared != NULL || registry == NULL)
		return shared;

	shared = claim_entry(log);
	if (shared == NULL)
	{
		reclaim_entries();
		shared = claim_entry(log);
	}
	return shared;
}

/*
 * As se_registry_try_attach(), but raise 55000 without the library preloaded
 * and 53400 when there are more stores than entries.
 */
SeShared *
se_registry_attach(Oid log)
{
	SeShared   *shared;

	se_registry_check_available();
	shared = se_registry_try_attach(log);
	if (shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many databases use storeengine"),
				 errdetail("All %d places are taken.", registry->nstores),
				 errhint("Raise storeengine.max_databases and restart the server.")));
	return shared;
}

/*
 * Free the entry of a database that has been dropped, so that nobody can be
 * attached to it.
 */
void
se_registry_forget_database(Oid database)
{
	SeShared   *shared;

	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	shared = find_database(database);
	if (shared != NULL)
	{
		reset_shared(shared, InvalidOid, InvalidOid);
		pg_atomic_write_u32(&shared->requested, 0);
	}
	LWLockRelease(registry->lock);
}

/*
 * Read the history of a store; false if nobody has begun one.
 */
bool
se_registry_history(SeShared *shared, SeHistory *history)
{
	LWLockAcquire(registry->lock, LW_SHARED);
	*history = shared->history;
	LWLockRelease(registry->lock);
	return history->ordinal != 0;
}

/*
 * Make a history that of a store, unless somebody came first: then take that
 * one.
 */
void
se_registry_propose_history(SeShared *shared, SeHistory *history)
{
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	if (shared->history.ordinal == 0)
		shared->history = *history;
	else
		*history = shared->history;
	LWLockRelease(registry->lock);
}

/*
 * Raise a shared number to a value, unless it is there already.
 */
void
se_registry_raise(pg_atomic_uint64 *variable, uint64 value)
{
	uint64		current = pg_atomic_read_u64(variable);

	while (current < value &&
		   !pg_atomic_compare_exchange_u64(variable, &current, value))
		;
}

/* The slot of this backend. */
static Slot *
my_slot(void)
{
	int			index = se_my_backend_index();

	Assert(index >= 0 && index < registry->nslots);
	return &registry->slots[index].slot;
}

/*
 * Announce that this transaction may hold numbers from bound upwards.  A
 * full barrier: whatever the caller does next comes after it.
 */
void
se_registry_publish(SeShared *shared, uint64 bound)
{
	Slot	   *slot = my_slot();

	Assert(pg_atomic_read_u64(&slot->bound) == 0);
	pg_atomic_write_u32(&slot->pid, MyProcPid);
	pg_atomic_write_u32(&slot->store, shared - registry->stores);
	pg_atomic_write_u64(&slot->since, GetCurrentTimestamp());
	pg_atomic_exchange_u64(&slot->bound, bound);
}

/*
 * Raise this transaction's bound to the number it got.  A full barrier.
 */
void
se_registry_refine(uint64 bound)
{
	pg_atomic_exchange_u64(&my_slot()->bound, bound);
}

/*
 * Announce that this transaction holds no number any more, which must have
 * left the proc array.  A full barrier.  Raises nothing.
 */
void
se_registry_withdraw(void)
{
	pg_atomic_exchange_u64(&my_slot()->bound, 0);
}

/*
 * Find the writer with the lowest bound and count them all.
 */
void
se_registry_lowest(SeShared *shared, SeHolder *holder)
{
	uint32		store = shared - registry->stores;

	memset(holder, 0, sizeof(SeHolder));
	pg_memory_barrier();
	for (int i = 0; i < registry->nslots; i++)
	{
		Slot	   *slot = &registry->slots[i].slot;
		uint64		bound = pg_atomic_read_u64(&slot->bound);

		if (bound == 0 || pg_atomic_read_u32(&slot->store) != store)
			continue;
		holder->in_flight++;
		if (holder->bound == 0 || bound < holder->bound)
		{
			holder->bound = bound;
			holder->pid = (int) pg_atomic_read_u32(&slot->pid);
			holder->since = (TimestampTz) pg_atomic_read_u64(&slot->since);
		}
	}
}

/*
 * Announce that this session waits until a number is complete.  A full
 * barrier: the caller looks again afterwards.
 */
void
se_registry_await(SeShared *shared, uint64 number)
{
	Slot	   *slot = my_slot();

	pg_atomic_write_u32(&slot->store, shared - registry->stores);
	pg_atomic_write_u32(&slot->procno, se_my_proc_number());
	pg_atomic_exchange_u64(&slot->awaited, number);
}

/*
 * Announce that this session waits no more.
 */
void
se_registry_stop_awaiting(void)
{
	pg_atomic_write_u64(&my_slot()->awaited, 0);
}

/* Tell the number that a slot's session waits for in a store, 0 for none. */
static uint64
slot_awaits(Slot *slot, uint32 store)
{
	uint64		awaited = pg_atomic_read_u64(&slot->awaited);

	return awaited != 0 && pg_atomic_read_u32(&slot->store) == store ? awaited : 0;
}

/*
 * Wake the sessions that wait for numbers up to the one reached.  A session
 * that is woken in error, because its slot's owner has just changed, looks and
 * sleeps on.
 */
void
se_registry_wake_waiters(SeShared *shared, uint64 reached)
{
	uint32		store = shared - registry->stores;

	pg_memory_barrier();
	for (int i = 0; i < registry->nslots; i++)
	{
		Slot	   *slot = &registry->slots[i].slot;
		uint64		awaited = slot_awaits(slot, store);

		if (awaited != 0 && awaited <= reached)
			SetLatch(se_proc_latch(pg_atomic_read_u32(&slot->procno)));
	}
}

/*
 * Tell the lowest number above one that a session waits for, PG_UINT64_MAX if
 * there is none, and how many sessions wait for any.
 */
uint64
se_registry_lowest_awaited(SeShared *shared, uint64 above, int *count)
{
	uint32		store = shared - registry->stores;
	uint64		lowest = PG_UINT64_MAX;

	*count = 0;
	pg_memory_barrier();
	for (int i = 0; i < registry->nslots; i++)
	{
		uint64		awaited = slot_awaits(&registry->slots[i].slot, store);

		if (awaited == 0)
			continue;
		(*count)++;
		if (awaited > above && awaited < lowest)
			lowest = awaited;
	}
	return lowest;
}

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
		(void) wake_process(pg_atomic_read_u32(&registry->launcher));
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
		(void) wake_process(pg_atomic_read_u32(&registry->launcher));
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
	LWLockAcquire(registry->lock, LW_EXCLUSIVE);
	strlcpy(shared->error, message, SE_ERROR_LEN);
	shared->error_at = GetCurrentTimestamp();
	LWLockRelease(registry->lock);
}

/*
 * Tell when something last went wrong in the worker, 0 for never, and what;
 * there is room for SE_ERROR_LEN bytes.
 */
TimestampTz
se_registry_last_error(SeShared *shared, char *message)
{
	TimestampTz at;

	LWLockAcquire(registry->lock, LW_SHARED);
	at = shared->error_at;
	strlcpy(message, shared->error, SE_ERROR_LEN);
	LWLockRelease(registry->lock);
	return at;
}

/*
 * Become the launcher, or stop being it.
 */
void
se_registry_set_launcher(bool running)
{
	pg_atomic_exchange_u32(&registry->launcher,
						   running ? se_my_proc_number() + 1 : 0);
}

/*
 * Tell the process ID of the launcher, 0 if it is not running.
 */
int
se_registry_launcher_pid(void)
{
	return process_pid(pg_atomic_read_u32(&registry->launcher));
}

/*
 * Note whether the launcher found a process for the last worker it started.
 */
void
se_registry_set_starved(bool starved)
{
	pg_atomic_write_u32(&registry->starved, starved);
}

/*
 * Tell whether the launcher cannot start workers.
 */
bool
se_registry_starved(void)
{
	return pg_atomic_read_u32(&registry->starved) != 0;
}

/*
 * Have it noted when a worker finishes a round in a database.
 */
void
se_registry_begin_visit(Oid database)
{
	pg_atomic_exchange_u32(&registry->visit, database);
}

/*
 * Note that a worker has finished a round in this database.
 */
void
se_registry_note_visit(void)
{
	uint32		database = MyDatabaseId;

	(void) pg_atomic_compare_exchange_u32(&registry->visit, &database, InvalidOid);
}

/*
 * Tell whether a worker has finished a round since se_registry_begin_visit().
 */
bool
se_registry_visit_done(void)
{
	return pg_atomic_read_u32(&registry->visit) == InvalidOid;
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
	LWLockAcquire(registry->lock, LW_SHARED);
	for (int i = 0; i < registry->nstores && count < room; i++)
	{
		SeShared   *shared = &registry->stores[i];
		TimestampTz due = (TimestampTz) pg_atomic_read_u64(&shared->due);

		if (!OidIsValid(shared->database) ||
			pg_atomic_read_u32(&shared->worker) != 0)
			continue;
		if (pg_atomic_read_u32(&shared->requested) != 0 || (due != 0 && due <= now))
			databases[count++] = shared->database;
		else if (due != 0 && due < *next_due)
			*next_due = due;
	}
	LWLockRelease(registry->lock);
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

	LWLockAcquire(registry->lock, LW_SHARED);
	shared = find_database(database);
	result = shared != NULL && pg_atomic_read_u32(&shared->requested) != 0 &&
		pg_atomic_read_u32(&shared->worker) == 0;
	LWLockRelease(registry->lock);
	return result;
}
