/*
 * kv_direct.h
 *		The key-value table, without SQL.
 */
#ifndef SE_KV_DIRECT_H
#define SE_KV_DIRECT_H

#include "direct.h"
#include "entries.h"
#include "store.h"

extern SePlainTable se_plain_kv;

extern bool se_kv_put_directly(const SeStore *store, const SeBatch *distinct);

#endif							/* SE_KV_DIRECT_H */
