/*
 * registry.h
 *		Who is writing: the state that all sessions share.
 *
 * Nothing here decides what is in the store: the log does.  The registry only
 * knows which numbers may still be undecided, so that a hole is never taken
 * for a slow writer nor a slow writer for a hole.
 */
#ifndef SE_REGISTRY_H
#define SE_REGISTRY_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "utils/uuid.h"

/* As much of an error message as is remembered. */
#define SE_ERROR_LEN 256

/* A course of events: see history.c. */
typedef struct SeHistory
{
	int64		ordinal;		/* its place among them, from 1 on */
	pg_uuid_t	name;
	int64		follows;		/* the last batch from before it */
} SeHistory;

/*
 * What is shared about the store of one database.  The entry is claimed and
 * reset under the registry's lock; otherwise each field says who writes it.
 */
typedef struct SeShared
{
	/* The database, InvalidOid in a free entry.  Written under the lock. */
	Oid			database;

	/*
	 * The OID of the log table, by which a store made anew by DROP and CREATE
	 * EXTENSION is told from its predecessor.  Written under the lock.
	 */
	pg_atomic_uint32 log;

	/*
	 * All batches up to this one have left the proc array and are in the log
	 * or pruned: the stamp of new batches.  Raised by whoever has just walked
	 * the log; never ahead of what a new snapshot shows.
	 */
	pg_atomic_uint64 complete;

	/* The highest number given out since the entry was claimed. */
	pg_atomic_uint64 allocated;

	/* The value of allocated at which the next writer walks the log. */
	pg_atomic_uint64 advance_at;

	/*
	 * The highest number that may be a hole.  Raised by writers that leave
	 * one and by readers that find one.
	 */
	pg_atomic_uint64 suspect;

	/*
	 * A writer whose lowest number is not above the first, or whose highest
	 * is not below the second, wakes the worker when it ends.  Written by the
	 * worker alone.
	 */
	pg_atomic_uint64 wake_below;
	pg_atomic_uint64 wake_from;

	/*
	 * The history that batches written since the entry was claimed belong to;
	 * its ordinal is 0 until somebody writes one.  Under the lock.
	 */
	SeHistory	history;

	/* Is it known to be noted for good?  Set by writers. */
	pg_atomic_uint32 history_noted;

	/* The highest number that listeners were told.  Written by the worker. */
	pg_atomic_uint64 announced;

	/*
	 * When the worker has something to do though nobody asks for it, as a
	 * TimestampTz; 0 for never.  Written by the worker, read by the launcher.
	 */
	pg_atomic_uint64 due;

	/* How often the worker began to look for holes.  Written by the worker. */
	pg_atomic_uint64 looks;

	/* Is there work for the worker?  Set by anyone, cleared by the worker. */
	pg_atomic_uint32 requested;

	/* Has the retention rule been changed?  Likewise. */
	pg_atomic_uint32 rule_changed;

	/* Proc number of the worker plus one, or 0.  Written by the worker. */
	pg_atomic_uint32 worker;

	/* How long to wait after the worker's last failure, in ms.  Its own. */
	pg_atomic_uint32 retry_delay;

	/* The worker's last failure, if error_at is not 0.  Under the lock. */
	TimestampTz error_at;
	char		error[SE_ERROR_LEN];
} SeShared;

/* A writer in flight, as store_status shows it. */
typedef struct SeHolder
{
	uint64		bound;			/* its lowest number, 0 if nobody is in flight */
	int			pid;
	TimestampTz since;
	int			in_flight;		/* how many writers there are */
} SeHolder;

extern int	se_max_databases;

extern void se_registry_request_memory(void);
extern void se_registry_init_memory(void);
extern bool se_registry_available(void);
extern void se_registry_check_available(void);

extern SeShared *se_registry_attach(Oid log);
extern SeShared *se_registry_try_attach(Oid log);
extern SeShared *se_registry_find(Oid log);
extern SeShared *se_registry_of_database(void);
extern bool se_registry_history(SeShared *shared, SeHistory *history);
extern void se_registry_propose_history(SeShared *shared, const SeHistory *old,
										const SeHistory *history);
extern void se_registry_raise(pg_atomic_uint64 *variable, uint64 value);

extern void se_registry_publish(SeShared *shared, uint64 bound);
extern void se_registry_refine(uint64 bound);
extern void se_registry_withdraw(void);
extern void se_registry_lowest(SeShared *shared, SeHolder *holder);

extern void se_registry_await(SeShared *shared, uint64 number);
extern void se_registry_stop_awaiting(void);
extern void se_registry_wake_waiters(SeShared *shared, uint64 reached);
extern uint64 se_registry_lowest_awaited(SeShared *shared, uint64 above, int *count);

extern void se_registry_request_worker(SeShared *shared);
extern void se_registry_nudge_worker(SeShared *shared);
extern bool se_registry_left_undone(Oid database);
extern bool se_registry_claim_worker(SeShared *shared);
extern void se_registry_leave_worker(SeShared *shared);
extern int	se_registry_worker_pid(SeShared *shared);
extern void se_registry_note_error(SeShared *shared, const char *message);
extern TimestampTz se_registry_last_error(SeShared *shared, char *message);

extern void se_registry_set_launcher(bool running);
extern void se_registry_set_starved(bool starved);
extern bool se_registry_starved(void);
extern void se_registry_begin_visit(Oid database);
extern void se_registry_note_visit(void);
extern bool se_registry_visit_done(void);
extern int	se_registry_launcher_pid(void);
extern int	se_registry_requests(Oid *databases, int room, TimestampTz *next_due);
extern void se_registry_forget_database(Oid database);

#endif							/* SE_REGISTRY_H */
