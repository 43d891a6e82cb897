/*
 * control.h
 *		Numbers about the store that are part of its data.
 */
#ifndef SE_CONTROL_H
#define SE_CONTROL_H

#include "store.h"
#include "utils/snapshot.h"

/* The highest pruned number. */
#define SE_CONTROL_FLOOR "floor"

/* A frontier that was left behind to save others a long walk. */
#define SE_CONTROL_ANCHOR "anchor"

extern int64 se_control_read(const SeStore *store, const char *item,
							 Snapshot snapshot);
extern int64 se_control_read_settled(const SeStore *store, const char *item);
extern void se_control_raise(const SeStore *store, const char *item,
							 int64 number);

#endif							/* SE_CONTROL_H */
