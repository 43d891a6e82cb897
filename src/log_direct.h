/*
 * log_direct.h
 *		Append to the log, without SQL.
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

extern bool se_log_begin_append(const SeStore *store, SeAppend *append);
extern void se_log_finish_append(SeAppend *append, int64 number, int64 stable,
								 bytea *payload, bytea *deleted_keys);

#endif							/* SE_LOG_DIRECT_H */
