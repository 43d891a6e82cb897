/*
 * kv.c
 *		The key-value table: change it by batches.
 *
 * Every change leaves all keys of the batch locked until the transaction
 * ends, absent ones included, so that of two writers of one key the one that
 * gets the lock first gets the lower number.  Keys are locked in ascending
 * order, so that two batches never wait for each other.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "direct.h"
#include "kv.h"
#include "kv_direct.h"

/* SQL: insert or overwrite pairs. */
static const char *
put_sql(const SeStore *store)
{
	return psprintf("INSERT INTO %s (key, value) SELECT batch.key, batch.value"
					" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2))"
					" AS batch (key, value)"
					" ON CONFLICT (key) DO UPDATE SET value = excluded.value",
					store->kv_name);
}

/*
 * SQL: lock keys.  DO UPDATE locks the rows that are there, though its WHERE
 * keeps it from changing them; the others are inserted, which locks them too.
 */
static const char *
lock_sql(const SeStore *store)
{
	return psprintf("INSERT INTO %s AS kv (key, value) SELECT batch.key, ''"
					" FROM pg_catalog.unnest($1) AS batch (key)"
					" ON CONFLICT (key) DO UPDATE SET value = kv.value WHERE false",
					store->kv_name);
}

/* SQL: delete keys. */
static const char *
delete_sql(const SeStore *store)
{
	return psprintf("DELETE FROM %s WHERE key OPERATOR(pg_catalog.=) ANY ($1)",
					store->kv_name);
}

/* SQL: find a pair of a batch that is not in the table. */
static const char *
unlike_sql(const SeStore *store)
{
	return psprintf("SELECT FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2))"
					" AS batch (key, value)"
					" WHERE NOT EXISTS (SELECT FROM %s AS kv"
					" WHERE kv.key OPERATOR(pg_catalog.=) batch.key"
					" AND kv.value OPERATOR(pg_catalog.=) batch.value) LIMIT 1",
					store->kv_name);
}

/* SQL: find a key of a batch that is in the table. */
static const char *
present_sql(const SeStore *store)
{
	return psprintf("SELECT FROM %s WHERE key OPERATOR(pg_catalog.=) ANY ($1) LIMIT 1",
					store->kv_name);
}

static const Oid key_types[] = {BYTEAOID};

/* Generic plans: a batch must not become a constant in one made for it. */
static SeStatement put_statement = {.sql = put_sql, .nargs = 2, .argtypes = {BYTEAARRAYOID, BYTEAARRAYOID}, .options = CURSOR_OPT_GENERIC_PLAN};
static SeStatement lock_statement = {.sql = lock_sql, .nargs = 1, .argtypes = {BYTEAARRAYOID}, .options = CURSOR_OPT_GENERIC_PLAN};
static SeStatement delete_statement = {.sql = delete_sql, .nargs = 1, .argtypes = {BYTEAARRAYOID}, .options = CURSOR_OPT_GENERIC_PLAN};
static SeStatement unlike_statement = {.sql = unlike_sql, .nargs = 2, .argtypes = {BYTEAARRAYOID, BYTEAARRAYOID}, .options = CURSOR_OPT_GENERIC_PLAN};
static SeStatement present_statement = {.sql = present_sql, .nargs = 1, .argtypes = {BYTEAARRAYOID}, .options = CURSOR_OPT_GENERIC_PLAN};

/*
 * Refuse a batch of which a policy or a trigger of the table's owner left
 * something out: the log would tell of what did not happen.
 */
static void
check_all_changed(const SeStore *store, const SeBatch *distinct, uint64 changed)
{
	if (changed == (uint64) distinct->count)
		return;
	if (check_enable_rls(store->kv, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row-level security forbids part of the batch"),
				 errdetail("It lets %llu of %d keys be changed.",
						   (unsigned long long) changed, distinct->count)));
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("part of the batch was not applied"),
			 errdetail("%llu of %d keys were changed.",
					   (unsigned long long) changed, distinct->count),
			 errhint("A trigger or a rule on the table suppresses changes.")));
}

/* Tell whether changes of the table run triggers, or rules. */
static bool
has_triggers(const SeStore *store)
{
	Relation	table = table_open(store->kv, NoLock);
	bool		result = se_direct_has_triggers(table);

	table_close(table, NoLock);
	return result;
}

/*
 * Refuse a batch after which the table is not as the log will tell, because a
 * trigger changed what was put, or has written the same keys by itself: with a
 * batch of its own, say, whose number is lower than ours though it came later.
 * The statement finds a row if that is so.
 */
static void
check_as_written(const SeStore *store, SeStatement *statement, Datum *args)
{
	if (!has_triggers(store) ||
		se_store_execute(store, statement, args, NULL, false) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("the batch was not applied as it was given"),
			 errdetail("The table differs from what the batch log would tell."),
			 errhint("A trigger or a rule on the table changes rows, or writes keys of the batch that fires it.")));
}

/*
 * Tell whether the transaction's snapshot shows a key's row that we did not
 * write.  SnapshotAny finds all versions, and takes no predicate locks, with
 * which serializable writers would fail each other.
 */
static bool
shows_older_row(Relation table, Relation index, TupleTableSlot *slot, const SeEntry *entry)
{
	IndexScanDesc scan = se_index_beginscan(table, index, SnapshotAny, 1);
	bytea	   *bytes = (bytea *) cstring_to_text_with_len((const char *) entry->key,
														   entry->key_len);
	ScanKeyData key;
	bool		found = false;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_BYTEAEQ, PointerGetDatum(bytes));
	index_rescan(scan, &key, 1, NULL, 0);
	while (!found && index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		Datum		xmin = slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull);

		found = !TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin)) &&
			table_tuple_satisfies_snapshot(table, slot, GetActiveSnapshot());
	}
	index_endscan(scan);
	pfree(bytes);
	return found;
}

/*
 * Refuse to put a key that was deleted since the transaction's snapshot was
 * taken, as an overwritten one is refused.  INSERT itself does not mind, and
 * the transaction would from then on see two rows for one key.
 */
static void
check_none_deleted_since(const SeStore *store, const SeBatch *distinct)
{
	Relation	table = table_open(store->kv, RowExclusiveLock);
	Relation	index = se_store_open_primary_key(table, key_types, lengthof(key_types));
	TupleTableSlot *slot = table_slot_create(table, NULL);
	bool		found = false;

	CommandCounterIncrement();
	PushCopiedSnapshot(GetTransactionSnapshot());
	UpdateActiveSnapshotCommandId();
	for (int i = 0; i < distinct->count && !found; i++)
	{
		CHECK_FOR_INTERRUPTS();
		found = shows_older_row(table, index, slot, &distinct->entries[i]);
	}
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	table_close(table, NoLock);

	if (found)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent delete")));
}

/* Put a batch by SQL. */
static void
put_by_sql(const SeStore *store, const SeBatch *distinct)
{
	Datum		args[2];

	SPI_connect();
	args[0] = PointerGetDatum(se_batch_keys(distinct));
	args[1] = PointerGetDatum(se_batch_values(distinct));
	check_all_changed(store, distinct,
					  se_store_execute(store, &put_statement, args, NULL, false));
	check_as_written(store, &unlike_statement, args);
	SPI_finish();
}

/*
 * Insert or overwrite the pairs of a batch of distinct, ascending keys.  The
 * caller has locked the store.  Raises what the upsert raises: privileges, 40001,
 * 40P01; and 42501 or 27000 if policies or triggers leave something out or make
 * something else of it.
 */
void
se_kv_put(const SeStore *store, const SeBatch *distinct)
{
	if (distinct->count == 0)
		return;
	if (!se_kv_put_directly(store, distinct))
		put_by_sql(store, distinct);
	if (IsolationUsesXactSnapshot())
		check_none_deleted_since(store, distinct);
}

/*
 * Delete the keys of a batch of distinct, ascending keys.  As se_kv_put().
 *
 * A DELETE alone would not lock the keys that are absent, and somebody could
 * insert one of them with a lower number than ours, yet after we looked.
 */
void
se_kv_delete(const SeStore *store, const SeBatch *distinct)
{
	Datum		keys;

	if (distinct->count == 0)
		return;
	SPI_connect();
	keys = PointerGetDatum(se_batch_keys(distinct));
	(void) se_store_execute(store, &lock_statement, &keys, NULL, false);
	check_all_changed(store, distinct,
					  se_store_execute(store, &delete_statement, &keys, NULL, false));
	check_as_written(store, &present_statement, &keys);
	SPI_finish();
}
