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
#include "registry_memory.h"

#define TRANCHE_NAME "storeengine"

int			se_max_databases;

SeRegistry *se_registry = NULL;

/* Size of the registry itself, without the slots. */
static Size
registry_size(void)
{
	return MAXALIGN(add_size(offsetof(SeRegistry, stores),
							 mul_size(se_max_databases, sizeof(SeShared))));
}

/* Size of the slots, aligned to a cache line. */
static Size
slots_size(void)
{
	return add_size(mul_size(MaxBackends, sizeof(SePaddedSlot)),
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
	pg_atomic_write_u64(&shared->looks, 0);
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
	pg_atomic_init_u64(&shared->looks, 0);
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
init_slot(SeSlot *slot)
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
	se_registry = ShmemInitStruct("storeengine registry", registry_size(), &found);
	slots = ShmemInitStruct("storeengine slots", slots_size(), &found);
	if (!found)
	{
		se_registry->lock = &(GetNamedLWLockTranche(TRANCHE_NAME))->lock;
		se_registry->nslots = MaxBackends;
		se_registry->nstores = se_max_databases;
		se_registry->slots = (SePaddedSlot *) TYPEALIGN(PG_CACHE_LINE_SIZE, slots);
		pg_atomic_init_u32(&se_registry->launcher, 0);
		pg_atomic_init_u32(&se_registry->starved, 0);
		pg_atomic_init_u32(&se_registry->visit, InvalidOid);
		for (int i = 0; i < se_registry->nslots; i++)
			init_slot(&se_registry->slots[i].slot);
		for (int i = 0; i < se_registry->nstores; i++)
			init_shared(&se_registry->stores[i]);
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * Tell whether the library was preloaded, without which nobody can write.
 */
bool
se_registry_available(void)
{
	return se_registry != NULL;
}

/*
 * Raise 55000 unless the library was preloaded.
 */
void
se_registry_check_available(void)
{
	if (se_registry == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("storeengine must be loaded when the server starts to be written to"),
				 errhint("Add storeengine to shared_preload_libraries in postgresql.conf and restart the server.")));
}

/*
 * Find the entry of a database, or a free one for InvalidOid; NULL if there is
 * none.  The caller holds the lock.
 */
SeShared *
se_registry_find_database_locked(Oid database)
{
	for (int i = 0; i < se_registry->nstores; i++)
	{
		if (se_registry->stores[i].database == database)
			return &se_registry->stores[i];
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

	if (se_registry == NULL || mine != NULL)
		return mine;
	LWLockAcquire(se_registry->lock, LW_SHARED);
	mine = se_registry_find_database_locked(MyDatabaseId);
	LWLockRelease(se_registry->lock);
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

	LWLockAcquire(se_registry->lock, LW_EXCLUSIVE);
	shared = se_registry_find_database_locked(MyDatabaseId);
	if (shared == NULL)
		shared = se_registry_find_database_locked(InvalidOid);
	if (shared != NULL &&
		(shared->database != MyDatabaseId || pg_atomic_read_u32(&shared->log) != log))
		reset_shared(shared, MyDatabaseId, log);
	LWLockRelease(se_registry->lock);
	return shared;
}

/* Free the entries of databases that have been dropped. */
static void
reclaim_entries(void)
{
	for (int i = 0; i < se_registry->nstores; i++)
	{
		Oid			database = se_registry->stores[i].database;

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

	if (shared != NULL || se_registry == NULL)
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
				 errdetail("All %d places are taken.", se_registry->nstores),
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

	LWLockAcquire(se_registry->lock, LW_EXCLUSIVE);
	shared = se_registry_find_database_locked(database);
	if (shared != NULL)
	{
		reset_shared(shared, InvalidOid, InvalidOid);
		pg_atomic_write_u32(&shared->requested, 0);
	}
	LWLockRelease(se_registry->lock);
}

/*
 * Read the history of a store; false if nobody has begun one.
 */
bool
se_registry_history(SeShared *shared, SeHistory *history)
{
	LWLockAcquire(se_registry->lock, LW_SHARED);
	*history = shared->history;
	LWLockRelease(se_registry->lock);
	return history->ordinal != 0;
}

/*
 * Make a history that of a store, in place of another one, whose ordinal is 0
 * if there was none; unless somebody came first.
 */
void
se_registry_propose_history(SeShared *shared, const SeHistory *old, const SeHistory *history)
{
	LWLockAcquire(se_registry->lock, LW_EXCLUSIVE);
	if (shared->history.ordinal == 0 ||
		(old->ordinal != 0 && memcmp(&shared->history.name, &old->name, sizeof(pg_uuid_t)) == 0))
		shared->history = *history;
	LWLockRelease(se_registry->lock);
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
static SeSlot *
my_slot(void)
{
	int			index = se_my_backend_index();

	Assert(index >= 0 && index < se_registry->nslots);
	return &se_registry->slots[index].slot;
}

/*
 * Announce that this transaction may hold numbers from bound upwards.  A
 * full barrier: whatever the caller does next comes after it.
 */
void
se_registry_publish(SeShared *shared, uint64 bound)
{
	SeSlot	   *slot = my_slot();

	Assert(pg_atomic_read_u64(&slot->bound) == 0);
	pg_atomic_write_u32(&slot->pid, MyProcPid);
	pg_atomic_write_u32(&slot->store, shared - se_registry->stores);
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
	uint32		store = shared - se_registry->stores;

	memset(holder, 0, sizeof(SeHolder));
	pg_memory_barrier();
	for (int i = 0; i < se_registry->nslots; i++)
	{
		SeSlot	   *slot = &se_registry->slots[i].slot;
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
	SeSlot	   *slot = my_slot();

	pg_atomic_write_u32(&slot->store, shared - se_registry->stores);
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
slot_awaits(SeSlot *slot, uint32 store)
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
	uint32		store = shared - se_registry->stores;

	pg_memory_barrier();
	for (int i = 0; i < se_registry->nslots; i++)
	{
		SeSlot	   *slot = &se_registry->slots[i].slot;
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
	uint32		store = shared - se_registry->stores;
	uint64		lowest = PG_UINT64_MAX;

	*count = 0;
	pg_memory_barrier();
	for (int i = 0; i < se_registry->nslots; i++)
	{
		uint64		awaited = slot_awaits(&se_registry->slots[i].slot, store);

		if (awaited == 0)
			continue;
		(*count)++;
		if (awaited > above && awaited < lowest)
			lowest = awaited;
	}
	return lowest;
}
