/*
 * vacuum.h
 *		Have the space of pruned batches used again.
 */
#ifndef SE_VACUUM_H
#define SE_VACUUM_H

#include "datatype/timestamp.h"
#include "store.h"

extern void se_vacuum_note_pruned(int64 pruned, int64 retained, TransactionId xid);
extern bool se_vacuum_wanted(void);
extern bool se_vacuum_log(const SeStore *store);

#endif							/* SE_VACUUM_H */
