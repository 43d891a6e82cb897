/*
 * history.c
 *		The table store_histories: which course of events numbers belong to.
 *
 * After a crash, a promotion, a restore, a number that somebody has read may
 * be given out again: to a reader who lost nothing but the connection, the log
 * would look as if it had just gone on.  So whoever first writes to the log
 * after a start of the server begins a new history, which has a name of its
 * own, and follows the batches that are in the log by then.  A number
 * together with the name of the history it was read in says which batch that
 * was.
 *
 * There is no one to write the name down before anybody needs it, and nobody
 * is to wait for anybody.  So the name is made up in shared memory, by the
 * first who needs it, and every writer notes it along with its batch until one
 * of these notes is known to be committed.  Whoever sees a batch so sees a
 * note of its history.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "history.h"

/* An error a client may want to tell apart. */
#define ERRCODE_HISTORY_DIVERGED MAKE_SQLSTATE('S', 'E', '0', '0', '4')

/* The columns of store_histories. */
enum
{
	HISTORY_ORDINAL = 1,
	HISTORY_SEQUENCE_NUMBER,
	HISTORY_NAME,
	HISTORY_FOLLOWS
};

static const Oid key_types[] = {INT8OID, INT8OID};

/* The notes, opened for reading from the newest to the oldest. */
typedef struct Notes
{
	Relation	table;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} Notes;

/* Open the notes as of a snapshot.  A trigger of theirs may have altered them. */
static void
open_notes(Notes *notes, const SeStore *store, Snapshot snapshot)
{
	se_store_check_columns(store);
	notes->table = table_open(store->histories, AccessShareLock);
	notes->index = se_store_open_primary_key(notes->table, key_types, lengthof(key_types));
	notes->slot = table_slot_create(notes->table, NULL);
	notes->scan = se_index_beginscan(notes->table, notes->index, snapshot, 0);
	index_rescan(notes->scan, NULL, 0, NULL, 0);
}

/* Close the notes. */
static void
close_notes(Notes *notes)
{
	index_endscan(notes->scan);
	ExecDropSingleTupleTableSlot(notes->slot);
	index_close(notes->index, AccessShareLock);
	table_close(notes->table, AccessShareLock);
}

/* Read the next older note; false if there is none. */
static bool
next_note(Notes *notes, SeHistory *history)
{
	bool		isnull;

	CHECK_FOR_INTERRUPTS();
	if (!index_getnext_slot(notes->scan, BackwardScanDirection, notes->slot))
		return false;
	history->ordinal = DatumGetInt64(slot_getattr(notes->slot, HISTORY_ORDINAL, &isnull));
	history->name = *DatumGetUUIDP(slot_getattr(notes->slot, HISTORY_NAME, &isnull));
	history->follows = DatumGetInt64(slot_getattr(notes->slot, HISTORY_FOLLOWS, &isnull));
	return true;
}

/* Tell whether the note just read was made by this transaction. */
static bool
is_own_note(Notes *notes)
{
	bool		isnull;
	Datum		xmin = slot_getsysattr(notes->slot, MinTransactionIdAttributeNumber, &isnull);

	return TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

/* Tell whether two names are the same. */
static bool
same_name(const pg_uuid_t * a, const pg_uuid_t * b)
{
	return memcmp(a, b, sizeof(pg_uuid_t)) == 0;
}

/*
 * Read the newest note by now; false if there is none.  SnapshotSelf takes no
 * predicate locks, with which serializable writers would fail each other.
 * *is_own tells whether this transaction made it.
 */
static bool
read_newest(const SeStore *store, SeHistory *newest, bool *is_own)
{
	Notes		notes;
	bool		found;

	memset(newest, 0, sizeof(SeHistory));
	open_notes(&notes, store, SnapshotSelf);
	found = next_note(&notes, newest);
	*is_own = found && is_own_note(&notes);
	close_notes(&notes);
	return found;
}

/* Make up a history to follow the newest one, and what is in the log by now. */
static void
make_history(const SeStore *store, SeShared *shared, const SeHistory *newest, SeHistory *history)
{
	history->ordinal = newest->ordinal + 1;
	history->follows = se_frontier_settled(store, shared);
	history->name = *DatumGetUUIDP(DirectFunctionCall1(gen_random_uuid, (Datum) 0));
}

/*
 * Find the history that batches written now belong to, or begin it; true if
 * it has to be noted with the batch.  For whoever is about to write to the log,
 * before taking a number.  The caller has locked the store.
 *
 * Others may be doing the same; the registry takes the first.  One that was
 * made up by somebody who did not get to note it can have been overtaken by the
 * notes of a restore: batches would be taken for those of a restored history.
 * Then another one is made up in its place.
 *
 * shared is NULL if there is no entry for the store, and so no other writer:
 * the history is for this transaction alone.
 */
bool
se_history_begin(const SeStore *store, SeShared *shared, SeHistory *history)
{
	SeHistory	newest;
	bool		is_own;
	bool		found;

	if (!OidIsValid(store->histories))
		return false;
	if (shared == NULL)
	{
		(void) read_newest(store, &newest, &is_own);
		make_history(store, NULL, &newest, history);
		return true;
	}
	if (pg_atomic_read_u32(&shared->history_noted) != 0)
		return false;
	for (;;)
	{
		SeHistory	next;
		bool		begun = se_registry_history(shared, history);

		found = read_newest(store, &newest, &is_own);
		if (begun && (!found || newest.ordinal < history->ordinal ||
					  same_name(&newest.name, &history->name)))
			break;
		make_history(store, shared, &newest, &next);
		se_registry_propose_history(shared, history, &next);
	}
	if (!found || newest.ordinal < history->ordinal)
		return true;
	if (!is_own)
		pg_atomic_write_u32(&shared->history_noted, 1);
	return false;
}

/* SQL: note a history. */
static const char *
note_sql(const SeStore *store)
{
	return psprintf("INSERT INTO %s (ordinal, sequence_number, history, follows)"
					" VALUES ($1, $2, $3, $4)",
					store->histories_name);
}

/* SQL: forget the histories before the last one that a number is above. */
static const char *
forget_sql(const SeStore *store)
{
	return psprintf("DELETE FROM %s WHERE ordinal OPERATOR(pg_catalog.<)"
					" (SELECT pg_catalog.max(ordinal) FROM %s"
					"  WHERE follows OPERATOR(pg_catalog.<) $1)",
					store->histories_name, store->histories_name);
}

static SeStatement note_statement = {.sql = note_sql, .nargs = 4, .argtypes = {INT8OID, INT8OID, UUIDOID, INT8OID}};
static SeStatement forget_statement = {.sql = forget_sql, .nargs = 1, .argtypes = {INT8OID}};

/*
 * Note a history together with the batch of the given number, which makes the
 * note unique.  Done with the rights of the table's owner: those who may write
 * batches cannot help writing this.  The caller has locked the store.  Raises
 * 27000 if a trigger suppresses the row.
 */
void
se_history_note(const SeStore *store, const SeHistory *history, int64 number)
{
	Datum		args[4] = {Int64GetDatum(history->ordinal), Int64GetDatum(number),
	UUIDPGetDatum(&history->name), Int64GetDatum(history->follows)};
	SeSavedUser saved;
	uint64		noted;

	se_store_become_owner(store->histories_owner, &saved);
	noted = se_store_execute(store, &note_statement, args, NULL, false);
	se_store_become_self(&saved);
	if (noted != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("the history of the store was not noted"),
				 errhint("A trigger or a rule on the table suppresses rows.")));
}

/*
 * Find the history that a number belongs to in the active snapshot, where it
 * must be in the log or the highest pruned one; false if nobody knows, as
 * before the first write.  The caller has locked the store.
 */
bool
se_history_of(const SeStore *store, int64 number, pg_uuid_t * name)
{
	Notes		notes;
	SeHistory	note;
	bool		found = false;

	if (!OidIsValid(store->histories))
		return false;
	open_notes(&notes, store, GetActiveSnapshot());
	while (!found && next_note(&notes, &note))
		found = note.follows < number;
	close_notes(&notes);
	if (found)
		*name = note.name;
	return found;
}

/*
 * Tell whether a history is noted in the active snapshot, and up to which
 * number its batches are in the log; PG_INT64_MAX if it is the present one.
 */
static bool
find_history(const SeStore *store, const pg_uuid_t * name, int64 *end)
{
	Notes		notes;
	SeHistory	note;
	bool		found = false;

	*end = PG_INT64_MAX;
	if (!OidIsValid(store->histories))
		return false;
	open_notes(&notes, store, GetActiveSnapshot());
	while (!found && next_note(&notes, &note))
	{
		found = same_name(&note.name, name);
		if (!found)
			*end = Min(*end, note.follows);
	}
	close_notes(&notes);
	return found;
}

/*
 * Show the notes in the active snapshot, from the newest to the oldest, but for
 * those of this transaction: it made them with newer eyes than those of its
 * snapshot.  The caller has locked the store.
 */
void
se_history_visit(const SeStore *store, SeHistoryVisitor visit, void *arg)
{
	Notes		notes;
	SeHistory	note;
	bool		isnull;

	if (!OidIsValid(store->histories))
		return;
	open_notes(&notes, store, GetActiveSnapshot());
	while (next_note(&notes, &note))
	{
		if (!is_own_note(&notes))
			visit(&note, DatumGetInt64(slot_getattr(notes.slot, HISTORY_SEQUENCE_NUMBER, &isnull)), arg);
	}
	close_notes(&notes);
}

/* Raise SE004. */
static void
report_diverged(const pg_uuid_t * name, int64 cursor, bool known, int64 end)
{
	const char *text = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(name)));

	ereport(ERROR,
			(errcode(ERRCODE_HISTORY_DIVERGED),
			 errmsg("the cursor belongs to another history of the store"),
			 known
			 ? errdetail("The cursor is at batch %lld of history %s, of which this store has batches up to %lld.",
						 (long long) cursor, text, (long long) end)
			 : errdetail("The cursor is at batch %lld of history %s, which this store has not been through.",
						 (long long) cursor, text),
			 errhint("Rebuild from store_range_scan(), then resume after store_current_sequence() in store_history().")));
}

/*
 * Let a cursor pass that was read in a history: the batch it is at must be in
 * this store as of the active snapshot, whose frontier is given, or still be
 * to come.  A standby that lags need not have heard of a history that is
 * ahead of it.  The caller has locked the store.  Raises SE004.
 */
void
se_history_check_cursor(const SeStore *store, const pg_uuid_t * name,
						int64 cursor, int64 frontier)
{
	int64		end;
	bool		known = find_history(store, name, &end);

	if (!known && cursor > frontier && RecoveryInProgress())
		return;
	if (!known || cursor > end)
		report_diverged(name, cursor, known, end);
}

/*
 * Forget the histories of which no batch is left, nor the floor itself.  The
 * caller keeps others from pruning.
 */
void
se_history_forget(const SeStore *store, int64 floor)
{
	Datum		arg = Int64GetDatum(floor);
	SeSavedUser saved;

	if (!OidIsValid(store->histories))
		return;
	se_store_become_owner(store->histories_owner, &saved);
	(void) se_store_execute(store, &forget_statement, &arg, NULL, false);
	se_store_become_self(&saved);
}
