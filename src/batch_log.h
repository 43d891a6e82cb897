/*
 * batch_log.h
 *		The log of all batches.
 */
#ifndef SE_BATCH_LOG_H
#define SE_BATCH_LOG_H

#include "compat.h"
#include "frontier.h"
#include "registry.h"
#include "store.h"

/* Errors a client may want to tell apart. */
#define ERRCODE_BATCH_EVICTED MAKE_SQLSTATE('S', 'E', '0', '0', '1')
#define ERRCODE_BATCH_NOT_FOUND MAKE_SQLSTATE('S', 'E', '0', '0', '2')

/* SQL: the bytes that a batch takes, without fetching it. */
#define SE_LOG_BYTES \
	"(pg_catalog.octet_length(payload) OPERATOR(pg_catalog.+)" \
	" coalesce(pg_catalog.octet_length(deleted_keys), 0))"

extern int64 se_log_append(const SeStore *store, SeShared *shared,
						   bytea *payload, bytea *deleted_keys);
extern bytea *se_log_fetch(const SeStore *store, int64 number);
extern TimestampTz se_log_written_at(const SeStore *store, int64 number);
extern int64 se_log_count_bytes(const SeStore *store, int64 above, int64 up_to);
extern bool se_log_lock_pruning(const SeStore *store, bool wait);
extern void se_log_check_may_prune(const SeStore *store);
extern int64 se_log_prune(const SeStore *store, int64 cutoff);
extern int64 se_log_prune_as_owners(const SeStore *store, int64 cutoff);
extern void se_log_check_retained(int64 number, const SeFrontier *found);
pg_noreturn extern void se_log_report_missing(int64 number, const SeFrontier *found);
extern void se_log_fill(const SeStore *store, const int64 *holes, int count);

#endif							/* SE_BATCH_LOG_H */
