/*
 * batch_log.h
 *		The log of all batches.
 */
#ifndef SE_BATCH_LOG_H
#define SE_BATCH_LOG_H

#include "registry.h"
#include "store.h"

extern int64 se_log_append(const SeStore *store, SeShared *shared,
						   bytea *payload, bytea *deleted_keys);
extern bytea *se_log_fetch(const SeStore *store, int64 number);
extern int64 se_log_prune(const SeStore *store, int64 cutoff);
extern void se_log_fill(const SeStore *store, const int64 *holes, int count);

#endif							/* SE_BATCH_LOG_H */
