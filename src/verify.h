/*
 * verify.h
 *		Whether the store is what it should be.
 */
#ifndef SE_VERIFY_H
#define SE_VERIFY_H

#include "control.h"
#include "entries.h"
#include "frontier.h"
#include "nodes/pg_list.h"
#include "sorter.h"
#include "store.h"

/* The checks, in the order in which they are returned. */
typedef enum SeCheckId
{
	SE_CHECK_LOG,				/* each batch is there, once */
	SE_CHECK_PAYLOAD,			/* and can be decoded */
	SE_CHECK_STAMPS,			/* what batches say of others is true */
	SE_CHECK_FLOOR,				/* what is noted of pruned ones is, too */
	SE_CHECK_HISTORIES,			/* they follow each other */
	SE_CHECK_SEQUENCE,			/* numbers go on above the log */
	SE_CHECK_PAIRS,				/* the table is what the log says */
	SE_CHECK_NUMBERS,			/* no number is left undecided */
	SE_CHECKS
} SeCheckId;

/* So many problems are told of each check, and the others counted. */
#define SE_MAX_FINDINGS 1000

/* How a check has gone so far. */
typedef struct SeCheck
{
	int64		checked;		/* how many things were looked at */
	int64		problems;		/* how many of them are wrong */
	List	   *findings;		/* the first problems */
	char	   *note;			/* something to know, or NULL */
	bool		skipped;		/* it was not done, and note says why */
} SeCheck;

/* A call of store_verify(). */
typedef struct SeVerification
{
	const SeStore *store;
	MemoryContext context;		/* lasts as long as this */
	TimestampTz next_notice;	/* when to tell how far we are */

	/* What the caller's snapshot shows. */
	SeFrontier	found;
	SeControlItem floor;
	SeControlItem tally;
	int64		highest;		/* of the batches in the log, 0 for none */
	int64		settled;		/* of those that others can see, too */
	int64		oldest;			/* of those above the floor, 0 for none */
	int64		bytes;			/* of those above the floor up to the tally */
	int64		unknown;		/* the highest that is missing or damaged */
	int64		last_number;	/* that the sequence has given out */

	SeSorter	writes;			/* who wrote which key */
	int64		nwrites;
	SeCheck		checks[SE_CHECKS];
} SeVerification;

extern void se_verify_report(SeVerification *verification, SeCheckId id,
							 int64 number, const bytea *key,
							 const char *format, ...) pg_attribute_printf(5, 6);
extern void se_verify_notice(SeVerification *verification,
							 const char *format, ...) pg_attribute_printf(2, 3);
extern bytea *se_verify_detoast(Datum value, const char **problem);

extern void se_verify_log(SeVerification *verification);

extern void se_verify_begin_pairs(SeVerification *verification);
extern void se_verify_add_write(SeVerification *verification, int64 number,
								int position, const SeEntry *entry, bool is_delete);
extern void se_verify_pairs(SeVerification *verification);

#endif							/* SE_VERIFY_H */
