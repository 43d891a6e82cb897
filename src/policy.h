/*
 * policy.h
 *		What is to be kept: prune policies and the retention rule.
 */
#ifndef SE_POLICY_H
#define SE_POLICY_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "regex.h"

/* Which of several keys, or of the batches in the log, are kept. */
typedef enum SeRetainKind
{
	SE_RETAIN_KEEP_LATEST,
	SE_RETAIN_GREATER_THAN,
	SE_RETAIN_GREATER_THAN_OR_EQUAL,
	SE_RETAIN_DROP_ALL
} SeRetainKind;

/* What the captured bytes mean that keys are ordered by. */
typedef enum SeOrderEncoding
{
	SE_ORDER_BYTES_ASC,
	SE_ORDER_U64_BE,
	SE_ORDER_I64_BE
} SeOrderEncoding;

/* One prune policy: of keys, or of the log. */
typedef struct SePolicy
{
	bool		of_log;			/* if so, only "retain" and "number" count */
	SeRetainKind retain;
	uint64		number;			/* a count, or a threshold */
	const uint8_t *prefix;		/* which keys: those that begin with this, */
	size_t		prefix_len;
	const		SeRegex *regex; /* and whose rest this matches */
	int		   *group_by;		/* numbers of capture groups */
	int			ngroup_by;
	int			order_by;		/* number of a capture group, -1 for none */
	SeOrderEncoding encoding;
} SePolicy;

/* What the log retains.  Each bound evicts on its own. */
typedef struct SeRetentionRule
{
	bool		drop_all;
	bool		has_keep_latest;
	bool		has_lowest;
	bool		has_max_age;
	bool		has_max_bytes;
	uint64		keep_latest;	/* how many of the newest batches, at most */
	uint64		lowest;			/* the lowest number that is kept */
	Interval	max_age;		/* positive, and finite */
	int64		max_bytes;		/* positive */
} SeRetentionRule;

extern SePolicy *se_policy_parse_prune(Jsonb *request, int *count);
extern void se_policy_parse_retention(Jsonb *rule, SeRetentionRule *result);

#endif							/* SE_POLICY_H */
