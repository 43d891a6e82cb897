/*
 * kv.h
 *		The key-value table.
 */
#ifndef SE_KV_H
#define SE_KV_H

#include "entries.h"
#include "store.h"

/* A scan of the keys that have a prefix. */
typedef struct SeKvScan
{
	Portal		portal;
	SPITupleTable *rows;		/* those that were fetched last, or NULL */
	uint64		next;			/* which of them comes next */
} SeKvScan;

extern void se_kv_put(const SeStore *store, const SeBatch *distinct);
extern void se_kv_delete(const SeStore *store, const SeBatch *distinct);
extern bool se_kv_get(const SeStore *store, Datum key, Datum *value);
extern void se_kv_scan_begin(const SeStore *store, const uint8_t *prefix, size_t len,
							 SeKvScan *scan);
extern bytea *se_kv_scan_next(SeKvScan *scan);
extern void se_kv_scan_end(SeKvScan *scan);

#endif							/* SE_KV_H */
