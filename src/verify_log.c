/*
 * verify_log.c
 *		Verify the batch log: read it once, from its beginning to its end.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "batch_log.h"
#include "verify.h"

/* How many batches to fetch with one call of SPI: they may be large. */
#define FETCH_AT_ONCE 64

/* SQL: the log in order. */
static const char *
log_sql(const SeStore *store)
{
	return psprintf("SELECT sequence_number, stable, payload, deleted_keys, xmin FROM %s"
					" ORDER BY sequence_number",
					store->log_name);
}

/* Its columns. */
enum
{
	LOG_NUMBER = 1,
	LOG_STABLE,
	LOG_PAYLOAD,
	LOG_DELETED_KEYS,
	LOG_XMIN
};

/* A fast start: the log is stored in its order, more or less, so do not sort it. */
static SeStatement log_statement = {.sql = log_sql, .nargs = 0, .options = CURSOR_OPT_FAST_PLAN};

/* A row of the log. */
typedef struct LogRow
{
	HeapTuple	tuple;
	TupleDesc	desc;
	int64		number;
	bool		own;			/* was it written by this transaction? */
} LogRow;

/* Read a column; false if it is NULL. */
static bool
read_column(const LogRow *row, int column, Datum *value)
{
	bool		isnull;

	*value = SPI_getbinval(row->tuple, row->desc, column, &isnull);
	return !isnull;
}

/* Tell whether a row was written by this transaction. */
static bool
is_own_row(const LogRow *row)
{
	Datum		xmin;

	return read_column(row, LOG_XMIN, &xmin) &&
		TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

/* Report batches that are missing, of which there is one at least. */
static void
report_missing(SeVerification *verification, int64 first, int64 last)
{
	SeCheck    *check = &verification->checks[SE_CHECK_LOG];
	int64		number = first;

	while (number <= last && check->problems < SE_MAX_FINDINGS)
	{
		se_verify_report(verification, SE_CHECK_LOG, number, NULL,
						 "The batch is missing, though the log should be complete up to batch %lld.",
						 (long long) verification->found.frontier);
		number++;
	}
	check->problems += last - number + 1;
}

/* See whether a batch is the one that has to come next. */
static void
check_place(SeVerification *verification, int64 number)
{
	int64		floor = verification->found.floor;
	int64		frontier = verification->found.frontier;
	int64		before = Max(verification->highest, floor);

	if (number <= floor)
		se_verify_report(verification, SE_CHECK_LOG, number, NULL,
						 "The batch is there, though the log was pruned up to batch %lld.",
						 (long long) floor);
	else if (number == before)
		se_verify_report(verification, SE_CHECK_LOG, number, NULL,
						 "The batch is there more than once.");
	else if (number > before + 1)
	{
		/* Above the frontier, it may be in flight: check_numbers() tells. */
		verification->unknown = number - 1;
		if (before < frontier)
			report_missing(verification, before + 1, Min(number - 1, frontier));
	}
}

/*
 * See whether what a batch says of those below is true.  What is not above the
 * frontier is known to be there, or to be missing.  A transaction makes the
 * stamps of its own batches with newer eyes than those of its snapshot.
 */
static void
check_stamp(SeVerification *verification, const LogRow *row)
{
	int64		frontier = verification->found.frontier;
	Datum		stable;

	if (!read_column(row, LOG_STABLE, &stable))
		se_verify_report(verification, SE_CHECK_STAMPS, row->number, NULL,
						 "The batch has no stamp.");
	else if (DatumGetInt64(stable) >= row->number)
		se_verify_report(verification, SE_CHECK_STAMPS, row->number, NULL,
						 "The batch says that the log is complete up to batch %lld, which is not below it.",
						 (long long) DatumGetInt64(stable));
	else if (DatumGetInt64(stable) > frontier && !row->own)
		se_verify_report(verification, SE_CHECK_STAMPS, row->number, NULL,
						 "The batch says that the log is complete up to batch %lld, but it is up to batch %lld.",
						 (long long) DatumGetInt64(stable), (long long) frontier);
}

/*
 * Read the entries of a column and hand them on, counting positions.  Those of
 * a batch that should have been pruned are older than others that were, so they
 * do not tell what the table should be.  Returns what is wrong, or NULL.
 */
static const char *
read_entries(SeVerification *verification, int64 number, Datum stored,
			 bool are_deletes, int *position)
{
	const char *problem;
	bytea	   *bytes = se_verify_detoast(stored, &problem);
	SeWireReader reader;
	SeWireStatus status;
	SeEntry		entry;

	if (bytes == NULL)
		return psprintf("cannot be read: %s", problem);
	se_wire_reader_init(&reader, (const uint8_t *) VARDATA_ANY(bytes),
						VARSIZE_ANY_EXHDR(bytes), SE_WIRE_GET_RESPONSE);
	while ((status = se_wire_next_entry(&reader, &entry)) == SE_WIRE_ENTRY)
	{
		CHECK_FOR_INTERRUPTS();
		if (entry.key_len > SE_MAX_KEY_LEN)
			return psprintf("has a key of %zu bytes before byte %zu; the limit is %d bytes",
							entry.key_len, se_wire_position(&reader), SE_MAX_KEY_LEN);
		if (number > verification->found.floor)
			se_verify_add_write(verification, number, (*position)++, &entry, are_deletes);
	}
	if (status == SE_WIRE_MALFORMED)
		return psprintf("is malformed at byte %zu: %s",
						se_wire_position(&reader), reader.problem);
	return NULL;
}

/* See whether a column can be decoded, and hand on what is in it. */
static void
check_column(SeVerification *verification, const LogRow *row, int column, int *position)
{
	Datum		stored;
	const char *problem = "is NULL";

	if (read_column(row, column, &stored))
	{
		if (row->number > verification->found.floor &&
			row->number <= verification->tally.number)
			verification->bytes += toast_raw_datum_size(stored) - VARHDRSZ;
		problem = read_entries(verification, row->number, stored,
							   column == LOG_DELETED_KEYS, position);
	}
	else if (column == LOG_DELETED_KEYS)
		return;
	if (problem == NULL)
		return;
	se_verify_report(verification, SE_CHECK_PAYLOAD, row->number, NULL,
					 "The column %s %s.", SPI_fname(row->desc, column), problem);
	verification->unknown = Max(verification->unknown, row->number);
}

/* Verify a batch. */
static void
check_batch(SeVerification *verification, const LogRow *row)
{
	int			position = 0;

	verification->checks[SE_CHECK_LOG].checked++;
	check_place(verification, row->number);

	verification->checks[SE_CHECK_STAMPS].checked++;
	check_stamp(verification, row);

	verification->checks[SE_CHECK_PAYLOAD].checked++;
	check_column(verification, row, LOG_PAYLOAD, &position);
	check_column(verification, row, LOG_DELETED_KEYS, &position);

	if (row->number > verification->found.floor && verification->oldest == 0)
		verification->oldest = row->number;
	verification->highest = row->number;
	if (!row->own)
		verification->settled = row->number;
}

/* Verify the batches of a fetch. */
static void
check_batches(SeVerification *verification, SPITupleTable *rows, MemoryContext context)
{
	SeCheck    *check = &verification->checks[SE_CHECK_LOG];
	int64		expected = Max(verification->found.top, verification->found.frontier) -
		verification->found.floor;

	for (uint64 i = 0; i < rows->numvals; i++)
	{
		MemoryContext old_context = MemoryContextSwitchTo(context);
		LogRow		row = {.tuple = rows->vals[i], .desc = rows->tupdesc};
		Datum		number;

		/* It is NULL in what is no primary key, so not here. */
		(void) read_column(&row, LOG_NUMBER, &number);
		row.number = DatumGetInt64(number);
		row.own = is_own_row(&row);
		check_batch(verification, &row);
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(context);
		se_verify_notice(verification, "checked %lld of %lld batches",
						 (long long) check->checked, (long long) Max(expected, check->checked));
	}
}

/*
 * Verify the log, as the active snapshot shows it, and hand its writes on.  The
 * caller has locked the store, found the frontier, and is connected to SPI.
 */
void
se_verify_log(SeVerification *verification)
{
	const SeStore *store = verification->store;
	MemoryContext context = AllocSetContextCreate(verification->context, "storeengine batch",
												  ALLOCSET_DEFAULT_SIZES);
	bool		more = true;
	int64		last;
	Portal		portal;

	se_store_prepare(store, &log_statement);
	portal = SPI_cursor_open(NULL, log_statement.plan, NULL, NULL, true);
	while (more)
	{
		SPI_cursor_fetch(portal, true, FETCH_AT_ONCE);
		more = SPI_processed > 0;
		check_batches(verification, SPI_tuptable, context);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(context);

	last = Max(verification->highest, verification->found.floor);
	if (last < verification->found.frontier)
	{
		verification->unknown = verification->found.frontier;
		report_missing(verification, last + 1, verification->found.frontier);
	}
}
