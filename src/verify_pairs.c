/*
 * verify_pairs.c
 *		Verify that the table of pairs is what the log says.
 *
 * What the log wrote and what the table has goes into one sort, by key: of each
 * key the table's value comes first, then the writes, the last one first.
 * Values are represented by their lengths and hashes.  So memory is bounded,
 * and the table is read in the order in which it is stored.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "verify.h"

/* How many pairs to fetch with one call of SPI. */
#define FETCH_AT_ONCE 100

/* SQL: the table, in no order. */
static const char *
table_sql(const SeStore *store)
{
	return psprintf("SELECT key, value FROM %s", store->kv_name);
}

static SeStatement table_statement = {.sql = table_sql, .nargs = 0};

/* The columns of the sort. */
enum
{
	WRITE_KEY = 1,
	WRITE_NUMBER,				/* of the batch, or IN_TABLE */
	WRITE_POSITION,				/* in the batch */
	WRITE_LENGTH,				/* of the value, or one of the below */
	WRITE_HASH_1,
	WRITE_HASH_2,
	WRITE_COLUMNS = WRITE_HASH_2
};

/* In place of a batch: comes first where numbers descend. */
#define IN_TABLE PG_INT64_MAX

/* In place of lengths. */
#define DELETED (-1)
#define UNREADABLE (-2)			/* which has been reported */

/* A value, or the lack of one. */
typedef struct Value
{
	int32		length;
	int64		hash[2];
} Value;

/* A bytea with room for any key, where alignment is as it has to be. */
typedef union KeyBuffer
{
	int32		header;
	char		bytes[VARHDRSZ + SE_MAX_KEY_LEN];
} KeyBuffer;

/* What is known of a key. */
typedef struct Key
{
	KeyBuffer	buffer;			/* the key, as a bytea */
	int			in_table;		/* how often, which should be once at most */
	Value		table;
	int64		written;		/* the last batch that wrote it, 0 for none */
	Value		log;			/* what that wrote */
} Key;

/* Represent a value. */
static Value
make_value(const uint8_t *bytes, size_t len)
{
	Value		value = {.length = (int32) len};

	for (int i = 0; i < lengthof(value.hash); i++)
		value.hash[i] = (int64) hash_bytes_extended(bytes, (int) len, i);
	return value;
}

/* Make a bytea of a key. */
static void
fill_buffer(KeyBuffer *buffer, const uint8_t *key, size_t len)
{
	SET_VARSIZE(buffer, VARHDRSZ + len);
	memcpy(VARDATA(buffer), key, len);
}

/* Add a write, or what the table has. */
static void
add(SeVerification *verification, const uint8_t *key, size_t len,
	int64 number, int position, const Value *value)
{
	KeyBuffer	buffer;
	Datum		columns[WRITE_COLUMNS];

	fill_buffer(&buffer, key, len);
	columns[WRITE_KEY - 1] = PointerGetDatum(&buffer);
	columns[WRITE_NUMBER - 1] = Int64GetDatum(number);
	columns[WRITE_POSITION - 1] = Int32GetDatum(position);
	columns[WRITE_LENGTH - 1] = Int32GetDatum(value->length);
	columns[WRITE_HASH_1 - 1] = Int64GetDatum(value->hash[0]);
	columns[WRITE_HASH_2 - 1] = Int64GetDatum(value->hash[1]);
	se_sorter_add(&verification->writes, columns);
	verification->nwrites++;
}

/*
 * Get ready for writes.
 */
void
se_verify_begin_pairs(SeVerification *verification)
{
	static const SeSortColumn columns[WRITE_COLUMNS] = {
		{BYTEAOID, false}, {INT8OID, true}, {INT4OID, true},
		{INT4OID, false}, {INT8OID, false}, {INT8OID, false}
	};

	se_sorter_begin(&verification->writes, columns, WRITE_COLUMNS, WRITE_POSITION);
}

/*
 * Take a write into account: the entry of a batch at a position, whose key is
 * not too long.
 */
void
se_verify_add_write(SeVerification *verification, int64 number, int position,
					const SeEntry *entry, bool is_delete)
{
	Value		value = {.length = DELETED};

	if (!is_delete)
		value = make_value(entry->value, entry->value_len);
	add(verification, entry->key, entry->key_len, number, position, &value);
}

/* Represent the value of a pair in the table; report one that cannot be read. */
static Value
read_value(SeVerification *verification, const bytea *key, Datum datum, bool isnull)
{
	const char *problem = "it is NULL";
	bytea	   *bytes = isnull ? NULL : se_verify_detoast(datum, &problem);
	Value		unreadable = {.length = UNREADABLE};

	if (bytes != NULL)
		return make_value((const uint8_t *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	se_verify_report(verification, SE_CHECK_PAIRS, 0, key,
					 "The value in the table cannot be read: %s.", problem);
	return unreadable;
}

/* Read a pair's key; NULL if there is something wrong with it, which is reported. */
static bytea *
read_key(SeVerification *verification, Datum datum, bool isnull)
{
	const char *problem = "it is NULL";
	bytea	   *key = isnull ? NULL : se_verify_detoast(datum, &problem);

	if (key != NULL && VARSIZE_ANY_EXHDR(key) <= SE_MAX_KEY_LEN)
		return key;
	if (key != NULL)
		problem = psprintf("it has %zu bytes, and the limit is %d",
						   (size_t) VARSIZE_ANY_EXHDR(key), SE_MAX_KEY_LEN);
	se_verify_report(verification, SE_CHECK_PAIRS, 0, NULL,
					 "A key in the table cannot be read: %s.", problem);
	return NULL;
}

/* Take a pair of the table into account. */
static void
read_pair(SeVerification *verification, HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	Datum		datum = SPI_getbinval(row, desc, 1, &isnull);
	bytea	   *key = read_key(verification, datum, isnull);
	Value		value;

	if (key == NULL)
		return;
	datum = SPI_getbinval(row, desc, 2, &isnull);
	value = read_value(verification, key, datum, isnull);
	add(verification, (const uint8_t *) VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key),
		IN_TABLE, 0, &value);
}

/* Take the pairs of a fetch into account. */
static void
read_pairs(SeVerification *verification, SPITupleTable *rows, MemoryContext context)
{
	for (uint64 i = 0; i < rows->numvals; i++)
	{
		MemoryContext old_context = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		read_pair(verification, rows->vals[i], rows->tupdesc);
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(context);
	}
}

/* Take the table into account. */
static void
read_table(SeVerification *verification)
{
	const SeStore *store = verification->store;
	int64		before = verification->nwrites;
	bool		more = true;
	MemoryContext context = AllocSetContextCreate(verification->context, "storeengine pair",
												  ALLOCSET_DEFAULT_SIZES);
	Portal		portal;

	se_store_prepare(store, &table_statement);
	portal = SPI_cursor_open(NULL, table_statement.plan, NULL, NULL, true);
	while (more)
	{
		SPI_cursor_fetch(portal, true, FETCH_AT_ONCE);
		more = SPI_processed > 0;
		read_pairs(verification, SPI_tuptable, context);
		SPI_freetuptable(SPI_tuptable);
		se_verify_notice(verification, "read %lld pairs of the table",
						 (long long) (verification->nwrites - before));
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(context);
}

/* Get the value of the sort's row. */
static Value
row_value(const SeSorter *writes)
{
	Value		value;

	value.length = DatumGetInt32(se_sorter_column(writes, WRITE_LENGTH));
	value.hash[0] = DatumGetInt64(se_sorter_column(writes, WRITE_HASH_1));
	value.hash[1] = DatumGetInt64(se_sorter_column(writes, WRITE_HASH_2));
	return value;
}

/* Tell whether the sort's row is about a key. */
static bool
is_about(const SeSorter *writes, const KeyBuffer *key)
{
	bytea	   *other = DatumGetByteaPP(se_sorter_column(writes, WRITE_KEY));

	return VARSIZE_ANY_EXHDR(other) == VARSIZE(key) - VARHDRSZ &&
		memcmp(VARDATA_ANY(other), VARDATA(key), VARSIZE_ANY_EXHDR(other)) == 0;
}

/*
 * Gather what is known of the key that the sort's row is about, counting rows;
 * false if there is no further one.
 */
static bool
gather(SeSorter *writes, Key *key, int64 *nrows)
{
	bytea	   *bytes = DatumGetByteaPP(se_sorter_column(writes, WRITE_KEY));
	bool		more = true;

	memset(key, 0, sizeof(Key));
	fill_buffer(&key->buffer, (const uint8_t *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	while (more && is_about(writes, &key->buffer))
	{
		int64		number = DatumGetInt64(se_sorter_column(writes, WRITE_NUMBER));

		if (number == IN_TABLE)
		{
			key->in_table++;
			key->table = row_value(writes);
		}
		else if (key->written == 0)
		{
			key->written = number;
			key->log = row_value(writes);
		}
		(*nrows)++;
		more = se_sorter_next(writes);
	}
	return more;
}

/* Say what is wrong with a key that a batch wrote last, NULL if nothing is. */
static const char *
find_fault(const Key *key)
{
	long long	number = (long long) key->written;

	if (key->log.length == DELETED)
		return key->in_table == 0 ? NULL :
			psprintf("Batch %lld deleted the key, but it is in the table.", number);
	if (key->in_table == 0)
		return psprintf("Batch %lld put the key, but it is not in the table.", number);
	if (key->table.length == UNREADABLE)
		return NULL;
	if (key->table.length != key->log.length)
		return psprintf("The length of the value in the table is %d, but of the one that batch %lld put it is %d.",
						key->table.length, number, key->log.length);
	if (key->table.hash[0] != key->log.hash[0] || key->table.hash[1] != key->log.hash[1])
		return psprintf("The value in the table is not the one that batch %lld put.", number);
	return NULL;
}

/*
 * Judge by what is known of a key; false if that says nothing, because its
 * last write may have been pruned.
 */
static bool
judge(SeVerification *verification, const Key *key)
{
	const char *fault;
	const char *doubt = "";

	if (key->in_table > 1)
		fault = psprintf("The key is in the table %d times.", key->in_table);
	else if (key->written != 0)
		fault = find_fault(key);
	else if (verification->found.floor > 0)
		return false;
	else
		fault = "The key is in the table, but no batch wrote it.";

	verification->checks[SE_CHECK_PAIRS].checked++;
	if (fault == NULL)
		return true;
	if (key->written < verification->unknown)
		doubt = psprintf(" Batch %lld, which is missing or damaged, may have written it since.",
						 (long long) verification->unknown);
	se_verify_report(verification, SE_CHECK_PAIRS, key->written, (const bytea *) &key->buffer,
					 "%s%s", fault, doubt);
	return true;
}

/* Compare what the log wrote with what the table has, key by key. */
static void
compare(SeVerification *verification)
{
	SeSorter   *writes = &verification->writes;
	MemoryContext context = AllocSetContextCreate(verification->context, "storeengine key",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);
	int64		nrows = 0;
	int64		pruned = 0;
	bool		more = se_sorter_next(writes);
	Key			key;

	while (more)
	{
		more = gather(writes, &key, &nrows);
		if (!judge(verification, &key))
			pruned++;
		MemoryContextReset(context);
		se_verify_notice(verification, "compared %lld of %lld writes and pairs",
						 (long long) nrows, (long long) verification->nwrites);
	}
	MemoryContextSwitchTo(verification->context);
	if (pruned > 0)
		verification->checks[SE_CHECK_PAIRS].note =
			psprintf("%lld keys were not compared, as their last writes were pruned from the log.",
					 (long long) pruned);
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
}

/*
 * Verify the table, as the active snapshot shows it, by the writes that were
 * handed on.  The caller has locked the store and is connected to SPI.
 */
void
se_verify_pairs(SeVerification *verification)
{
	read_table(verification);
	se_sorter_sort(&verification->writes);
	compare(verification);
	se_sorter_end(&verification->writes);
}
