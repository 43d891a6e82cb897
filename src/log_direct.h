/*
 * log_direct.h
 *		Append to the log and read it, without SQL.
 */
#ifndef SE_LOG_DIRECT_H
#define SE_LOG_DIRECT_H

#include "direct.h"
#include "store.h"

/* A batch that is about to be appended. */
typedef struct SeAppend
{
	SeDirectTable direct;
	TupleTableSlot *row;
} SeAppend;

/* The log being read in order. */
typedef struct SeLogScan
{
	Relation	table;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *row;
} SeLogScan;

extern bool se_log_begin_append(const SeStore *store, SeAppend *append);
extern void se_log_finish_append(SeAppend *append, int64 number, int64 stable,
								 bytea *payload, bytea *deleted_keys);

extern bool se_log_begin_scan(const SeStore *store, int64 above, int64 up_to,
							  SeLogScan *scan);
extern bool se_log_next(SeLogScan *scan);
extern void se_log_end_scan(SeLogScan *scan);

#endif							/* SE_LOG_DIRECT_H */
