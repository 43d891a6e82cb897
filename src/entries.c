/*
 * entries.c
 *		Turn SQL arguments into batches and stored batches into SQL values.
 *
 * Everything a caller can get wrong in the shape or size of a batch is found
 * here, before any table is touched.  Entries point into the arguments they
 * were read from; those must stay where they are.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "entries.h"

int			se_max_value_size;
int			se_max_batch_size;

/* A batch being read, and its size so far. */
typedef struct BatchBuilder
{
	SeBatch    *batch;
	Size		size;
	int			room;			/* allocated entries */
} BatchBuilder;

/* Refuse a batch that is too large. */
static void
check_batch_size(Size size, int count)
{
	if (size > (Size) se_max_batch_size)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("batch exceeds the maximum size"),
				 errdetail("Its first %d entries take at least %zu bytes; the limit is %d bytes.",
						   count, size, se_max_batch_size),
				 errhint("Split the batch, or raise storeengine.max_batch_size.")));
}

/* Refuse an array of more entries than a batch can have. */
static void
check_entry_count(ArrayType *array)
{
	int			count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	check_batch_size((Size) count * SE_ENTRY_OVERHEAD, count);
}

/* Start a batch that is expected to have a number of entries. */
static void
start_batch(BatchBuilder *builder, int expected)
{
	builder->batch = palloc0(sizeof(SeBatch));
	builder->size = 0;
	builder->room = Max(expected, 1);
	builder->batch->entries = MemoryContextAllocHuge(CurrentMemoryContext,
													 builder->room * sizeof(SeEntry));
}

/* Add an entry, checking all limits; position counts from 1. */
static void
add_entry(BatchBuilder *builder, const SeEntry *entry)
{
	SeBatch    *batch = builder->batch;
	int			position = batch->count + 1;

	CHECK_FOR_INTERRUPTS();
	if (entry->key_len > SE_MAX_KEY_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("key exceeds the maximum length"),
				 errdetail("Key %d is %zu bytes long; the limit is %d bytes.",
						   position, entry->key_len, SE_MAX_KEY_LEN)));
	if (entry->value_len > (Size) se_max_value_size)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("value exceeds the maximum size"),
				 errdetail("Value %d is %zu bytes long; the limit is %d bytes.",
						   position, entry->value_len, se_max_value_size),
				 errhint("Raise storeengine.max_value_size to store larger values.")));

	builder->size += SE_ENTRY_OVERHEAD + entry->key_len + entry->value_len;
	check_batch_size(builder->size, position);

	if (batch->count == builder->room)
	{
		builder->room *= 2;
		batch->entries = repalloc_huge(batch->entries,
									   builder->room * sizeof(SeEntry));
	}
	batch->entries[batch->count++] = *entry;
}

/*
 * Refuse an array of more than one dimension, naming the argument: 2202E.
 */
void
se_check_one_dimension(ArrayType *array, const char *name)
{
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("%s must be a one-dimensional array", name),
				 errdetail("The given array has %d dimensions.",
						   ARR_NDIM(array))));
}

/*
 * Refuse a NULL where a value is needed: 22004.  position counts from 1.
 */
void
se_report_null_element(const char *name, int position)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("%s must not contain NULL", name),
			 errdetail("Element %d is NULL.", position)));
}

/*
 * Take a bytea[] apart, into the current memory context.  Raises 22004 for NULL
 * elements, 2202E for an array of the wrong shape, naming the argument.
 */
Datum *
se_bytea_elements(ArrayType *array, const char *name, int *count)
{
	Datum	   *elements;
	bool	   *nulls;

	se_check_one_dimension(array, name);
	deconstruct_array(array, BYTEAOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, count);
	for (int i = 0; i < *count; i++)
	{
		if (nulls[i])
			se_report_null_element(name, i + 1);
	}
	return elements;
}

/* Point at the bytes of a bytea. */
static void
bytea_bytes(Datum datum, const uint8_t **bytes, size_t *len)
{
	bytea	   *value = DatumGetByteaPP(datum);

	*bytes = (const uint8_t *) VARDATA_ANY(value);
	*len = VARSIZE_ANY_EXHDR(value);
}

/* Point at the bytes of a key and a value. */
static SeEntry
entry_from_datums(Datum key, Datum value)
{
	SeEntry		entry;

	bytea_bytes(key, &entry.key, &entry.key_len);
	bytea_bytes(value, &entry.value, &entry.value_len);
	return entry;
}

/*
 * Make a batch of one pair.  Raises 54000 when it exceeds a limit.
 */
SeBatch *
se_batch_from_pair(bytea *key, bytea *value)
{
	BatchBuilder builder;
	SeEntry		entry = entry_from_datums(PointerGetDatum(key),
										  PointerGetDatum(value));

	start_batch(&builder, 1);
	add_entry(&builder, &entry);
	return builder.batch;
}

/*
 * Make a batch of two arrays.  Raises 22004 for NULL elements, 2202E for
 * arrays of the wrong shape, 54000 for limits exceeded.
 */
SeBatch *
se_batch_from_arrays(ArrayType *keys, ArrayType *values)
{
	BatchBuilder builder;
	int			nkeys;
	int			nvalues;
	Datum	   *key_datums;
	Datum	   *value_datums;

	check_entry_count(keys);
	check_entry_count(values);
	key_datums = se_bytea_elements(keys, "keys", &nkeys);
	value_datums = se_bytea_elements(values, "values", &nvalues);
	if (nkeys != nvalues)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("keys and values must have the same number of elements"),
				 errdetail("There are %d keys and %d values.", nkeys, nvalues)));

	start_batch(&builder, nkeys);
	for (int i = 0; i < nkeys; i++)
	{
		SeEntry		entry = entry_from_datums(key_datums[i], value_datums[i]);

		add_entry(&builder, &entry);
	}
	return builder.batch;
}

/*
 * Make a batch of keys, with empty values.  Raises as se_batch_from_arrays().
 */
SeBatch *
se_batch_from_keys(ArrayType *keys)
{
	BatchBuilder builder;
	int			nkeys;
	Datum	   *datums;

	check_entry_count(keys);
	datums = se_bytea_elements(keys, "keys", &nkeys);
	start_batch(&builder, nkeys);
	for (int i = 0; i < nkeys; i++)
	{
		SeEntry		entry = {0};

		bytea_bytes(datums[i], &entry.key, &entry.key_len);
		entry.value = entry.key;
		add_entry(&builder, &entry);
	}
	return builder.batch;
}

/* Describe type store_entry, which must be as the extension made it. */
static TupleDesc
entry_descriptor(Oid entry_type)
{
	TupleDesc	desc = lookup_rowtype_tupdesc_copy(entry_type, -1);

	if (desc->natts != 2 ||
		TupleDescAttr(desc, 0)->atttypid != BYTEAOID ||
		TupleDescAttr(desc, 1)->atttypid != BYTEAOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("type store_entry is not the one the extension made"),
				 errdetail("It must have the columns key and value, both of type bytea.")));
	return desc;
}

/* Read a key and a value out of a composite value. */
static SeEntry
entry_from_composite(Datum composite, TupleDesc desc, int position)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(composite);
	HeapTupleData tuple = {0};
	Datum		key;
	Datum		value;
	bool		key_null;
	bool		value_null;

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	tuple.t_data = header;
	key = heap_getattr(&tuple, 1, desc, &key_null);
	value = heap_getattr(&tuple, 2, desc, &value_null);
	if (key_null || value_null)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("entries must not contain NULL"),
				 errdetail("The %s of entry %d is NULL.",
						   key_null ? "key" : "value", position)));
	return entry_from_datums(key, value);
}

/*
 * Make a batch of a store_entry[].  Raises as se_batch_from_arrays(), and
 * 42804 when the type has been altered.
 */
SeBatch *
se_batch_from_entries(ArrayType *entries)
{
	BatchBuilder builder;
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	TupleDesc	desc;

	check_entry_count(entries);
	se_check_one_dimension(entries, "entries");
	deconstruct_array(entries, ARR_ELEMTYPE(entries), -1, false, TYPALIGN_DOUBLE,
					  &elements, &nulls, &count);
	desc = entry_descriptor(ARR_ELEMTYPE(entries));
	start_batch(&builder, count);
	for (int i = 0; i < count; i++)
	{
		SeEntry		entry;

		if (nulls[i])
			se_report_null_element("entries", i + 1);
		entry = entry_from_composite(elements[i], desc, i + 1);
		add_entry(&builder, &entry);
	}
	return builder.batch;
}

/* Refuse a malformed protobuf message. */
static void
report_malformed(const SeWireReader *reader, int sqlerrcode, const char *what)
{
	ereport(ERROR,
			(errcode(sqlerrcode),
			 errmsg("%s is malformed", what),
			 errdetail("At byte %zu: %s.",
					   se_wire_position(reader), reader->problem)));
}

/* Prepare to read the entries of a message held in a bytea. */
static void
read_bytea(SeWireReader *reader, bytea *message, uint32_t entry_field)
{
	se_wire_reader_init(reader, (const uint8_t *) VARDATA_ANY(message),
						VARSIZE_ANY_EXHDR(message), entry_field);
}

/*
 * Make a batch of an encoded PutRequest.  Raises 22P03 for a malformed
 * message, 54000 for limits exceeded.
 */
SeBatch *
se_batch_from_request(bytea *request)
{
	BatchBuilder builder;
	SeWireReader reader;
	SeWireStatus status;
	SeEntry		entry;

	start_batch(&builder, 0);
	read_bytea(&reader, request, SE_WIRE_PUT_REQUEST);
	while ((status = se_wire_next_entry(&reader, &entry)) == SE_WIRE_ENTRY)
		add_entry(&builder, &entry);
	if (status == SE_WIRE_MALFORMED)
		report_malformed(&reader, ERRCODE_INVALID_BINARY_REPRESENTATION,
						 "PutRequest");
	return builder.batch;
}

/* Order entries by key: unsigned bytes, the shorter prefix first. */
static int
compare_keys(const SeEntry *a, const SeEntry *b)
{
	int			order = memcmp(a->key, b->key, Min(a->key_len, b->key_len));

	if (order != 0)
		return order;
	return (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

/*
 * Order pointers to entries of one array by key, and those of the same key
 * the last one first.
 */
static int
compare_key_then_latest(const void *a, const void *b, void *arg)
{
	const SeEntry *left = *(const SeEntry *const *) a;
	const SeEntry *right = *(const SeEntry *const *) b;
	int			order = compare_keys(left, right);

	if (order != 0)
		return order;
	return (left < right) - (left > right);
}

/* Tell whether the keys ascend already, without duplicates. */
static bool
is_ascending(const SeBatch *batch)
{
	for (int i = 1; i < batch->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (compare_keys(&batch->entries[i - 1], &batch->entries[i]) >= 0)
			return false;
	}
	return true;
}

/*
 * Make the batch that a batch comes down to: each key once, with its last
 * value, in ascending order of keys.
 */
SeBatch *
se_batch_distinct(const SeBatch *batch)
{
	SeBatch    *distinct = palloc(sizeof(SeBatch));
	const SeEntry **sorted;

	*distinct = *batch;
	if (is_ascending(batch))
		return distinct;

	sorted = MemoryContextAllocHuge(CurrentMemoryContext,
									batch->count * sizeof(SeEntry *));
	for (int i = 0; i < batch->count; i++)
		sorted[i] = &batch->entries[i];
	qsort_interruptible(sorted, batch->count, sizeof(SeEntry *),
						compare_key_then_latest, NULL);

	distinct->entries = MemoryContextAllocHuge(CurrentMemoryContext,
											   batch->count * sizeof(SeEntry));
	distinct->count = 0;
	for (int i = 0; i < batch->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i == 0 || compare_keys(sorted[i - 1], sorted[i]) != 0)
			distinct->entries[distinct->count++] = *sorted[i];
	}
	pfree(sorted);
	return distinct;
}

/* Build a bytea[] of all keys or all values of some, in one piece of memory. */
static ArrayType *
make_bytea_array(const SeBatch *batch, bool values)
{
	Size		size = ARR_OVERHEAD_NONULLS(1);
	ArrayType  *array;
	char	   *to;

	Assert(batch->count > 0);
	for (int i = 0; i < batch->count; i++)
	{
		const SeEntry *entry = &batch->entries[i];

		size += INTALIGN(VARHDRSZ + (values ? entry->value_len : entry->key_len));
	}

	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->dataoffset = 0;
	array->elemtype = BYTEAOID;
	ARR_DIMS(array)[0] = batch->count;
	ARR_LBOUND(array)[0] = 1;

	to = ARR_DATA_PTR(array);
	for (int i = 0; i < batch->count; i++)
	{
		const SeEntry *entry = &batch->entries[i];
		size_t		len = values ? entry->value_len : entry->key_len;

		CHECK_FOR_INTERRUPTS();
		SET_VARSIZE(to, VARHDRSZ + len);
		memcpy(VARDATA(to), values ? entry->value : entry->key, len);
		to += INTALIGN(VARHDRSZ + len);
	}
	return array;
}

/*
 * Make a bytea[] of the keys.
 */
ArrayType *
se_batch_keys(const SeBatch *batch)
{
	return make_bytea_array(batch, false);
}

/*
 * Make a bytea[] of the values.
 */
ArrayType *
se_batch_values(const SeBatch *batch)
{
	return make_bytea_array(batch, true);
}

/*
 * Encode a batch as the log stores it.
 */
bytea *
se_batch_encode(const SeBatch *batch)
{
	Size		size = 0;
	bytea	   *payload;
	uint8_t    *to;

	for (int i = 0; i < batch->count; i++)
		size += se_wire_entry_size(&batch->entries[i]);

	payload = palloc(VARHDRSZ + size);
	SET_VARSIZE(payload, VARHDRSZ + size);
	to = (uint8_t *) VARDATA(payload);
	for (int i = 0; i < batch->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		to = se_wire_put_entry(to, &batch->entries[i]);
	}
	Assert(to == (uint8_t *) VARDATA(payload) + size);
	return payload;
}

/*
 * Make a bytea of some bytes.
 */
Datum
se_bytea_datum(const uint8_t *bytes, size_t len)
{
	return PointerGetDatum(cstring_to_text_with_len((const char *) bytes, len));
}

/*
 * Begin to read the entries of a batch as the log stores it.  They point into its
 * bytes.
 */
void
se_stored_begin(SeWireReader *reader, bytea *stored)
{
	read_bytea(reader, stored, SE_WIRE_GET_RESPONSE);
}

/*
 * Read the next entry; false at the end.  Raises XX001 when the stored bytes are
 * not a batch.
 */
bool
se_stored_next(SeWireReader *reader, SeEntry *entry)
{
	SeWireStatus status = se_wire_next_entry(reader, entry);

	CHECK_FOR_INTERRUPTS();
	if (status == SE_WIRE_MALFORMED)
		report_malformed(reader, ERRCODE_DATA_CORRUPTED, "stored batch");
	return status == SE_WIRE_ENTRY;
}

/*
 * Decode a stored batch into an array of the composite type entry_type.
 * Raises XX001 when the stored bytes are not a batch, 42804 when the type has
 * been altered.
 */
ArrayType *
se_batch_decode(bytea *payload, Oid entry_type)
{
	TupleDesc	desc = entry_descriptor(entry_type);
	ArrayBuildState *state = initArrayResult(entry_type, CurrentMemoryContext, false);
	SeWireReader reader;
	SeEntry		entry;

	se_stored_begin(&reader, payload);
	while (se_stored_next(&reader, &entry))
	{
		Datum		columns[2];
		bool		nulls[2] = {false, false};
		HeapTuple	tuple;

		columns[0] = se_bytea_datum(entry.key, entry.key_len);
		columns[1] = se_bytea_datum(entry.value, entry.value_len);
		tuple = heap_form_tuple(desc, columns, nulls);
		accumArrayResult(state, HeapTupleGetDatum(tuple), false, entry_type,
						 CurrentMemoryContext);
		heap_freetuple(tuple);
		pfree(DatumGetPointer(columns[0]));
		pfree(DatumGetPointer(columns[1]));
	}
	return DatumGetArrayTypeP(makeArrayResult(state, CurrentMemoryContext));
}
