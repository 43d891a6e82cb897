/*
 * kv_direct.c
 *		The key-value table, without SQL: what INSERT ... ON CONFLICT DO UPDATE
 *		does to a plain table, at less expense.
 *
 * Of a key that is there, the row is overwritten, without having been locked
 * before.  A single key that is not there is added as SQL does it: with a promise
 * to take it back if the index tells that somebody came first.
 *
 * Many in a row that are not there are added to the table together, then to the
 * index one by one, without such promises, in a subtransaction: if it turns out that
 * somebody came first, it is rolled back, and they are put one by one.  A row must
 * not be taken back otherwise: it would be in the index, and two who had each done
 * so would wait for each other.  Of a large batch only a sample is looked for, and
 * if none of it is there, all are added in this way: every way through the index
 * costs as much again.
 *
 * Whoever waits for a key holds all lower ones, and no higher one, as keys are
 * taken in ascending order: those that are to be added are, before a higher one is
 * waited for or overwritten.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "direct.h"
#include "kv_direct.h"

/* integer <= integer, to which the headers give no name. */
#define INT4_LE_OPERATOR 523

/*
 * How many rows are added together, at least and at most, and of how many bytes.
 */
#define MIN_GROUP 16
#define MAX_GROUP 1000
#define MAX_GROUP_BYTES (1024 * 1024)

/*
 * How often in a transaction.  With more than 64 subtransactions, sessions that
 * look at rows of ours would have to look up whose they are.
 */
#define MAX_SUBTRANSACTIONS 32

/*
 * From how many keys on, and by how many of them, it is guessed whether all are
 * new; and for how many batches at most all are looked for after a wrong guess.
 */
#define MIN_UNSEEN 64
#define SAMPLE 8
#define MAX_CAUTION 1024

/* For how many batches all keys are looked for, and were after the last wrong guess. */
static int	caution = 0;
static int	last_caution = 0;

/* What there is of a key. */
typedef enum KeyState
{
	KEY_ABSENT,
	KEY_THERE,					/* its row was found */
	KEY_IN_FLIGHT				/* a row that somebody else is adding */
} KeyState;

/* A batch being put. */
typedef struct Put
{
	SeDirectTable direct;
	CommandId	cid;
	Snapshot	snapshot;		/* the transaction's, if it has one */
	SnapshotData dirty;			/* shows also what others are about to do */
	IndexScanDesc scan;			/* with which keys are looked for */
	ScanKeyData key;
	TupleTableSlot *found;		/* the row that was found */
	bool		unseen;			/* are keys taken for absent without a look? */
	TupleTableSlot **rows;		/* those being put together */
	int			nrows;			/* how many slots there are by now */
	int			waiting;		/* how many of them are to be added */
	Size		bytes;			/* of those */
	MemoryContext context;		/* what is in them */
	TupleDesc	desc;			/* of them, a copy that needs no counting */
} Put;

/* CHECK (octet_length(key) <= 254) */
static List *
kv_checks(void)
{
	Expr	   *key = (Expr *) makeVar(1, SE_KV_KEY, BYTEAOID, -1, InvalidOid, 0);
	Expr	   *length = (Expr *) makeFuncExpr(F_OCTET_LENGTH_BYTEA, INT4OID, list_make1(key),
											   InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	Expr	   *limit = (Expr *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
										   Int32GetDatum(SE_MAX_KEY_LEN), false, true);

	return list_make1(make_opclause(INT4_LE_OPERATOR, BOOLOID, false, length, limit,
									InvalidOid, InvalidOid));
}

/* What the table must be like. */
SePlainTable se_plain_kv = {.key_type = BYTEAOID, .natts = SE_KV_NATTS, .checks = kv_checks};

/* Get ready to put some entries; the caller has locked the store. */
static Put *
begin_put(const SeStore *store, int count)
{
	Put		   *put = palloc0(sizeof(Put));

	CommandCounterIncrement();
	put->cid = GetCurrentCommandId(true);
	if (IsolationUsesXactSnapshot())
	{
		PushCopiedSnapshot(GetTransactionSnapshot());
		UpdateActiveSnapshotCommandId();
		put->snapshot = GetActiveSnapshot();
	}
	se_direct_open(&put->direct, store->kv, &se_plain_kv);
	CheckCmdReplicaIdentity(put->direct.table, CMD_UPDATE);
	InitDirtySnapshot(put->dirty);
	put->scan = se_index_beginscan(put->direct.table, put->direct.index, &put->dirty, 1);
	put->found = table_slot_create(put->direct.table, NULL);
	put->desc = CreateTupleDescCopy(RelationGetDescr(put->direct.table));
	put->rows = palloc(Min(count, MAX_GROUP) * sizeof(TupleTableSlot *));
	put->context = AllocSetContextCreate(CurrentMemoryContext, "storeengine put",
										 ALLOCSET_DEFAULT_SIZES);
	return put;
}

/* What was put becomes visible to the commands that follow. */
static void
end_put(Put *put)
{
	index_endscan(put->scan);
	ExecDropSingleTupleTableSlot(put->found);
	for (int i = 0; i < put->nrows; i++)
		ExecDropSingleTupleTableSlot(put->rows[i]);
	pfree(put->rows);
	if (put->snapshot != NULL)
		PopActiveSnapshot();
	MemoryContextDelete(put->context);
	se_direct_close(&put->direct);
	pfree(put);
	CommandCounterIncrement();
}

/* Make the next row of an entry; it is there until the context is reset. */
static TupleTableSlot *
make_row(Put *put, const SeEntry *entry)
{
	TupleTableSlot *row;
	MemoryContext old_context;

	if (put->nrows == put->waiting)
		put->rows[put->nrows++] =
			MakeSingleTupleTableSlot(put->desc, &TTSOpsVirtual);
	row = put->rows[put->waiting];
	ExecClearTuple(row);
	old_context = MemoryContextSwitchTo(put->context);
	row->tts_values[SE_KV_KEY - 1] = se_bytea_datum(entry->key, entry->key_len);
	row->tts_values[SE_KV_VALUE - 1] = se_bytea_datum(entry->value, entry->value_len);
	MemoryContextSwitchTo(old_context);
	row->tts_isnull[SE_KV_KEY - 1] = row->tts_isnull[SE_KV_VALUE - 1] = false;
	return ExecStoreVirtualTuple(row);
}

/* Let go of the row that was found, and of the index's page. */
static void
let_go(Put *put)
{
	ExecClearTuple(put->found);
	index_rescan(put->scan, &put->key, 1, NULL, 0);
}

/*
 * Wait for the transaction that is adding the row that was found, and may take
 * it back.  Nothing in the index is held meanwhile.
 */
static void
wait_for_inserter(Put *put)
{
	TransactionId inserter = put->dirty.xmin;
	uint32		token = put->dirty.speculativeToken;
	ItemPointerData tid = put->found->tts_tid;

	let_go(put);
	if (token != 0)
		SpeculativeInsertionWait(inserter, token);
	else
		XactLockTableWait(inserter, put->direct.table, &tid, XLTW_InsertIndex);
}

/* Look for the row of a key. */
static KeyState
look_for(Put *put, TupleTableSlot *row)
{
	ScanKeyInit(&put->key, SE_KV_KEY, BTEqualStrategyNumber, F_BYTEAEQ,
				row->tts_values[SE_KV_KEY - 1]);
	index_rescan(put->scan, &put->key, 1, NULL, 0);
	if (!index_getnext_slot(put->scan, ForwardScanDirection, put->found))
		return KEY_ABSENT;
	return TransactionIdIsValid(put->dirty.xmin) ? KEY_IN_FLIGHT : KEY_THERE;
}

/* Refuse to overwrite what the transaction's snapshot does not show. */
static void
check_visible(Put *put)
{
	bool		isnull;
	Datum		xmin;

	if (put->snapshot == NULL ||
		table_tuple_satisfies_snapshot(put->direct.table, put->found, put->snapshot))
		return;
	xmin = slot_getsysattr(put->found, MinTransactionIdAttributeNumber, &isnull);
	if (!TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin)))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
}

/*
 * Overwrite the row that was found; false if somebody else has changed or
 * deleted it.  Waits for who is about to.
 */
static bool
overwrite(Put *put, TupleTableSlot *row)
{
	ItemPointerData tid = put->found->tts_tid;
	TM_FailureData failure;
	LockTupleMode lock_mode;
	SeIndexesToUpdate indexes;
	TM_Result	result;

	check_visible(put);
	let_go(put);
	result = table_tuple_update(put->direct.table, &tid, row, put->cid,
								GetActiveSnapshot(), InvalidSnapshot, true,
								&failure, &lock_mode, &indexes);
	if (result == TM_Updated || result == TM_Deleted)
	{
		if (put->snapshot != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent %s",
							result == TM_Updated ? "update" : "delete")));
		return false;
	}
	if (result != TM_Ok)
		elog(ERROR, "unexpected result of table_tuple_update: %d", (int) result);
	if (se_must_index(indexes))
		(void) se_direct_index(&put->direct, row, UNIQUE_CHECK_YES, true);
	return true;
}

/* Add a row; false if somebody else has added, or is adding, one of its key. */
static bool
add(Put *put, TupleTableSlot *row)
{
	Relation	table = put->direct.table;
	uint32		token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
	bool		unique;

	table_tuple_insert_speculative(table, row, put->cid, 0, NULL, token);
	unique = se_direct_index(&put->direct, row, UNIQUE_CHECK_PARTIAL, false);
	table_tuple_complete_speculative(table, row, token, unique);
	SpeculativeInsertionLockRelease(GetCurrentTransactionId());
	return unique;
}

/* Put one row, with regard to what is there. */
static void
put_row(Put *put, TupleTableSlot *row)
{
	bool		done = false;

	while (!done)
	{
		CHECK_FOR_INTERRUPTS();
		switch (look_for(put, row))
		{
			case KEY_ABSENT:
				done = add(put, row);
				break;
			case KEY_THERE:
				done = overwrite(put, row);
				break;
			case KEY_IN_FLIGHT:
				wait_for_inserter(put);
				break;
		}
	}
}

/* Tell whether a transaction may have one more subtransaction, and count it. */
static bool
may_have_subtransaction(void)
{
	static FullTransactionId last;
	static int	count;
	FullTransactionId current = GetTopFullTransactionId();

	if (!FullTransactionIdEquals(current, last))
		count = 0;
	last = current;
	return count++ < MAX_SUBTRANSACTIONS;
}

/* Add the rows that wait for it to the table, then to the index. */
static void
add_together(Put *put)
{
	MemoryContext old_context = MemoryContextSwitchTo(put->context);

	table_multi_insert(put->direct.table, put->rows, put->waiting, put->cid, 0, NULL);
	MemoryContextSwitchTo(old_context);
	for (int i = 0; i < put->waiting; i++)
	{
		CHECK_FOR_INTERRUPTS();
		(void) se_direct_index(&put->direct, put->rows[i], UNIQUE_CHECK_YES, false);
	}
}

/* Note whether the guess that all keys are new was right. */
static void
note_guess(Put *put, bool right)
{
	if (!put->unseen)
		return;
	put->unseen = false;
	last_caution = right ? last_caution / 2 : Min(Max(2 * last_caution, 1), MAX_CAUTION);
	caution = right ? 0 : last_caution;
}

/* Guess whether all keys of a batch are new. */
static bool
are_new(Put *put, const SeBatch *distinct)
{
	bool		absent = true;

	if (distinct->count < MIN_UNSEEN)
		return false;
	if (caution > 0)
	{
		caution--;
		return false;
	}
	for (int i = 0; absent && i < SAMPLE; i++)
	{
		int			place = (int) ((int64) distinct->count * i / SAMPLE);

		absent = look_for(put, make_row(put, &distinct->entries[place])) == KEY_ABSENT;
	}
	return absent;
}

/* Try to add them in a subtransaction; false if one of the keys is there. */
static bool
try_add_together(Put *put)
{
	MemoryContext old_context = CurrentMemoryContext;
	ResourceOwner old_owner = CurrentResourceOwner;
	volatile bool added = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old_context);
	PG_TRY();
	{
		add_together(put);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(old_context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(old_context);
		CurrentResourceOwner = old_owner;
		if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
			ReThrowError(error);
		FreeErrorData(error);
		added = false;
		note_guess(put, false);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old_context);
	CurrentResourceOwner = old_owner;
	put->cid = GetCurrentCommandId(true);
	return added;
}

/* Add the rows that wait for it, whose keys are probably not there. */
static void
add_waiting(Put *put)
{
	bool		looked = !put->unseen;

	if (put->waiting < MIN_GROUP || !may_have_subtransaction() || !try_add_together(put))
	{
		for (int i = 0; i < put->waiting; i++)
		{
			if (!looked || !add(put, put->rows[i]))
				put_row(put, put->rows[i]);
		}
	}
	put->waiting = 0;
	put->bytes = 0;
}

/* Put an entry; if its key is not there, its row may have to wait. */
static void
put_entry(Put *put, const SeEntry *entry)
{
	TupleTableSlot *row = make_row(put, entry);
	KeyState	state = put->unseen ? KEY_ABSENT : look_for(put, row);

	if (state == KEY_ABSENT)
	{
		put->waiting++;
		put->bytes += entry->key_len + entry->value_len;
		if (put->waiting < MAX_GROUP && put->bytes < MAX_GROUP_BYTES)
			return;
		add_waiting(put);
	}
	else if (state == KEY_IN_FLIGHT || put->waiting > 0 || !overwrite(put, row))
	{
		let_go(put);
		add_waiting(put);
		put_row(put, row);
	}
	MemoryContextReset(put->context);
}

/*
 * Insert or overwrite the pairs of a batch of distinct, ascending keys, which is
 * not empty; false if that has to be done by SQL.  The caller has locked the
 * store.  Raises 40001 as SQL would.
 */
bool
se_kv_put_directly(const SeStore *store, const SeBatch *distinct)
{
	Put		   *put;

	if (!se_direct_may_write(store, store->kv, ACL_SELECT | ACL_INSERT | ACL_UPDATE,
							 &se_plain_kv))
		return false;

	put = begin_put(store, distinct->count);
	put->unseen = are_new(put, distinct);
	for (int i = 0; i < distinct->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_entry(put, &distinct->entries[i]);
	}
	add_waiting(put);
	note_guess(put, true);
	end_put(put);
	return true;
}
