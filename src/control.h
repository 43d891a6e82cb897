/*
 * control.h
 *		Numbers about the store that are part of its data.
 */
#ifndef SE_CONTROL_H
#define SE_CONTROL_H

#include "datatype/timestamp.h"
#include "store.h"
#include "utils/snapshot.h"

/* The highest pruned number. */
#define SE_CONTROL_FLOOR "floor"

/* A number up to which the log's bytes have been counted. */
#define SE_CONTROL_TALLY "tally"

/* A frontier that was left behind to save others a long walk. */
#define SE_CONTROL_ANCHOR "anchor"

/* An item as it is noted. */
typedef struct SeControlItem
{
	int64		number;			/* 0 if there is none */
	int64		bytes;			/* of all batches up to the number, ever */
	TimestampTz noted_at;
} SeControlItem;

extern void se_control_look_up(const SeStore *store, const char *item,
							   Snapshot snapshot, SeControlItem *result);
extern int64 se_control_read(const SeStore *store, const char *item,
							 Snapshot snapshot);
extern int64 se_control_read_settled(const SeStore *store, const char *item);
extern void se_control_raise(const SeStore *store, const char *item,
							 int64 number, int64 bytes);

#endif							/* SE_CONTROL_H */
