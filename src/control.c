/*
 * control.c
 *		The table store_control: items whose highest visible number counts.
 *
 * An item is raised by adding a row and deleting the lower ones.  Reading the
 * index from its end finds the highest row first, however many dead ones an
 * old snapshot keeps below it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "control.h"

/* Attribute numbers. */
#define CONTROL_NUMBER 2
#define CONTROL_BYTES 3
#define CONTROL_NOTED_AT 4

static const Oid key_types[] = {NAMEOID, INT8OID};

/* Read a column of the row in the slot, 0 if it is NULL or altered. */
static int64
read_column(TupleTableSlot *slot, AttrNumber column, Oid type)
{
	TupleDesc	desc = slot->tts_tupleDescriptor;
	bool		isnull;
	Datum		value;

	if (column > desc->natts || TupleDescAttr(desc, column - 1)->atttypid != type)
		return 0;
	value = slot_getattr(slot, column, &isnull);
	return isnull ? 0 : DatumGetInt64(value);
}

/* Read an item as of a snapshot, or without our own changes. */
static void
read_item(const SeStore *store, const char *item, Snapshot snapshot, bool skip_own,
		  SeControlItem *result)
{
	Relation	table = table_open(store->control, AccessShareLock);
	Relation	index = se_store_open_primary_key(table, key_types, lengthof(key_types));
	TupleTableSlot *slot = table_slot_create(table, NULL);
	IndexScanDesc scan = se_index_beginscan(table, index, snapshot, 1);
	NameData	name;
	ScanKeyData key;

	memset(result, 0, sizeof(SeControlItem));
	namestrcpy(&name, item);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_NAMEEQ, NameGetDatum(&name));
	index_rescan(scan, &key, 1, NULL, 0);
	while (result->number == 0 && index_getnext_slot(scan, BackwardScanDirection, slot))
	{
		bool		isnull;
		Datum		xmin = slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull);

		if (skip_own && TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin)))
			continue;
		result->number = read_column(slot, CONTROL_NUMBER, INT8OID);
		result->bytes = read_column(slot, CONTROL_BYTES, INT8OID);
		result->noted_at = read_column(slot, CONTROL_NOTED_AT, TIMESTAMPTZOID);
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, AccessShareLock);
	table_close(table, AccessShareLock);
}

/*
 * Look an item up as of a snapshot.
 */
void
se_control_look_up(const SeStore *store, const char *item, Snapshot snapshot,
				   SeControlItem *result)
{
	read_item(store, item, snapshot, false, result);
}

/*
 * Read an item's number as of a snapshot; 0 if it has none.
 */
int64
se_control_read(const SeStore *store, const char *item, Snapshot snapshot)
{
	SeControlItem found;

	read_item(store, item, snapshot, false, &found);
	return found.number;
}

/*
 * Read an item's number as it is by now, without changes of this transaction,
 * which may come to nothing.  0 if it has none, or if we have replaced it.
 */
int64
se_control_read_settled(const SeStore *store, const char *item)
{
	SeControlItem found;

	read_item(store, item, SnapshotSelf, true, &found);
	return found.number;
}

/* SQL: add a row. */
static const char *
add_sql(const SeStore *store)
{
	return psprintf("INSERT INTO %s (item, number, bytes, noted_at)"
					" VALUES ($1, $2, $3, pg_catalog.clock_timestamp())",
					store->control_name);
}

/* SQL: delete the rows below. */
static const char *
forget_sql(const SeStore *store)
{
	return psprintf("DELETE FROM %s WHERE item OPERATOR(pg_catalog.=) $1"
					" AND number OPERATOR(pg_catalog.<) $2",
					store->control_name);
}

static SeStatement add_statement = {.sql = add_sql, .nargs = 3, .argtypes = {NAMEOID, INT8OID, INT8OID}};
static SeStatement forget_statement = {.sql = forget_sql, .nargs = 2, .argtypes = {NAMEOID, INT8OID}};

/*
 * Raise an item to a number, with the bytes of all batches up to it, where
 * that is of interest, and with the rights of the current user.  The caller
 * sees to it that numbers only go up, and is connected to SPI.  Raises 27000 if
 * a trigger suppresses the row.
 */
void
se_control_raise(const SeStore *store, const char *item, int64 number, int64 bytes)
{
	NameData	name;
	Datum		args[3];

	namestrcpy(&name, item);
	args[0] = NameGetDatum(&name);
	args[1] = Int64GetDatum(number);
	args[2] = Int64GetDatum(bytes);
	if (se_store_execute(store, &add_statement, args, NULL, false) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("could not note the %s of the batch log", item),
				 errhint("A trigger or a rule on store_control suppresses rows.")));
	(void) se_store_execute(store, &forget_statement, args, NULL, false);
}
