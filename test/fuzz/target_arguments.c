/*
 * target_arguments.c
 *		Fuzz target: make arrays, and read batches and filters out of them.
 *
 * The input says which arrays: their shapes and elements.  What should come
 * of them is found out on the way, without a look at the arrays.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/toast_compression.h"
#include "access/toast_internals.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/typcache.h"

#include "entries.h"
#include "filter.h"
#include "fuzz.h"

#define MAX_ELEMENTS 100

/* What is wrong with arguments: each fault is an error of its own. */
#define FAULT_SHAPE 0x01
#define FAULT_NULL 0x02
#define FAULT_LIMIT 0x04
#define FAULT_COUNT 0x08
#define FAULT_REGEX 0x10

/* An array, and what is in it. */
typedef struct Made
{
	ArrayType  *array;
	int			count;
	SeEntry    *entries;		/* keys only, if there is one column */
	int			faults;
} Made;

/* Take a byte; zero if there is none left. */
static uint8_t
take(FuzzInput *input)
{
	if (input->size == 0)
		return 0;
	input->size--;
	return *input->data++;
}

/* Take some bytes, fewer at the end of the input. */
static const uint8_t *
take_bytes(FuzzInput *input, size_t *len)
{
	const uint8_t *bytes = input->data;

	*len = Min(*len, input->size);
	input->data += *len;
	input->size -= *len;
	return bytes;
}

/* Make a value of variable length, in any of the forms it can have. */
static Datum
make_value(FuzzInput *input, const uint8_t **bytes, size_t *len)
{
	uint8_t		control = take(input);
	Datum		datum;
	Datum		compressed = 0;

	if (control < 0xF0)
	{
		*len = control;
		*bytes = take_bytes(input, len);
	}
	else
	{
		/* a run of one byte, which can be compressed */
		*len = take(input) * 16;
		*bytes = memset(palloc(*len), control, *len);
	}
	datum = se_bytea_datum(*bytes, *len);
	if (control >= 0xF8)
		compressed = toast_compress_datum(datum, TOAST_PGLZ_COMPRESSION);
	return compressed == 0 ? datum : compressed;
}

/* The text that value can be used as. */
static Datum
make_text(FuzzInput *input, const char *const *usual, int count)
{
	uint8_t		control = take(input);
	const uint8_t *bytes;
	size_t		len;
	Datum		datum;

	if (control < 0xC0)
		return CStringGetTextDatum(usual[control % count]);
	datum = make_value(input, &bytes, &len);
	return fuzz_is_text(bytes, len) ? datum : CStringGetTextDatum(usual[0]);
}

/* Make the dimensions of an array, and return how many elements they are for. */
static int
make_shape(FuzzInput *input, int *ndim, int *sizes, int *bounds)
{
	int			count = 1;

	*ndim = take(input);
	*ndim = *ndim < 0xC0 ? *ndim != 0 : *ndim % (MAXDIM + 1);
	for (int i = 0; i < *ndim; i++)
	{
		sizes[i] = take(input) % 64 + 1;
		bounds[i] = (int8_t) take(input);
		count = Min(count * sizes[i], MAX_ELEMENTS + 1);
	}
	return *ndim == 0 ? 0 : count;
}

/* Finish an array. */
static void
finish(Made *made, Datum *datums, bool *nulls, int ndim, int *sizes, int *bounds, Oid type)
{
	bool		is_bytea = type == BYTEAOID;

	made->array = construct_md_array(datums, nulls, ndim, sizes, bounds, type, -1, false,
									 is_bytea ? TYPALIGN_INT : TYPALIGN_DOUBLE);
	/* no element, no dimension */
	if (ndim > 1 && made->count > 0)
		made->faults |= FAULT_SHAPE;
}

/* Make a composite value of two columns, or NULL. */
static Datum
make_composite(Datum first, Datum second, TupleDesc desc, uint8_t control, int *faults)
{
	Datum		columns[2] = {first, second};
	bool		nulls[2] = {control == 0xFE, control == 0xFD};

	if (nulls[0] || nulls[1])
		*faults |= FAULT_NULL;
	return HeapTupleGetDatum(heap_form_tuple(desc, columns, nulls));
}

/* Make the columns of an element of a type. */
static Datum
make_element(FuzzInput *input, const char *type, TupleDesc desc, SeEntry *entry, int *faults)
{
	static const char *const regexes[] = {"(?s-u).*", "^a", "(?P<x>b+)$", "[", "\\x00"};
	static const char *const kinds[] = {"exact", "prefix", "regex", "Exact"};
	uint8_t		control = take(input);
	Datum		first;
	Datum		second;

	if (type == NULL)
		return make_value(input, &entry->key, &entry->key_len);
	if (strcmp(type, "store_filter") == 0)
		first = make_text(input, kinds, lengthof(kinds));
	else
		first = make_value(input, &entry->key, &entry->key_len);
	if (strcmp(type, "store_selector") == 0)
		second = make_text(input, regexes, lengthof(regexes));
	else
		second = make_value(input, &entry->value, &entry->value_len);
	return make_composite(first, second, desc, control, faults);
}

/* Make an array of a composite type, or of bytea if that is NULL. */
static bool
make_array(FuzzInput *input, const char *type, Made *made)
{
	Oid			oid = type == NULL ? BYTEAOID : TypenameGetTypid(type);
	TupleDesc	desc = type == NULL ? NULL : lookup_rowtype_tupdesc_copy(oid, -1);
	int			ndim;
	int			sizes[MAXDIM];
	int			bounds[MAXDIM];
	Datum	   *datums;
	bool	   *nulls;

	memset(made, 0, sizeof(*made));
	made->count = make_shape(input, &ndim, sizes, bounds);
	if (made->count > MAX_ELEMENTS)
		return false;
	datums = palloc0((made->count + 1) * sizeof(Datum));
	nulls = palloc0((made->count + 1) * sizeof(bool));
	made->entries = palloc0((made->count + 1) * sizeof(SeEntry));
	for (int i = 0; i < made->count; i++)
	{
		nulls[i] = take(input) == 0xFF;
		if (nulls[i])
			made->faults |= FAULT_NULL;
		else
			datums[i] = make_element(input, type, desc, &made->entries[i], &made->faults);
	}
	finish(made, datums, nulls, ndim, sizes, bounds, oid);
	return true;
}

/* ----------------------------------------------------------------- batches */

/* How a batch is made. */
typedef enum BatchKind
{
	OF_ARRAYS,
	OF_KEYS,
	OF_ENTRIES,
	BATCH_KINDS
} BatchKind;

typedef struct BatchCall
{
	BatchKind	kind;
	Made		made[2];
	SeBatch    *batch;
} BatchCall;

/* Make a batch. */
static void
read_batch(void *arg)
{
	BatchCall  *call = arg;

	if (call->kind == OF_ARRAYS)
		call->batch = se_batch_from_arrays(call->made[0].array, call->made[1].array);
	else if (call->kind == OF_KEYS)
		call->batch = se_batch_from_keys(call->made[0].array);
	else
		call->batch = se_batch_from_entries(call->made[0].array);
}

/* Set limits low enough to be met. */
static void
set_limits(FuzzInput *input)
{
	uint8_t		control = take(input);

	se_max_value_size = control == 0 ? 10 * 1024 * 1024 : 1 << (control & 15);
	se_max_batch_size = control == 0 ? 256 * 1024 * 1024 : 1 << (4 + (control >> 4));
}

/* Note which limits a batch exceeds. */
static void
check_limits(BatchCall *call)
{
	size_t		size = 0;
	Made	   *made = &call->made[0];

	for (int i = 0; i < made->count; i++)
	{
		const SeEntry *entry = &made->entries[i];

		size += SE_ENTRY_OVERHEAD + entry->key_len + entry->value_len;
		if (entry->key_len > SE_MAX_KEY_LEN || entry->value_len > se_max_value_size)
			made->faults |= FAULT_LIMIT;
	}
	if (call->kind == OF_ARRAYS)
		size = Max(size, (size_t) call->made[1].count * SE_ENTRY_OVERHEAD);
	if (size > se_max_batch_size)
		made->faults |= FAULT_LIMIT;
}

/* Check what arguments are refused with, if they are, and only if they must be. */
static void
check_refusal(int sqlstate, int faults)
{
	if (sqlstate == 0)
		FUZZ_CHECK(faults == 0);
	else if (sqlstate == ERRCODE_ARRAY_SUBSCRIPT_ERROR)
		FUZZ_CHECK(faults & FAULT_SHAPE);
	else if (sqlstate == ERRCODE_NULL_VALUE_NOT_ALLOWED)
		FUZZ_CHECK(faults & FAULT_NULL);
	else if (sqlstate == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		FUZZ_CHECK(faults & FAULT_LIMIT);
	else if (sqlstate == ERRCODE_INVALID_PARAMETER_VALUE)
		FUZZ_CHECK(faults & FAULT_COUNT);
	else if (sqlstate == ERRCODE_INVALID_REGULAR_EXPRESSION)
		FUZZ_CHECK(faults & FAULT_REGEX);
	else
		fuzz_fail(__FILE__, __LINE__, unpack_sql_state(sqlstate));
}

/* Order keys as the contract does. */
static int
compare(const SeEntry *left, const SeEntry *right)
{
	size_t		len = Min(left->key_len, right->key_len);
	int			order = memcmp(left->key, right->key, len);

	return order != 0 ? order : (int) left->key_len - (int) right->key_len;
}

/* Check that each key is there once, in order, with its last value. */
static void
check_distinct(const SeBatch *batch)
{
	SeBatch    *distinct = se_batch_distinct(batch);

	for (int i = 1; i < distinct->count; i++)
		FUZZ_CHECK(compare(&distinct->entries[i - 1], &distinct->entries[i]) < 0);
	for (int i = 0; i < batch->count; i++)
	{
		const SeEntry *last = &batch->entries[i];
		int			low = 0;
		int			high = distinct->count;

		for (int j = i + 1; j < batch->count; j++)
		{
			if (compare(&batch->entries[j], last) == 0)
				last = &batch->entries[j];
		}
		while (high - low > 1)
		{
			int			middle = (low + high) / 2;

			if (compare(&distinct->entries[middle], last) <= 0)
				low = middle;
			else
				high = middle;
		}
		FUZZ_CHECK(fuzz_same_entry(&distinct->entries[low], last));
	}
}

/* Check that an array of the server's has the keys, or the values, of a batch. */
static void
check_bytea_array(ArrayType *array, const SeBatch *batch, bool values)
{
	Datum	   *elements;
	int			count;

	deconstruct_array(array, BYTEAOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	FUZZ_CHECK(count == batch->count);
	for (int i = 0; i < count; i++)
	{
		const SeEntry *entry = &batch->entries[i];
		bytea	   *value = DatumGetByteaPP(elements[i]);
		size_t		len = VARSIZE_ANY_EXHDR(value);

		FUZZ_CHECK(len == (values ? entry->value_len : entry->key_len));
		FUZZ_CHECK(memcmp(VARDATA_ANY(value), values ? entry->value : entry->key, len) == 0);
	}
}

/* Check that a batch is the same when it has been stored and read. */
static void
check_stored(const SeBatch *batch)
{
	bytea	   *stored = se_batch_encode(batch);
	ArrayType  *array = se_batch_decode(stored, TypenameGetTypid("store_entry"));
	SeBatch    *again;

	fuzz_check_stored(stored, batch->entries, batch->count);
	FUZZ_CHECK(ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) == batch->count);
	se_max_value_size = se_max_batch_size = 512 * 1024 * 1024;
	again = se_batch_from_entries(array);
	for (int i = 0; i < batch->count; i++)
		FUZZ_CHECK(fuzz_same_entry(&again->entries[i], &batch->entries[i]));
}

/* Check a batch that was made. */
static void
check_batch(const BatchCall *call)
{
	const SeBatch *batch = call->batch;

	FUZZ_CHECK(batch->count == call->made[0].count);
	for (int i = 0; i < batch->count; i++)
		FUZZ_CHECK(fuzz_same_entry(&batch->entries[i], &call->made[0].entries[i]));
	check_distinct(batch);
	if (batch->count > 0)
	{
		check_bytea_array(se_batch_keys(batch), batch, false);
		check_bytea_array(se_batch_values(batch), batch, true);
	}
	check_stored(batch);
}

/* Give the keys of an array the values of another one, and of other faults. */
static void
join_values(Made *keys, const Made *values)
{
	keys->faults |= values->faults;
	if (keys->count != values->count)
		keys->faults |= FAULT_SHAPE;
	for (int i = 0; i < Min(keys->count, values->count); i++)
	{
		keys->entries[i].value = values->entries[i].key;
		keys->entries[i].value_len = values->entries[i].key_len;
	}
}

/* Make a batch and check it. */
static void
try_batch(FuzzInput *input, BatchKind kind)
{
	BatchCall	call = {.kind = kind};
	int			sqlstate;

	set_limits(input);
	if (!make_array(input, kind == OF_ENTRIES ? "store_entry" : NULL, &call.made[0]))
		return;
	if (kind == OF_ARRAYS)
	{
		if (!make_array(input, NULL, &call.made[1]))
			return;
		join_values(&call.made[0], &call.made[1]);
	}
	if (kind == OF_KEYS)
	{
		for (int i = 0; i < call.made[0].count; i++)
			call.made[0].entries[i].value = call.made[0].entries[i].key;
	}
	check_limits(&call);
	sqlstate = fuzz_attempt(read_batch, &call);
	check_refusal(sqlstate, call.made[0].faults);
	if (sqlstate == 0)
		check_batch(&call);
}

/* ----------------------------------------------------------------- filters */

typedef struct FilterCall
{
	Made		selectors;
	Made		filters;
	SeFilter   *filter;
	SeEntry		entry;
	bool		passes;
} FilterCall;

/* Make a filter. */
static void
make_filter(void *arg)
{
	FilterCall *call = arg;

	call->filter = se_filter_create(call->selectors.array, call->filters.array);
}

/* Apply it. */
static void
apply_filter(void *arg)
{
	FilterCall *call = arg;

	call->passes = se_filter_passes(call->filter, &call->entry, true);
}

/* Check that an entry passes only if its key has the prefix of a selector. */
static void
check_passes(const FilterCall *call)
{
	const SeEntry *entry = &call->entry;

	for (int i = 0; i < call->selectors.count; i++)
	{
		const SeEntry *selector = &call->selectors.entries[i];

		if (selector->key_len <= entry->key_len &&
			memcmp(selector->key, entry->key, selector->key_len) == 0)
			return;
	}
	FUZZ_CHECK(!call->passes);
}

/* Make a filter and apply it to entries. */
static void
try_filter(FuzzInput *input)
{
	FilterCall	call = {0};
	Made	   *made[2] = {&call.selectors, &call.filters};
	int			faults = FAULT_COUNT | FAULT_REGEX | FAULT_LIMIT;

	if (!make_array(input, "store_selector", made[0]) || !make_array(input, "store_filter", made[1]))
		return;
	faults |= made[0]->faults | made[1]->faults;
	if (fuzz_attempt(make_filter, &call) != 0)
	{
		int			sqlstate = fuzz_attempt(make_filter, &call);

		check_refusal(sqlstate, faults);
		return;
	}
	FUZZ_CHECK(call.selectors.faults == 0 && call.filters.faults == 0);
	FUZZ_CHECK(call.selectors.count >= 1 && call.selectors.count <= SE_MAX_SELECTORS);
	FUZZ_CHECK(call.filters.count <= SE_MAX_VALUE_FILTERS);
	for (int i = 0; i < 4; i++)
	{
		int			sqlstate;

		(void) make_value(input, &call.entry.key, &call.entry.key_len);
		(void) make_value(input, &call.entry.value, &call.entry.value_len);
		sqlstate = fuzz_attempt(apply_filter, &call);
		if (sqlstate == 0)
			check_passes(&call);
		else
			FUZZ_CHECK(sqlstate == ERRCODE_STATEMENT_TOO_COMPLEX);
	}
}

/*
 * Run one input.
 */
void
fuzz_arguments(const uint8_t *data, size_t size)
{
	FuzzInput	input = {data, size};
	int			kind = take(&input) % (BATCH_KINDS + 1);

	if (kind < BATCH_KINDS)
		try_batch(&input, kind);
	else
		try_filter(&input);
}
