/*
 * frontier.h
 *		How far the log is complete.
 */
#ifndef SE_FRONTIER_H
#define SE_FRONTIER_H

#include "registry.h"
#include "store.h"
#include "utils/snapshot.h"

/* What a walk along the log found. */
typedef struct SeFrontier
{
	int64		floor;			/* the highest pruned number */
	int64		frontier;		/* every batch up to here is visible or pruned */
	int64		top;			/* highest visible number that was looked at */
	int64		walked;			/* rows it took to get there */
} SeFrontier;

/* A walk longer than this is worth an anchor. */
#define SE_LONG_WALK 256

extern void se_frontier_read(const SeStore *store, Snapshot snapshot,
							 SeFrontier *result);
extern int64 se_frontier_current(const SeStore *store, Snapshot snapshot);
extern int64 se_frontier_oldest(const SeStore *store, Snapshot snapshot);
extern int64 se_frontier_settled(const SeStore *store, SeShared *shared);
extern int64 se_frontier_stamp(const SeStore *store, SeShared *shared);
extern int64 se_frontier_highest(const SeStore *store, Snapshot snapshot);
extern bool se_frontier_is_sound(const SeStore *store, Snapshot snapshot,
								 const SeFrontier *found);
extern int	se_frontier_holes(const SeStore *store, Snapshot snapshot,
							  int64 from, int64 limit, int64 *holes, int room);
extern int64 se_frontier_count_holes(const SeStore *store, Snapshot snapshot,
									 int64 from, int64 limit);

#endif							/* SE_FRONTIER_H */
