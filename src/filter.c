/*
 * filter.c
 *		Which entries a reader of the log, or a prune of keys, is to have.
 *
 * An entry passes if one of the selectors matches its key and one of the
 * value filters matches its value.  A selector matches a key that starts with
 * its prefix if its regular expression is found in the rest, the payload.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/typcache.h"

#include "entries.h"
#include "filter.h"
#include "regex.h"

typedef struct Bytes
{
	const uint8_t *data;
	size_t		len;
} Bytes;

typedef struct Selector
{
	Bytes		prefix;
	const		SeRegex *payload_regex;
} Selector;

typedef enum ValueFilterKind
{
	VALUE_EXACT,
	VALUE_PREFIX,
	VALUE_REGEX
} ValueFilterKind;

typedef struct ValueFilter
{
	ValueFilterKind kind;
	Bytes		operand;
	const		SeRegex *regex;
} ValueFilter;

struct SeFilter
{
	Selector   *selectors;		/* NULL if all keys pass */
	int			selector_count;
	ValueFilter *value_filters;
	int			value_filter_count;
};

/* A type of two columns whose values are given to us in arrays. */
typedef struct PairType
{
	const char *type_name;
	const char *array_name;		/* as an argument */
	const char *element_name;
	const char *columns[2];
	Oid			types[2];
} PairType;

static const PairType selector_type = {
	"store_selector", "selectors", "selector",
	{"prefix", "payload_regex"}, {BYTEAOID, TEXTOID}
};
static const PairType value_filter_type = {
	"store_filter", "value_filters", "value filter",
	{"kind", "operand"}, {TEXTOID, BYTEAOID}
};

/* The values of a pair's two columns. */
typedef struct Pair
{
	Datum		values[2];
} Pair;

/* Describe a type of pairs, which must be as the extension made it. */
static TupleDesc
pair_descriptor(const PairType *type, Oid oid)
{
	TupleDesc	desc = lookup_rowtype_tupdesc_copy(oid, -1);

	if (desc->natts != 2 ||
		TupleDescAttr(desc, 0)->atttypid != type->types[0] ||
		TupleDescAttr(desc, 1)->atttypid != type->types[1])
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("type %s is not the one the extension made", type->type_name),
				 errdetail("It must have the columns %s of type %s and %s of type %s.",
						   type->columns[0], format_type_be(type->types[0]),
						   type->columns[1], format_type_be(type->types[1]))));
	return desc;
}

/* Read the columns of a pair; position counts from 1. */
static Pair
read_pair(const PairType *type, Datum composite, TupleDesc desc, int position)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(composite);
	HeapTupleData tuple = {0};
	Pair		pair;

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	tuple.t_data = header;
	for (int i = 0; i < 2; i++)
	{
		bool		isnull;

		pair.values[i] = heap_getattr(&tuple, i + 1, desc, &isnull);
		if (isnull)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not contain NULL", type->array_name),
					 errdetail("The %s of %s %d is NULL.",
							   type->columns[i], type->element_name, position)));
	}
	return pair;
}

/* Take an array of pairs apart, if it has as many as it must. */
static Pair *
read_pairs(const PairType *type, ArrayType *array, int least, int most, int *count)
{
	Datum	   *elements;
	bool	   *nulls;
	TupleDesc	desc;
	Pair	   *pairs;

	se_check_one_dimension(array, type->array_name);
	*count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	if (*count < least || *count > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have %d to %d elements", type->array_name, least, most),
				 errdetail("There are %d.", *count)));

	deconstruct_array(array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_DOUBLE,
					  &elements, &nulls, count);
	desc = pair_descriptor(type, ARR_ELEMTYPE(array));
	pairs = palloc(most * sizeof(Pair));
	for (int i = 0; i < *count; i++)
	{
		if (nulls[i])
			se_report_null_element(type->array_name, i + 1);
		pairs[i] = read_pair(type, elements[i], desc, i + 1);
	}
	return pairs;
}

/* Point at the bytes of a bytea. */
static Bytes
bytea_bytes(Datum datum)
{
	bytea	   *value = DatumGetByteaPP(datum);
	Bytes		bytes;

	bytes.data = (const uint8_t *) VARDATA_ANY(value);
	bytes.len = VARSIZE_ANY_EXHDR(value);
	return bytes;
}

/* Make a selector; position counts from 1. */
static Selector
make_selector(const Pair *pair, int position)
{
	Selector	selector;

	selector.prefix = bytea_bytes(pair->values[0]);
	if (selector.prefix.len > SE_MAX_KEY_LEN)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("prefix exceeds the maximum length of a key"),
				 errdetail("The prefix of selector %d is %zu bytes long; the limit is %d bytes.",
						   position, selector.prefix.len, SE_MAX_KEY_LEN)));
	selector.payload_regex = se_regex_compile(DatumGetTextPP(pair->values[1]),
											  psprintf("payload_regex of selector %d", position));
	return selector;
}

/* Find out what kind a value filter is of; position counts from 1. */
static ValueFilterKind
value_filter_kind(const char *kind, int position)
{
	if (strcmp(kind, "exact") == 0)
		return VALUE_EXACT;
	if (strcmp(kind, "prefix") == 0)
		return VALUE_PREFIX;
	if (strcmp(kind, "regex") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("value filter has an unknown kind"),
				 errdetail("Value filter %d is of kind \"%s\".", position, kind),
				 errhint("The kinds are exact, prefix and regex.")));
	return VALUE_REGEX;
}

/* Make a value filter; position counts from 1. */
static ValueFilter
make_value_filter(const Pair *pair, int position)
{
	ValueFilter filter = {0};

	filter.kind = value_filter_kind(TextDatumGetCString(pair->values[0]), position);
	filter.operand = bytea_bytes(pair->values[1]);
	if (filter.kind == VALUE_REGEX)
		filter.regex = se_regex_compile_utf8((const char *) filter.operand.data,
											 filter.operand.len,
											 psprintf("operand of value filter %d", position));
	return filter;
}

/*
 * Make a filter of a store_selector[] and a store_filter[].  NULL instead of
 * either lets all keys, or all values, pass.  The filter is allocated in the
 * current memory context, good until that is reset, and points into the
 * arrays, which must stay where they are.
 *
 * Raises 22023 for too few or too many elements and for unknown kinds, 2202E
 * for arrays of several dimensions, 22004 for NULLs in them, 54000 for
 * prefixes longer than keys can be, 42804 when a type has been altered, and
 * what se_regex_compile() does.
 */
SeFilter *
se_filter_create(ArrayType *selectors, ArrayType *value_filters)
{
	SeFilter   *filter = palloc0(sizeof(SeFilter));
	Pair	   *pairs;

	if (selectors != NULL)
	{
		pairs = read_pairs(&selector_type, selectors, 1, SE_MAX_SELECTORS,
						   &filter->selector_count);
		filter->selectors = palloc(SE_MAX_SELECTORS * sizeof(Selector));
		for (int i = 0; i < filter->selector_count; i++)
			filter->selectors[i] = make_selector(&pairs[i], i + 1);
	}
	if (value_filters != NULL)
	{
		pairs = read_pairs(&value_filter_type, value_filters, 0, SE_MAX_VALUE_FILTERS,
						   &filter->value_filter_count);
		filter->value_filters = palloc(SE_MAX_VALUE_FILTERS * sizeof(ValueFilter));
		for (int i = 0; i < filter->value_filter_count; i++)
			filter->value_filters[i] = make_value_filter(&pairs[i], i + 1);
	}
	return filter;
}

/* Tell whether bytes start with others. */
static bool
starts_with(const uint8_t *bytes, size_t len, const Bytes *prefix)
{
	return len >= prefix->len &&
		(prefix->len == 0 || memcmp(bytes, prefix->data, prefix->len) == 0);
}

/* Tell whether a selector matches a key. */
static bool
selector_matches(const Selector *selector, const SeEntry *entry)
{
	size_t		prefix_len = selector->prefix.len;

	return starts_with(entry->key, entry->key_len, &selector->prefix) &&
		se_regex_search(selector->payload_regex, entry->key + prefix_len,
						entry->key_len - prefix_len, NULL);
}

/* Tell whether a value filter matches a value. */
static bool
value_filter_matches(const ValueFilter *filter, const SeEntry *entry)
{
	switch (filter->kind)
	{
		case VALUE_EXACT:
			return entry->value_len == filter->operand.len &&
				starts_with(entry->value, entry->value_len, &filter->operand);
		case VALUE_PREFIX:
			return starts_with(entry->value, entry->value_len, &filter->operand);
		case VALUE_REGEX:
			break;
	}
	return se_regex_search(filter->regex, entry->value, entry->value_len, NULL);
}

/* Tell whether a key passes. */
static bool
key_passes(const SeFilter * filter, const SeEntry *entry)
{
	for (int i = 0; i < filter->selector_count; i++)
	{
		if (selector_matches(&filter->selectors[i], entry))
			return true;
	}
	return filter->selectors == NULL;
}

/* Tell whether a value passes. */
static bool
value_passes(const SeFilter * filter, const SeEntry *entry)
{
	for (int i = 0; i < filter->value_filter_count; i++)
	{
		if (value_filter_matches(&filter->value_filters[i], entry))
			return true;
	}
	return filter->value_filter_count == 0;
}

/*
 * Tell whether an entry passes.  One without a value, of a delete, passes if
 * its key does.  Raises what se_regex_search() does.
 */
bool
se_filter_passes(const SeFilter * filter, const SeEntry *entry, bool has_value)
{
	return key_passes(filter, entry) && (!has_value || value_passes(filter, entry));
}
