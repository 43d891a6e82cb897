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
#include "log_direct.h"
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

/* Room for a bytea, used again and again. */
typedef struct Scratch
{
	bytea	   *bytes;
	size_t		size;
} Scratch;

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
	Datum		put;			/* what column op says */
	Datum		delete;
	Scratch		key;			/* of the row being returned */
	Scratch		value;
	MemoryContext context;		/* where that room is */
	MemoryContext batch_context;	/* reset after each batch */
} Feed;

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

/* Tell what an entry counts in the limit of bytes. */
static int64
entry_bytes(const SeEntry *entry, bool has_value)
{
	return entry->key_len + (has_value ? entry->value_len : 0);
}

/* Make a bytea, which is there until the scratch is used again. */
static Datum
scratch_bytea(Feed *feed, Scratch *scratch, const uint8_t *bytes, size_t len)
{
	if (scratch->size < VARHDRSZ + len)
	{
		if (scratch->bytes != NULL)
			pfree(scratch->bytes);
		scratch->size = Max(VARHDRSZ + len, 2 * scratch->size);
		scratch->bytes = MemoryContextAlloc(feed->context, scratch->size);
	}
	SET_VARSIZE(scratch->bytes, VARHDRSZ + len);
	memcpy(VARDATA(scratch->bytes), bytes, len);
	return PointerGetDatum(scratch->bytes);
}

/* Return what was put or deleted; a deleted key has no value. */
static void
emit(Feed *feed, int64 number, const SeEntry *entry, bool has_value)
{
	Datum		values[FEED_COLUMNS] = {0};
	bool		nulls[FEED_COLUMNS] = {false};

	values[FEED_SEQUENCE_NUMBER] = Int64GetDatum(number);
	values[FEED_OP] = has_value ? feed->put : feed->delete;
	values[FEED_KEY] = scratch_bytea(feed, &feed->key, entry->key, entry->key_len);
	nulls[FEED_VALUE] = !has_value;
	if (has_value)
		values[FEED_VALUE] = scratch_bytea(feed, &feed->value, entry->value, entry->value_len);
	nulls[FEED_HISTORY] = true;
	tuplestore_putvalues(feed->result->setResult, feed->result->setDesc, values, nulls);
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

/* Read the next of a batch's stored entries that passes; false at the end. */
static bool
next_passing(Feed *feed, SeWireReader *reader, SeEntry *entry, bool has_value)
{
	while (se_stored_next(reader, entry))
	{
		if (feed->filter == NULL || se_filter_passes(feed->filter, entry, has_value))
			return true;
	}
	return false;
}

/* Count the bytes of those entries that pass. */
static int64
passing_bytes(Feed *feed, bytea *stored, bool has_value)
{
	SeWireReader reader;
	SeEntry		entry;
	int64		bytes = 0;

	se_stored_begin(&reader, stored);
	while (next_passing(feed, &reader, &entry, has_value))
		bytes += entry_bytes(&entry, has_value);
	return bytes;
}

/*
 * Tell whether what passes of a batch may still be returned.  It is only counted
 * if that matters: it is never more than what is stored.
 */
static bool
has_room(Feed *feed, bytea *payload, bytea *deleted_keys)
{
	int64		stored = VARSIZE_ANY_EXHDR(payload);

	if (deleted_keys != NULL)
		stored += VARSIZE_ANY_EXHDR(deleted_keys);
	if (feed->empty || stored <= feed->room)
		return true;
	stored = passing_bytes(feed, payload, true);
	if (deleted_keys != NULL)
		stored += passing_bytes(feed, deleted_keys, false);
	return stored <= feed->room;
}

/* Return the entries that pass of what a batch put or deleted. */
static void
emit_entries(Feed *feed, int64 number, bytea *stored, bool has_value)
{
	SeWireReader reader;
	SeEntry		entry;

	se_stored_begin(&reader, stored);
	while (next_passing(feed, &reader, &entry, has_value))
	{
		emit(feed, number, &entry, has_value);
		feed->room -= entry_bytes(&entry, has_value);
		feed->empty = false;
	}
}

/*
 * Return the rows of a batch, whole or not at all; false if there is no room.
 * What takes memory is in the current context.
 */
static bool
emit_batch(Feed *feed, int64 number, bytea *payload, bytea *deleted_keys)
{
	if (!has_room(feed, payload, deleted_keys))
		return false;
	emit_entries(feed, number, payload, true);
	if (deleted_keys != NULL)
		emit_entries(feed, number, deleted_keys, false);
	return true;
}

/*
 * Read the columns of a batch, which should be the next one; false if there is no
 * room for it.
 */
static bool
read_batch(Feed *feed, int64 number, NullableDatum payload, NullableDatum deleted_keys)
{
	MemoryContext old_context;
	bool		fits;

	if (number != feed->cursor + 1)
		se_log_report_missing(feed->cursor + 1, &feed->found);
	if (payload.isnull)
		se_log_report_missing(number, &feed->found);

	old_context = MemoryContextSwitchTo(feed->batch_context);
	fits = emit_batch(feed, number, DatumGetByteaPP(payload.value),
					  deleted_keys.isnull ? NULL : DatumGetByteaPP(deleted_keys.value));
	MemoryContextSwitchTo(old_context);
	MemoryContextReset(feed->batch_context);
	if (fits)
		feed->cursor = number;
	return fits;
}

/* Read a column of a fetched row. */
static NullableDatum
bytea_column(HeapTuple row, TupleDesc desc, int column)
{
	NullableDatum result;

	if (SPI_gettypeid(desc, column) != BYTEAOID)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of table \"store_batch_log\" has been altered",
						SPI_fname(desc, column)),
				 errhint("Its type must be bytea.")));
	result.value = SPI_getbinval(row, desc, column, &result.isnull);
	return result;
}

/* Read a batch that was fetched; false if there is no room for it. */
static bool
read_fetched(Feed *feed, HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	int64		number = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));

	return read_batch(feed, number, bytea_column(row, desc, 2), bytea_column(row, desc, 3));
}

/* Read batches by SQL; false if there was no room for one. */
static bool
read_by_sql(const SeStore *store, Feed *feed)
{
	Datum		args[2] = {Int64GetDatum(feed->cursor), Int64GetDatum(feed->last)};
	bool		more = true;
	Portal		portal;

	SPI_connect();
	se_store_prepare(store, &read_statement);
	portal = SPI_cursor_open(NULL, read_statement.plan, args, NULL, true);
	while (more)
	{
		SPI_cursor_fetch(portal, true, FETCH_AT_ONCE);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed && more; i++)
			more = read_fetched(feed, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	SPI_finish();
	return more;
}

/* Read a column of the log from a slot. */
static NullableDatum
slot_column(TupleTableSlot *row, int column)
{
	NullableDatum result = {row->tts_values[column - 1], row->tts_isnull[column - 1]};

	return result;
}

/* Read batches directly; false if there was no room for one. */
static bool
read_directly(SeLogScan *scan, Feed *feed)
{
	bool		more = true;

	while (more && se_log_next(scan))
	{
		TupleTableSlot *row = scan->row;

		slot_getsomeattrs(row, SE_LOG_NATTS);
		more = read_batch(feed, DatumGetInt64(slot_column(row, SE_LOG_SEQUENCE_NUMBER).value),
						  slot_column(row, SE_LOG_PAYLOAD),
						  slot_column(row, SE_LOG_DELETED_KEYS));
	}
	se_log_end_scan(scan);
	return more;
}

/* Read batches with the caller's snapshot until there is no room for more. */
static void
read_batches(const SeStore *store, Feed *feed)
{
	SeLogScan	scan;
	bool		more;

	if (feed->cursor >= feed->last)
		return;
	if (se_log_begin_scan(store, feed->cursor, feed->last, &scan))
		more = read_directly(&scan, feed);
	else
		more = read_by_sql(store, feed);
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
 * Get ready to return rows.  They are kept one after the other: an allocation set,
 * where they would be by default, gives each a power of two.  The memory is kept from
 * call to call, for a query may have many.
 */
static void
begin_result(Feed *feed, FunctionCallInfo fcinfo)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old_context;

	InitMaterializedSRF(fcinfo, 0);
	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra = GenerationContextCreate(fcinfo->flinfo->fn_mcxt,
														   "storeengine feed",
														   ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(fcinfo->flinfo->fn_extra);
	tuplestore_end(result->setResult);
	result->setResult =
		tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0,
							  false, work_mem);
	MemoryContextSwitchTo(old_context);
	feed->result = result;
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
	int64		required;
	SeStore    *store = se_store_lock(AccessShareLock);

	/* Nobody else is to have patterns compiled. */
	se_check_may_read_numbers(store);
	feed.room = limit_argument(fcinfo, 4, "max_bytes");
	if (!PG_ARGISNULL(1) || !PG_ARGISNULL(2))
		feed.filter = se_filter_create(PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1),
									   PG_ARGISNULL(2) ? NULL : PG_GETARG_ARRAYTYPE_P(2));
	required = PG_ARGISNULL(5) ? 0 : se_number_argument(fcinfo, 5, "min_sequence_number");
	se_frontier_read(store, GetActiveSnapshot(), &feed.found);
	if (feed.found.frontier < required)
		se_report_not_ready(required, feed.found.frontier);
	if (!PG_ARGISNULL(0))
		check_history(fcinfo, 6, store, since, &feed.found);
	place_cursor(&feed, PG_ARGISNULL(0), since, max_batches);

	begin_result(&feed, fcinfo);
	feed.put = CStringGetTextDatum("put");
	feed.delete = CStringGetTextDatum("delete");
	feed.context = CurrentMemoryContext;
	feed.batch_context = AllocSetContextCreate(CurrentMemoryContext, "storeengine batch",
											   ALLOCSET_DEFAULT_SIZES);
	read_batches(store, &feed);
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
