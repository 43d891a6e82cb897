/*
 * registry_memory.h
 *		The registry as it is laid out, for the modules of the registry alone.
 */
#ifndef SE_REGISTRY_MEMORY_H
#define SE_REGISTRY_MEMORY_H

#include "registry.h"
#include "storage/lwlock.h"

/* What one backend may hold.  Written by that backend alone. */
typedef struct SeSlot
{
	pg_atomic_uint64 bound;		/* lowest number it may hold, 0 if none */
	pg_atomic_uint64 since;		/* when it took that number */
	pg_atomic_uint32 pid;
	pg_atomic_uint32 store;		/* index of its store's entry */
	pg_atomic_uint64 awaited;	/* number it waits for, 0 if none */
	pg_atomic_uint32 procno;	/* proc number, while it waits */
} SeSlot;

/* Slots are written often and by different processors: keep them apart. */
typedef union SePaddedSlot
{
	SeSlot		slot;
	char		pad[PG_CACHE_LINE_SIZE];
} SePaddedSlot;

typedef struct SeRegistry
{
	LWLock	   *lock;			/* protects the claiming of entries */
	pg_atomic_uint32 launcher;	/* proc number plus one, or 0 */
	pg_atomic_uint32 starved;	/* was there no process for the last worker? */
	pg_atomic_uint32 visit;		/* database to be visited, 0 when it was */
	int			nslots;
	int			nstores;
	SePaddedSlot *slots;
	SeShared	stores[FLEXIBLE_ARRAY_MEMBER];
} SeRegistry;

/* NULL without the library preloaded. */
extern SeRegistry *se_registry;

extern SeShared *se_registry_find_database_locked(Oid database);

#endif							/* SE_REGISTRY_MEMORY_H */
