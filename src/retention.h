/*
 * retention.h
 *		Keep the batch log within a rule.
 */
#ifndef SE_RETENTION_H
#define SE_RETENTION_H

#include "datatype/timestamp.h"
#include "frontier.h"
#include "policy.h"
#include "store.h"
#include "utils/jsonb.h"

/* What a rule comes to. */
typedef struct SeRetentionState
{
	int64		cutoff;			/* batches below are not to be kept */
	bool		limited;		/* there may be more than were looked at */
	TimestampTz next_expiry;	/* when the next batch is too old, or DT_NOEND */
	bool		counts_bytes;	/* is what follows set? */
	int64		counted;		/* highest number whose bytes are noted */
	int64		bytes;			/* of all batches up to the frontier, ever */
} SeRetentionState;

extern Jsonb *se_retention_read_as_owner(const SeStore *store);
extern void se_retention_evaluate(const SeStore *store, const SeRetentionRule *rule,
								  const SeFrontier *found, int64 limit,
								  SeRetentionState *result);
extern bool se_retention_enforce(const SeStore *store, SeFrontier *found,
								 int64 *pruned, TimestampTz *next);

#endif							/* SE_RETENTION_H */
