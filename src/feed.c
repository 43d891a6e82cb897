/*
 * feed.c
 *		store_read_log(): the log as a feed.
 *
 * A reader's cursor is the number up to which it has read.  Each call reads
 * batches from there, in order and without a gap, and ends with a row that
 * tells the new cursor, whatever the filters let pass.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "arguments.h"
#include "batch_log.h"
#include "entries.h"
#include "filter.h"
#include "frontier.h"
#include "history.h"
#include "store.h"

PG_FUNCTION_INFO_V1(store_read_log);
PG_FUNCTION_INFO_V1(store_read_log_since);

/* The columns of store_read_log(); the last one is new in version 1.1. */
enum
{
	FEED_SEQUENCE_NUMBER,
	FEED_OP,
	FEED_KEY,
	FEED_VALUE,
	FEED_HISTORY,
	FEED_COLUMNS
};

/* How many batches to fetch with one call of SPI: they may be large. */
#define FETCH_AT_ONCE 64

/* SQL: the batches above one number and up to another, in order. */
static const char *
read_sql(const SeStore *store)
{
	return psprintf("SELECT sequence_number, payload, deleted_keys FROM %s"
					" WHERE sequence_number OPERATOR(pg_catalog.>) $1"
					" AND sequence_number OPERATOR(pg_catalog.<=) $2"
					" ORDER BY sequence_number",
					store->log_name);
}

static SeStatement read_statement = {.sql = read_sql, .nargs = 2, .argtypes = {INT8OID, INT8OID}};

/* A call of store_read_log(). */
typedef struct Feed
{
	SeFrontier	found;			/* of the caller's snapshot */
	int64		cursor;			/* the last batch read */
	int64		last;			/* the last batch that may be read */
	int64		room;			/* bytes that may still be returned */
	bool		empty;			/* has nothing been returned yet? */
	SeFilter   *filter;			/* NULL if everything passes */
	ReturnSetInfo *result;
	MemoryContext batch_context;	/* reset after each batch */
} Feed;

/* The entries of a batch that pass, and their bytes. */
typedef struct Passed
{
	SeEntry    *entries;
	int			count;
	int64		bytes;
} Passed;

/* Read a limit: NULL means none.  Raises 22023 unless it is positive. */
static int64
limit_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	int64		limit = PG_ARGISNULL(argument) ? PG_INT64_MAX : PG_GETARG_INT64(argument);

	if (limit <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be positive", name),
				 errdetail("It is %lld.", (long long) limit)));
	return limit;
}

/* Return what was put or deleted; a deleted key has no value. */
static void
emit(Feed *feed, int64 number, const char *op, const SeEntry *entry, bool has_value)
{
	Datum		values[FEED_COLUMNS] = {0};
	bool		nulls[FEED_COLUMNS] = {false};

	CHECK_FOR_INTERRUPTS();
	values[FEED_SEQUENCE_NUMBER] = Int64GetDatum(number);
	values[FEED_OP] = CStringGetTextDatum(op);
	values[FEED_KEY] = se_bytea_datum(entry->key, entry->key_len);
	nulls[FEED_VALUE] = !has_value;
	if (has_value)
		values[FEED_VALUE] = se_bytea_datum(entry->value, entry->value_len);
	nulls[FEED_HISTORY] = true;
	tuplestore_putvalues(feed->result->setResult, feed->result->setDesc, values, nulls);
	for (int i = FEED_OP; i < FEED_COLUMNS; i++)
	{
		if (!nulls[i])
			pfree(DatumGetPointer(values[i]));
	}
}

/* Return the last row: the new cursor, and the history that it belongs to. */
static void
emit_progress(const SeStore *store, Feed *feed)
{
	Datum		values[FEED_COLUMNS] = {0};
	bool		nulls[FEED_COLUMNS] = {false};
	pg_uuid_t	history;

	values[FEED_SEQUENCE_NUMBER] = Int64GetDatum(feed->cursor);
	values[FEED_OP] = CStringGetTextDatum("progress");
	nulls[FEED_KEY] = nulls[FEED_VALUE] = true;
	nulls[FEED_HISTORY] = !se_history_of(store, feed->cursor, &history);
	values[FEED_HISTORY] = UUIDPGetDatum(&history);
	tuplestore_putvalues(feed->result->setResult, feed->result->setDesc, values, nulls);
}

/* Pick those of a batch's stored entries that pass. */
static void
pick(Feed *feed, bytea *stored, bool has_value, Passed *passed)
{
	SeBatch    *batch = se_batch_from_stored(stored);

	passed->entries = batch->entries;
	passed->count = 0;
	for (int i = 0; i < batch->count; i++)
	{
		SeEntry    *entry = &batch->entries[i];

		CHECK_FOR_INTERRUPTS();
		if (feed->filter != NULL && !se_filter_passes(feed->filter, entry, has_value))
			continue;
		passed->entries[passed->count++] = *entry;
		passed->bytes += entry->key_len + (has_value ? entry->value_len : 0);
	}
}

/* Return the rows of a batch, whole or not at all; false if there is no room. */
static bool
emit_batch(Feed *feed, int64 number, bytea *payload, bytea *deleted_keys)
{
	Passed		puts = {0};
	Passed		deletes = {0};

	pick(feed, payload, true, &puts);
	if (deleted_keys != NULL)
		pick(feed, deleted_keys, false, &deletes);

	if (puts.bytes + deletes.bytes > feed->room && !feed->empty)
		return false;
	for (int i = 0; i < puts.count; i++)
		emit(feed, number, "put", &puts.entries[i], true);
	for (int i = 0; i < deletes.count; i++)
		emit(feed, number, "delete", &deletes.entries[i], false);
	feed->empty = feed->empty && puts.count + deletes.count == 0;
	feed->room -= puts.bytes + deletes.bytes;
	return true;
}

/* Read a column of a fetched row; NULL if it is NULL.  It may be detoasted. */
static bytea *
bytea_column(HeapTuple row, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(row, desc, column, &isnull);

	if (SPI_gettypeid(desc, column) != BYTEAOID)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of table \"store_batch_log\" has been altered",
						SPI_fname(desc, column)),
				 errhint("Its type must be bytea.")));
	return isnull ? NULL : DatumGetByteaPP(value);
}

/* Read a batch; false if there is no room for it. */
static bool
read_batch(Feed *feed, HeapTuple row, TupleDesc desc)
{
	MemoryContext old_context;
	bool		isnull;
	int64		number = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
	bytea	   *payload;
	bool		fits;

	if (number != feed->cursor + 1)
		se_log_report_missing(feed->cursor + 1, &feed->found);

	old_context = MemoryContextSwitchTo(feed->batch_context);
	payload = bytea_column(row, desc, 2);
	if (payload == NULL)
		se_log_report_missing(number, &feed->found);
	fits = emit_batch(feed, number, payload, bytea_column(row, desc, 3));
	MemoryContextSwitchTo(old_context);
	MemoryContextReset(feed->batch_context);
	if (fits)
		feed->cursor = number;
	return fits;
}

/* Read batches with the caller's snapshot until there is no room for more. */
static void
read_batches(const SeStore *store, Feed *feed)
{
	Datum		args[2] = {Int64GetDatum(feed->cursor), Int64GetDatum(feed->last)};
	bool		more = feed->cursor < feed->last;
	Portal		portal;

	if (!more)
		return;
	se_store_prepare(store, &read_statement);
	portal = SPI_cursor_open(NULL, read_statement.plan, args, NULL, true);
	while (more)
	{
		SPI_cursor_fetch(portal, true, FETCH_AT_ONCE);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed && more; i++)
			more = read_batch(feed, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	if (more && feed->cursor < feed->last)
		se_log_report_missing(feed->cursor + 1, &feed->found);
}

/*
 * Place the cursor.  NULL, and whatever is above the current number, means
 * from the next batch on.  Raises SE001 if the batch after it was pruned.
 */
static void
place_cursor(Feed *feed, bool at_end, int64 since, int64 max_batches)
{
	int64		frontier = feed->found.frontier;

	feed->cursor = at_end ? frontier : Min(since, frontier);
	if (feed->cursor < feed->found.floor)
		se_log_check_retained(feed->cursor + 1, &feed->found);
	feed->last = frontier - feed->cursor > max_batches ? feed->cursor + max_batches : frontier;
}

/*
 * See to it that the store has been through what the cursor has seen, if we
 * were told its history; then a cursor above the current number is not one
 * that asks for new batches.  Of one below the floor the history may have been
 * forgotten.  Raises SE001, SE003, SE004.
 */
static void
check_history(FunctionCallInfo fcinfo, int argument, const SeStore *store, int64 since,
			  const SeFrontier *found)
{
	/* Version 1.0 of the function has no such argument. */
	if (PG_NARGS() <= argument || PG_ARGISNULL(argument))
		return;
	if (since < found->floor)
		se_log_check_retained(since + 1, found);
	se_history_check_cursor(store, PG_GETARG_UUID_P(argument), since, found->frontier);
	if (since > found->frontier)
		se_report_not_ready(since, found->frontier);
}

/*
 * store_read_log(since bigint, selectors store_selector[],
 *				  value_filters store_filter[], max_batches bigint,
 *				  max_bytes bigint, min_sequence_number bigint, since_history uuid)
 *		returns table (sequence_number bigint, op text, key bytea, value bytea,
 *					   history uuid)
 */
Datum
store_read_log(PG_FUNCTION_ARGS)
{
	Feed		feed = {.empty = true};
	int64		since = PG_ARGISNULL(0) ? 0 : se_number_argument(fcinfo, 0, "since");
	int64		max_batches = limit_argument(fcinfo, 3, "max_batches");
	SeStore    *store = se_store_lock(AccessShareLock);

	/* Nobody else is to have patterns compiled. */
	se_check_may_read_numbers(store);
	feed.room = limit_argument(fcinfo, 4, "max_bytes");
	if (!PG_ARGISNULL(1) || !PG_ARGISNULL(2))
		feed.filter = se_filter_create(PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1),
									   PG_ARGISNULL(2) ? NULL : PG_GETARG_ARRAYTYPE_P(2));
	se_check_min_sequence_number(fcinfo, 5);
	se_read_frontier(&feed.found);
	if (!PG_ARGISNULL(0))
		check_history(fcinfo, 6, store, since, &feed.found);
	place_cursor(&feed, PG_ARGISNULL(0), since, max_batches);

	InitMaterializedSRF(fcinfo, 0);
	feed.result = (ReturnSetInfo *) fcinfo->resultinfo;
	feed.batch_context = AllocSetContextCreate(CurrentMemoryContext, "storeengine batch",
											   ALLOCSET_DEFAULT_SIZES);
	SPI_connect();
	read_batches(store, &feed);
	SPI_finish();
	emit_progress(store, &feed);
	MemoryContextDelete(feed.batch_context);
	return (Datum) 0;
}

/*
 * The same, for the SQL of version 1.1: the library of 1.0, if it is put back,
 * is not to be found for a function whose history it would not look at.
 */
Datum
store_read_log_since(PG_FUNCTION_ARGS)
{
	return store_read_log(fcinfo);
}
