/*
 * writer.c
 *		Write a batch: the pairs first, which locks its keys, then the log.
 */
#include "postgres.h"

#include "batch_log.h"
#include "kv.h"
#include "writer.h"

/*
 * Put a batch and return its number.  Raises what se_kv_put() and
 * se_log_append() raise, and 55000 when there is no store, or no library
 * preloaded.
 */
int64
se_writer_put(const SeBatch *batch)
{
	SeStore    *store = se_store_lock(RowExclusiveLock);
	SeShared   *shared = se_registry_attach(store->log);
	bytea	   *payload = se_batch_encode(batch);
	SeBatch    *distinct = se_batch_distinct(batch);

	se_kv_put(store, distinct);
	return se_log_append(store, shared, payload, NULL);
}

/*
 * Delete a batch of keys and return its number.  Raises as se_writer_put().
 */
int64
se_writer_delete(const SeBatch *batch)
{
	SeStore    *store = se_store_lock(RowExclusiveLock);
	SeShared   *shared = se_registry_attach(store->log);
	SeBatch    *distinct = se_batch_distinct(batch);
	SeBatch		nothing = {NULL, 0};
	bytea	   *deleted_keys;
	int64		number;

	se_kv_delete(store, distinct);
	deleted_keys = se_batch_encode(batch);
	number = se_log_append(store, shared, se_batch_encode(&nothing), deleted_keys);
	pfree(deleted_keys);
	return number;
}
