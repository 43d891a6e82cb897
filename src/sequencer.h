/*
 * sequencer.h
 *		Give out sequence numbers and keep account of them.
 */
#ifndef SE_SEQUENCER_H
#define SE_SEQUENCER_H

#include "registry.h"
#include "store.h"

/* Developers' setting: milliseconds to sleep while holding a new number. */
extern int	se_debug_allocation_delay;

extern int64 se_sequencer_allocate(const SeStore *store, SeShared *shared);
extern bool se_sequencer_counts_by_one(const SeStore *store);
extern int64 se_sequencer_last(const SeStore *store);

#endif							/* SE_SEQUENCER_H */
