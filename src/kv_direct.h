/*
 * kv_direct.h
 *		The key-value table, without SQL.
 */
#ifndef SE_KV_DIRECT_H
#define SE_KV_DIRECT_H

#include "entries.h"
#include "store.h"

extern bool se_kv_put_directly(const SeStore *store, const SeBatch *distinct);
extern bool se_kv_get_directly(const SeStore *store, Datum key, bool *found,
							   Datum *value, bool *isnull);

#endif							/* SE_KV_DIRECT_H */
