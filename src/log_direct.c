/*
 * log_direct.c
 *		Append to the log and read it, without SQL: what INSERT and SELECT do
 *		with a plain table.
 *
 * The batch's number is held from when it is taken until the row is there, so
 * whatever can be done before is.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "log_direct.h"

/* bigint > integer, to which the headers give no name. */
#define INT84_GT_OPERATOR 419

/* Make a comparison of column sequence_number or stable with something. */
static Expr *
make_comparison(Oid operator, AttrNumber column, Expr *right)
{
	Expr	   *left = (Expr *) makeVar(1, column, INT8OID, -1, InvalidOid, 0);

	return make_opclause(operator, BOOLOID, false, left, right, InvalidOid, InvalidOid);
}

/* CHECK (sequence_number > 0), CHECK (stable < sequence_number) */
static List *
log_checks(void)
{
	Expr	   *zero = (Expr *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
										  Int32GetDatum(0), false, true);
	Expr	   *number = (Expr *) makeVar(1, SE_LOG_SEQUENCE_NUMBER, INT8OID, -1, InvalidOid, 0);

	return list_make2(make_comparison(INT84_GT_OPERATOR, SE_LOG_SEQUENCE_NUMBER, zero),
					  make_comparison(Int8LessOperator, SE_LOG_STABLE, number));
}

static SePlainTable plain_log = {.key_type = INT8OID, .natts = SE_LOG_NATTS, .checks = log_checks};

/*
 * Get ready to append a batch; false if that has to be done by SQL.  The caller
 * has locked the store.
 */
bool
se_log_begin_append(const SeStore *store, SeAppend *append)
{
	if (!se_direct_may_write(store, store->log, ACL_INSERT, &plain_log))
		return false;
	se_direct_open(&append->direct, store->log, &plain_log);
	append->row = MakeSingleTupleTableSlot(RelationGetDescr(append->direct.table),
										   &TTSOpsVirtual);
	return true;
}

/*
 * Append it.  deleted_keys may be NULL.  The caller sees to it that the
 * constraints hold.  Raises 23505 if there is a batch of that number.
 */
void
se_log_finish_append(SeAppend *append, int64 number, int64 stable,
					 bytea *payload, bytea *deleted_keys)
{
	TupleTableSlot *row = append->row;

	Assert(number > 0 && stable < number);
	row->tts_values[SE_LOG_SEQUENCE_NUMBER - 1] = Int64GetDatum(number);
	row->tts_values[SE_LOG_STABLE - 1] = Int64GetDatum(stable);
	row->tts_values[SE_LOG_WRITTEN_AT - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
	row->tts_values[SE_LOG_PAYLOAD - 1] = PointerGetDatum(payload);
	row->tts_values[SE_LOG_DELETED_KEYS - 1] = PointerGetDatum(deleted_keys);
	memset(row->tts_isnull, false, SE_LOG_NATTS * sizeof(bool));
	row->tts_isnull[SE_LOG_DELETED_KEYS - 1] = deleted_keys == NULL;
	ExecStoreVirtualTuple(row);

	table_tuple_insert(append->direct.table, row, GetCurrentCommandId(true), 0, NULL);
	(void) se_direct_index(&append->direct, row, UNIQUE_CHECK_YES, false);
	ExecDropSingleTupleTableSlot(row);
	se_direct_close(&append->direct);
	CommandCounterIncrement();
}

/*
 * Begin to read the batches above one number and up to another, in order, with the
 * caller's snapshot; false if that has to be done by SQL.  The caller has locked
 * the store.
 */
bool
se_log_begin_scan(const SeStore *store, int64 above, int64 up_to, SeLogScan *scan)
{
	ScanKeyData keys[2];

	if (!se_direct_may_read(store, store->log, &plain_log))
		return false;
	scan->table = table_open(store->log, NoLock);
	scan->index = index_open(plain_log.key_index, AccessShareLock);
	scan->row = table_slot_create(scan->table, NULL);
	scan->scan = se_index_beginscan(scan->table, scan->index, GetActiveSnapshot(), 2);
	ScanKeyInit(&keys[0], SE_LOG_SEQUENCE_NUMBER, BTGreaterStrategyNumber, F_INT8GT,
				Int64GetDatum(above));
	ScanKeyInit(&keys[1], SE_LOG_SEQUENCE_NUMBER, BTLessEqualStrategyNumber, F_INT8LE,
				Int64GetDatum(up_to));
	index_rescan(scan->scan, keys, 2, NULL, 0);
	return true;
}

/*
 * Step to the next batch, which is in the scan's row until the next call; false
 * if there is none.
 */
bool
se_log_next(SeLogScan *scan)
{
	return index_getnext_slot(scan->scan, ForwardScanDirection, scan->row);
}

/*
 * End it; the locks are kept until the transaction ends.
 */
void
se_log_end_scan(SeLogScan *scan)
{
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->row);
	index_close(scan->index, NoLock);
	table_close(scan->table, NoLock);
}
