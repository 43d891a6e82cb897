/*
 * entries.h
 *		Batches of pairs as they come in and go out as SQL arguments.
 */
#ifndef SE_ENTRIES_H
#define SE_ENTRIES_H

#include "utils/array.h"
#include "wire.h"

/* The longest key, in bytes. */
#define SE_MAX_KEY_LEN 254

/*
 * What an entry counts in a batch's size, besides its key and its value.  No
 * entry's framing is longer, so an encoded batch is never larger than its
 * size.
 */
#define SE_ENTRY_OVERHEAD 16

/* A batch: its entries in the given order, duplicates included. */
typedef struct SeBatch
{
	SeEntry    *entries;
	int			count;
} SeBatch;

/* Settings, in bytes. */
extern int	se_max_value_size;
extern int	se_max_batch_size;

extern SeBatch *se_batch_from_pair(bytea *key, bytea *value);
extern SeBatch *se_batch_from_arrays(ArrayType *keys, ArrayType *values);
extern SeBatch *se_batch_from_keys(ArrayType *keys);
extern SeBatch *se_batch_from_entries(ArrayType *entries);
extern SeBatch *se_batch_from_request(bytea *request);
extern SeBatch *se_batch_distinct(const SeBatch *batch);

extern ArrayType *se_batch_keys(const SeBatch *batch);
extern ArrayType *se_batch_values(const SeBatch *batch);
extern Datum se_bytea_datum(const uint8_t *bytes, size_t len);
extern bytea *se_batch_encode(const SeBatch *batch);
extern ArrayType *se_batch_decode(bytea *payload, Oid entry_type);

extern void se_stored_begin(SeWireReader *reader, bytea *stored);
extern bool se_stored_next(SeWireReader *reader, SeEntry *entry);

extern Datum *se_bytea_elements(ArrayType *array, const char *name, int *count);
extern void se_check_one_dimension(ArrayType *array, const char *name);
extern void se_report_null_element(const char *name, int position);

#endif							/* SE_ENTRIES_H */
