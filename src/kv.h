/*
 * kv.h
 *		The key-value table.
 */
#ifndef SE_KV_H
#define SE_KV_H

#include "entries.h"
#include "store.h"

extern void se_kv_put(const SeStore *store, const SeBatch *distinct);
extern void se_kv_delete(const SeStore *store, const SeBatch *distinct);

#endif							/* SE_KV_H */
