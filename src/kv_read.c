/*
 * kv_read.c
 *		Read the key-value table: a key, many keys, or a range of them.
 *
 * Rows come one at a time, whatever there are: from an index scan that stays open
 * if the table is plain, else by SQL, a page of rows after the other.  A page is a
 * statement of its own, so there is no portal that could go away before its reader
 * does; they fit together, as all of them see the caller's snapshot.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/visibilitymap.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "direct.h"
#include "entries.h"
#include "kv_direct.h"
#include "kv_read.h"

/*
 * How many rows are read ahead where one at a time would be expensive: few at first,
 * in case that few are wanted.
 */
#define FIRST_AHEAD 16
#define MAX_AHEAD 1024

/* SQL: read a key. */
static const char *
get_sql(const SeStore *store)
{
	return psprintf("SELECT value FROM %s WHERE key OPERATOR(pg_catalog.=) $1",
					store->kv_name);
}

/*
 * SQL: read a page of a range, after a key if there is one.  A key can have
 * several rows if somebody has given the table children.
 */
static const char *
make_page_sql(const SeStore *store, const char *columns, const char *direction)
{
	return psprintf("SELECT %s FROM %s"
					" WHERE key OPERATOR(pg_catalog.>=) $1 AND key OPERATOR(pg_catalog.<=) $2"
					" AND ($3 IS NULL OR key OPERATOR(pg_catalog.<>) $3)"
					" ORDER BY key %s FETCH FIRST $4 ROWS WITH TIES",
					columns, store->kv_name, direction);
}

static const char *
pairs_up_sql(const SeStore *store)
{
	return make_page_sql(store, "key, value", "ASC");
}

static const char *
pairs_down_sql(const SeStore *store)
{
	return make_page_sql(store, "key, value", "DESC");
}

static const char *
keys_up_sql(const SeStore *store)
{
	return make_page_sql(store, "key", "ASC");
}

static const char *
keys_down_sql(const SeStore *store)
{
	return make_page_sql(store, "key", "DESC");
}

#define PAGE_STATEMENT(function) \
	{.sql = function, .nargs = 4, .argtypes = {BYTEAOID, BYTEAOID, BYTEAOID, INT8OID}}

static SeStatement get_statement = {.sql = get_sql, .nargs = 1, .argtypes = {BYTEAOID}};

/* By direction, and by whether it is keys alone. */
static SeStatement page_statements[2][2] = {
	{PAGE_STATEMENT(pairs_down_sql), PAGE_STATEMENT(keys_down_sql)},
	{PAGE_STATEMENT(pairs_up_sql), PAGE_STATEMENT(keys_up_sql)}
};

/* A key of a group, to be sorted. */
typedef struct Wanted
{
	uint64		first_bytes;	/* most comparisons end there */
	int			place;
} Wanted;

/* What has been found of a key. */
typedef struct Found
{
	bool		there;
	Datum		value;
} Found;

struct SeKvReader
{
	const SeStore *store;
	Snapshot	snapshot;
	SeReaderRights rights;		/* of who has begun to read */
	bool		(*next) (SeKvReader *reader, Datum *values, bool *isnull);
	MemoryContext rows_context; /* of the rows that have been read ahead */
	int			ahead;			/* how many will be the next time */

	/* A range. */
	SeKvRange	range;
	int64		left;			/* how many more rows there may be */

	/* Many keys. */
	const Datum *keys;
	int			nkeys;
	int			next_key;		/* the first that has not been returned */
	Found	   *group;			/* what has been found of it and of those after it */
	int			ngroup;
	int			next_found;

	/* Directly. */
	Relation	table;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	Buffer		visibility;		/* a page of the visibility map */

	/* By SQL. */
	bytea	   *last_key;		/* that was read, or NULL */
	HeapTuple  *page;
	TupleDesc	page_desc;
	uint64		page_rows;
	uint64		next_row;
	bool		last_page;		/* was that the last one? */
};

/*
 * Note the rights of the current user.
 */
void
se_note_rights(SeReaderRights *rights)
{
	GetUserIdAndSecContext(&rights->user, &rights->context);
}

/*
 * Go on with rights that were noted; own become those to be given back.  An error
 * does that, too.
 */
void
se_take_rights(const SeReaderRights *rights, SeReaderRights *own)
{
	se_note_rights(own);
	SetUserIdAndSecContext(rights->user, rights->context);
}

/*
 * Go on with one's own rights.
 */
void
se_give_back_rights(const SeReaderRights *own)
{
	SetUserIdAndSecContext(own->user, own->context);
}

/* Raise XX001 for a value that the table's constraints rule out. */
pg_noreturn static void
report_null_value(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("value of a key is NULL")));
}

/* Open the table for index scans.  The caller has been told that it may be read. */
static void
open_directly(SeKvReader *reader, int nkeys)
{
	reader->table = table_open(reader->store->kv, NoLock);
	reader->index = index_open(se_plain_kv.key_index, AccessShareLock);
	reader->slot = table_slot_create(reader->table, NULL);
	reader->scan = se_index_beginscan(reader->table, reader->index, reader->snapshot, nkeys);
}

/* Close it; locks are kept until the transaction ends. */
static void
close_directly(SeKvReader *reader)
{
	if (reader->visibility != InvalidBuffer)
		ReleaseBuffer(reader->visibility);
	index_endscan(reader->scan);
	ExecDropSingleTupleTableSlot(reader->slot);
	index_close(reader->index, NoLock);
	table_close(reader->table, NoLock);
}

/* Look for a key; false if there is no row, else it is in the slot. */
static bool
look_up(SeKvReader *reader, Datum key)
{
	ScanKeyData scan_key;

	ScanKeyInit(&scan_key, SE_KV_KEY, BTEqualStrategyNumber, F_BYTEAEQ, key);
	index_rescan(reader->scan, &scan_key, 1, NULL, 0);
	return index_getnext_slot(reader->scan, ForwardScanDirection, reader->slot);
}

/* Read the next row of a range. */
static bool
next_of_range(SeKvReader *reader, Datum *values, bool *isnull)
{
	ScanDirection direction = reader->range.forward ? ForwardScanDirection : BackwardScanDirection;

	if (!index_getnext_slot(reader->scan, direction, reader->slot))
		return false;
	values[0] = slot_getattr(reader->slot, SE_KV_KEY, &isnull[0]);
	values[1] = slot_getattr(reader->slot, SE_KV_VALUE, &isnull[1]);
	return true;
}

/*
 * Read the next key of a range, from the index alone where the visibility map
 * says that everybody sees the row, as an index-only scan does.
 */
static bool
next_key_of_range(SeKvReader *reader, Datum *values, bool *isnull)
{
	ScanDirection direction = reader->range.forward ? ForwardScanDirection : BackwardScanDirection;
	IndexScanDesc scan = reader->scan;
	ItemPointer tid;

	while ((tid = index_getnext_tid(scan, direction)) != NULL)
	{
		BlockNumber block = ItemPointerGetBlockNumber(tid);
		bool		visible;

		CHECK_FOR_INTERRUPTS();
		if (VM_ALL_VISIBLE(reader->table, block, &reader->visibility))
		{
			PredicateLockPage(reader->table, block, reader->snapshot);
			visible = true;
		}
		else
		{
			visible = index_fetch_heap(scan, reader->slot);
			ExecClearTuple(reader->slot);
		}
		if (visible)
		{
			values[0] = index_getattr(scan->xs_itup, SE_KV_KEY, scan->xs_itupdesc, &isnull[0]);
			values[1] = (Datum) 0;
			isnull[1] = true;
			return true;
		}
	}
	return false;
}

/* Tell how many of the rows that are left are to be read ahead now: each time more. */
static int
read_ahead(SeKvReader *reader, int64 left)
{
	int			ahead = reader->ahead;

	reader->ahead = Min(4 * ahead, MAX_AHEAD);
	return Min(ahead, left);
}

/* Make a number of the first bytes of a key, which orders as they do. */
static uint64
first_bytes(Datum key)
{
	bytea	   *bytes = DatumGetByteaPP(key);
	uint64		number = 0;

	memcpy(&number, VARDATA_ANY(bytes), Min(VARSIZE_ANY_EXHDR(bytes), sizeof(number)));
	return pg_ntoh64(number);
}

/* Compare two keys that are wanted. */
static int
compare_wanted(const void *a, const void *b, void *keys)
{
	const Wanted *left = a;
	const Wanted *right = b;

	if (left->first_bytes != right->first_bytes)
		return left->first_bytes < right->first_bytes ? -1 : 1;
	return DatumGetInt32(DirectFunctionCall2(byteacmp, ((const Datum *) keys)[left->place],
											 ((const Datum *) keys)[right->place]));
}

/* Find the value of a key, into the current memory context. */
static void
find(SeKvReader *reader, Datum key, Found *found)
{
	bool		isnull;

	found->value = (Datum) 0;
	found->there = look_up(reader, key);
	if (!found->there)
		return;
	found->value = slot_getattr(reader->slot, SE_KV_VALUE, &isnull);
	if (isnull)
		report_null_value();
	found->value = datumCopy(found->value, false, -1);
}

/*
 * Find the next group of keys.  In ascending order, as neighbours are in pages that
 * have just been used.
 */
static void
find_group(SeKvReader *reader)
{
	const Datum *keys = reader->keys + reader->next_key;
	int			count = read_ahead(reader, reader->nkeys - reader->next_key);
	MemoryContext old_context;
	Wanted	   *sorted;

	MemoryContextReset(reader->rows_context);
	old_context = MemoryContextSwitchTo(reader->rows_context);
	reader->group = palloc(count * sizeof(Found));
	sorted = palloc(count * sizeof(Wanted));
	for (int i = 0; i < count; i++)
		sorted[i] = (Wanted) {.first_bytes = first_bytes(keys[i]), .place = i};
	qsort_arg(sorted, count, sizeof(Wanted), compare_wanted, unconstify(Datum *, keys));
	for (int i = 0; i < count; i++)
	{
		int			place = sorted[i].place;

		CHECK_FOR_INTERRUPTS();
		find(reader, keys[place], &reader->group[place]);
	}
	MemoryContextSwitchTo(old_context);
	reader->ngroup = count;
	reader->next_found = 0;
}

/* Return a key, and what has been found of it. */
static bool
return_found(Datum key, const Found *found, Datum *values, bool *isnull)
{
	values[0] = key;
	isnull[0] = false;
	values[1] = found->value;
	isnull[1] = !found->there;
	return true;
}

/* Read the next of many keys. */
static bool
next_of_keys(SeKvReader *reader, Datum *values, bool *isnull)
{
	if (reader->next_key == reader->nkeys)
		return false;
	if (reader->next_found == reader->ngroup)
		find_group(reader);
	return return_found(reader->keys[reader->next_key++], &reader->group[reader->next_found++],
						values, isnull);
}

/*
 * Refuse rows whose columns are not those that the store was made with: the table
 * may have been altered since it was looked at, by whoever reads.
 */
static void
check_row_types(void)
{
	for (int i = 0; i < SPI_tuptable->tupdesc->natts; i++)
	{
		if (SPI_gettypeid(SPI_tuptable->tupdesc, i + 1) != BYTEAOID)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("column \"%s\" of table \"%s\" has been altered",
							SPI_fname(SPI_tuptable->tupdesc, i + 1), "store_kv"),
					 errhint("Make it again as the extension created it.")));
	}
}

/* Read the value of a key by SQL, into the current memory context. */
static bool
get_by_sql(const SeStore *store, Datum key, Datum *value)
{
	bool		found;
	bool		isnull;

	SPI_connect();
	found = se_store_execute(store, &get_statement, &key, NULL, true) > 0;
	check_row_types();
	if (found)
	{
		*value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		if (isnull)
			report_null_value();
		*value = SPI_datumTransfer(*value, false, -1);
	}
	SPI_finish();
	return found;
}

/* Read the next of many keys by SQL. */
static bool
next_of_keys_by_sql(SeKvReader *reader, Datum *values, bool *isnull)
{
	MemoryContext old_context;
	Found		found = {0};
	SeReaderRights own;
	Datum		key;

	if (reader->next_key == reader->nkeys)
		return false;
	key = reader->keys[reader->next_key++];
	MemoryContextReset(reader->rows_context);
	old_context = MemoryContextSwitchTo(reader->rows_context);
	se_take_rights(&reader->rights, &own);
	PushActiveSnapshot(reader->snapshot);
	found.there = get_by_sql(reader->store, key, &found.value);
	PopActiveSnapshot();
	se_give_back_rights(&own);
	MemoryContextSwitchTo(old_context);
	return return_found(key, &found, values, isnull);
}

/* Have a page of a range read; the caller is connected to SPI. */
static void
fetch_page(SeKvReader *reader, int64 rows)
{
	const SeKvRange *range = &reader->range;
	SeStatement *statement = &page_statements[range->forward][range->keys_only];
	char		nulls[4] = {' ', ' ', reader->last_key == NULL ? 'n' : ' ', ' '};
	Datum		args[4];
	SeReaderRights own;

	args[0] = PointerGetDatum(range->start);
	args[1] = PointerGetDatum(range->end);
	if (reader->last_key != NULL)
		args[range->forward ? 0 : 1] = PointerGetDatum(reader->last_key);
	args[2] = PointerGetDatum(reader->last_key);
	args[3] = Int64GetDatum(rows);
	se_take_rights(&reader->rights, &own);
	PushActiveSnapshot(reader->snapshot);
	reader->page_rows = se_store_execute(reader->store, statement, args, nulls, true);
	PopActiveSnapshot();
	se_give_back_rights(&own);
	check_row_types();
}

/* Read the next page of a range by SQL, and note where the one after begins. */
static void
read_page(SeKvReader *reader)
{
	int			wanted = read_ahead(reader, reader->left);
	MemoryContext old_context;

	MemoryContextReset(reader->rows_context);
	SPI_connect();
	fetch_page(reader, wanted);
	old_context = MemoryContextSwitchTo(reader->rows_context);
	reader->page_desc = CreateTupleDescCopy(SPI_tuptable->tupdesc);
	reader->page = palloc(reader->page_rows * sizeof(HeapTuple));
	for (uint64 i = 0; i < reader->page_rows; i++)
		reader->page[i] = heap_copytuple(SPI_tuptable->vals[i]);
	MemoryContextSwitchTo(old_context);
	SPI_finish();

	reader->next_row = 0;
	reader->last_page = reader->page_rows < wanted;
	if (!reader->last_page)
	{
		bool		isnull;
		Datum		last = heap_getattr(reader->page[reader->page_rows - 1], 1,
										reader->page_desc, &isnull);

		if (reader->last_key != NULL)
			pfree(reader->last_key);
		old_context = MemoryContextSwitchTo(GetMemoryChunkContext(reader));
		reader->last_key = DatumGetByteaPCopy(last);
		MemoryContextSwitchTo(old_context);
	}
}

/* Read the next row of a range by SQL. */
static bool
next_of_range_by_sql(SeKvReader *reader, Datum *values, bool *isnull)
{
	HeapTuple	row;

	if (reader->next_row == reader->page_rows && !reader->last_page)
		read_page(reader);
	if (reader->next_row == reader->page_rows)
		return false;
	row = reader->page[reader->next_row++];
	isnull[1] = true;
	for (int i = 0; i < reader->page_desc->natts; i++)
		values[i] = heap_getattr(row, i + 1, reader->page_desc, &isnull[i]);
	return true;
}

/* Make a reader, which lives in the current memory context. */
static SeKvReader *
make_reader(const SeStore *store, Snapshot snapshot)
{
	SeKvReader *reader = palloc0(sizeof(SeKvReader));

	reader->store = store;
	reader->snapshot = snapshot;
	se_note_rights(&reader->rights);
	reader->ahead = FIRST_AHEAD;
	reader->left = PG_INT64_MAX;
	reader->visibility = InvalidBuffer;
	reader->rows_context = AllocSetContextCreate(CurrentMemoryContext, "storeengine rows",
												 ALLOCSET_DEFAULT_SIZES);
	return reader;
}

/*
 * Make a key that is not below any key with a prefix, in the current memory
 * context: it is longer than all keys.
 */
bytea *
se_kv_last_of_family(const uint8_t *prefix, size_t len)
{
	bytea	   *last = palloc(VARHDRSZ + SE_MAX_KEY_LEN + 1);

	SET_VARSIZE(last, VARHDRSZ + SE_MAX_KEY_LEN + 1);
	memset(VARDATA(last), 0xff, SE_MAX_KEY_LEN + 1);
	memcpy(VARDATA(last), prefix, len);
	return last;
}

/*
 * Begin to read by SQL.  Whoever may not read is told so, even if there is nothing
 * to be read.  The table is kept open between pages, lest this transaction drops it.
 */
static void
begin_by_sql(SeKvReader *reader, bool (*next) (SeKvReader *, Datum *, bool *))
{
	reader->next = next;
	if (reader->range.end == NULL || VARSIZE_ANY_EXHDR(reader->range.end) == 0)
		reader->range.end = se_kv_last_of_family(NULL, 0);
	if (reader->range.start == NULL)
		reader->range.start = reader->range.end;
	reader->table = table_open(reader->store->kv, NoLock);
	SPI_connect();
	fetch_page(reader, 0);
	SPI_finish();
	reader->page_rows = 0;
}

/* Begin the index scan of a range; an end that is no bound costs nothing. */
static void
begin_range_directly(SeKvReader *reader)
{
	const SeKvRange *range = &reader->range;
	ScanKeyData keys[2];
	int			nkeys = 0;

	if (VARSIZE_ANY_EXHDR(range->start) > 0)
		ScanKeyInit(&keys[nkeys++], SE_KV_KEY, BTGreaterEqualStrategyNumber, F_BYTEAGE,
					PointerGetDatum(range->start));
	if (VARSIZE_ANY_EXHDR(range->end) > 0)
		ScanKeyInit(&keys[nkeys++], SE_KV_KEY, BTLessEqualStrategyNumber, F_BYTEALE,
					PointerGetDatum(range->end));
	open_directly(reader, nkeys);
	reader->scan->xs_want_itup = range->keys_only;
	reader->next = range->keys_only ? next_key_of_range : next_of_range;
	index_rescan(reader->scan, keys, nkeys, NULL, 0);
}

/*
 * Begin to read a range in order of keys.  The caller has locked the table of
 * pairs, and keeps the snapshot and the range's ends until the reading has ended.
 * The reader lives in the current memory context, and is to be ended unless an
 * error is raised.
 */
SeKvReader *
se_kv_read_range(const SeStore *store, Snapshot snapshot, const SeKvRange *range)
{
	SeKvReader *reader = make_reader(store, snapshot);

	reader->range = *range;
	reader->left = range->limit;
	if (se_direct_may_read(store, store->kv, &se_plain_kv))
		begin_range_directly(reader);
	else
		begin_by_sql(reader, next_of_range_by_sql);
	return reader;
}

/*
 * Begin to read the values of keys, in the given order.  As se_kv_read_range().
 */
SeKvReader *
se_kv_read_keys(const SeStore *store, Snapshot snapshot, const Datum *keys, int count)
{
	SeKvReader *reader = make_reader(store, snapshot);

	reader->keys = keys;
	reader->nkeys = count;
	if (se_direct_may_read(store, store->kv, &se_plain_kv))
	{
		open_directly(reader, 1);
		reader->next = next_of_keys;
	}
	else
		begin_by_sql(reader, next_of_keys_by_sql);
	return reader;
}

/*
 * Read the next row, key and value, which is there until the next call; of one of
 * many keys that is not there the value is NULL.  Returns false at the end.  Raises
 * XX001 if the value of one of many keys is NULL, and what SQL raises.
 */
bool
se_kv_read_next(SeKvReader *reader, Datum *values, bool *isnull)
{
	bool		found = reader->left > 0 && reader->next(reader, values, isnull);

	/* An index scan that is asked again after its end begins anew. */
	reader->left = found ? reader->left - 1 : 0;
	return found;
}

/*
 * End reading.
 */
void
se_kv_read_end(SeKvReader *reader)
{
	if (reader->scan != NULL)
		close_directly(reader);
	else
		table_close(reader->table, NoLock);
	MemoryContextDelete(reader->rows_context);
	pfree(reader);
}

/* Read the value of a key directly, into the current memory context. */
static bool
get_directly(const SeStore *store, Datum key, Datum *value)
{
	SeKvReader	reader = {.store = store, .snapshot = GetActiveSnapshot(), .visibility = InvalidBuffer};
	Found		found;

	open_directly(&reader, 1);
	find(&reader, key, &found);
	close_directly(&reader);
	*value = found.value;
	return found.there;
}

/*
 * Read the value of a key with the active snapshot into the current memory
 * context; false if there is none.  The caller has locked the table of pairs.
 * Raises XX001 if the value is NULL.
 */
bool
se_kv_get(const SeStore *store, Datum key, Datum *value)
{
	if (se_direct_may_read(store, store->kv, &se_plain_kv))
		return get_directly(store, key, value);
	return get_by_sql(store, key, value);
}
