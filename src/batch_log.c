/*
 * batch_log.c
 *		The log: append to it, read from it, prune it, fill its holes.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "batch_log.h"
#include "control.h"
#include "frontier.h"
#include "history.h"
#include "log_direct.h"
#include "sequencer.h"

/* SQL: add a batch. */
static const char *
append_sql(const SeStore *store)
{
	return psprintf("INSERT INTO %s"
					" (sequence_number, stable, written_at, payload, deleted_keys)"
					" VALUES ($1, $2, pg_catalog.clock_timestamp(), $3, $4)",
					store->log_name);
}

/* SQL: read a batch. */
static const char *
fetch_sql(const SeStore *store)
{
	return psprintf("SELECT payload FROM %s"
					" WHERE sequence_number OPERATOR(pg_catalog.=) $1",
					store->log_name);
}

/* SQL: find out when a batch was written. */
static const char *
written_at_sql(const SeStore *store)
{
	return psprintf("SELECT written_at FROM ONLY %s"
					" WHERE sequence_number OPERATOR(pg_catalog.=) $1",
					store->log_name);
}

/* SQL: delete the batches above one number and up to another. */
static const char *
prune_sql(const SeStore *store)
{
	return psprintf("DELETE FROM %s"
					" WHERE sequence_number OPERATOR(pg_catalog.>) $1"
					" AND sequence_number OPERATOR(pg_catalog.<=) $2",
					store->log_name);
}

/* SQL: the bytes of the batches above one number and up to another. */
static const char *
count_sql(const SeStore *store)
{
	return psprintf("SELECT coalesce(pg_catalog.sum(" SE_LOG_BYTES "), 0)::pg_catalog.int8 FROM ONLY %s"
					" WHERE sequence_number OPERATOR(pg_catalog.>) $1"
					" AND sequence_number OPERATOR(pg_catalog.<=) $2",
					store->log_name);
}

/* SQL: find a batch above one number and up to another. */
static const char *
remain_sql(const SeStore *store)
{
	return psprintf("SELECT FROM %s"
					" WHERE sequence_number OPERATOR(pg_catalog.>) $1"
					" AND sequence_number OPERATOR(pg_catalog.<=) $2 LIMIT 1",
					store->log_name);
}

/* SQL: add empty batches. */
static const char *
fill_sql(const SeStore *store)
{
	return psprintf("INSERT INTO %s"
					" (sequence_number, stable, written_at, payload)"
					" SELECT hole, $2, pg_catalog.clock_timestamp(), ''"
					" FROM pg_catalog.unnest($1) AS hole",
					store->log_name);
}

/* A generic plan: a batch must not become a constant in one made for it. */
static SeStatement append_statement = {.sql = append_sql, .nargs = 4, .argtypes = {INT8OID, INT8OID, BYTEAOID, BYTEAOID}, .options = CURSOR_OPT_GENERIC_PLAN};
static SeStatement fetch_statement = {.sql = fetch_sql, .nargs = 1, .argtypes = {INT8OID}};
static SeStatement written_at_statement = {.sql = written_at_sql, .nargs = 1, .argtypes = {INT8OID}};
static SeStatement count_statement = {.sql = count_sql, .nargs = 2, .argtypes = {INT8OID, INT8OID}};
static SeStatement prune_statement = {.sql = prune_sql, .nargs = 2, .argtypes = {INT8OID, INT8OID}};
static SeStatement remain_statement = {.sql = remain_sql, .nargs = 2, .argtypes = {INT8OID, INT8OID}};
static SeStatement fill_statement = {.sql = fill_sql, .nargs = 2, .argtypes = {INT8ARRAYOID, INT8OID}};

/* Refuse a caller without a privilege on the log. */
static void
check_privilege(const SeStore *store, AclMode privilege)
{
	AclResult	result = pg_class_aclcheck(store->log, GetUserId(), privilege);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, get_rel_name(store->log));
}

/* Refuse to go on without a row that should have been added. */
static void
check_appended(uint64 expected, uint64 appended)
{
	if (appended != expected)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("the batch was not logged"),
				 errhint("A trigger or a rule on the batch log suppresses rows.")));
}

/* Append a batch by SQL. */
static int64
append_by_sql(const SeStore *store, SeShared *shared, bytea *payload, bytea *deleted_keys)
{
	Datum		args[4];
	char		nulls[4] = {' ', ' ', ' ', ' '};
	int64		number;

	args[1] = Int64GetDatum(se_frontier_stamp(store, shared));
	args[2] = PointerGetDatum(payload);
	args[3] = PointerGetDatum(deleted_keys);
	if (deleted_keys == NULL)
		nulls[3] = 'n';

	SPI_connect();
	se_store_prepare(store, &append_statement);
	number = se_sequencer_allocate(store, shared);
	args[0] = Int64GetDatum(number);
	check_appended(1, se_store_execute(store, &append_statement, args, nulls, false));
	SPI_finish();
	return number;
}

/*
 * Append a batch and return its number.  deleted_keys may be NULL.  The
 * caller has locked the store and every key of the batch.  Raises what
 * se_sequencer_allocate(), se_history_note() and the INSERT raise, and 27000 if a
 * trigger suppresses the row.
 */
int64
se_log_append(const SeStore *store, SeShared *shared,
			  bytea *payload, bytea *deleted_keys)
{
	SeHistory	history;
	bool		new_history;
	SeAppend	append;
	int64		number;

	check_privilege(store, ACL_INSERT);
	new_history = se_history_begin(store, shared, &history);
	if (se_log_begin_append(store, &append))
	{
		int64		stable = se_frontier_stamp(store, shared);

		number = se_sequencer_allocate(store, shared);
		se_log_finish_append(&append, number, stable, payload, deleted_keys);
	}
	else
		number = append_by_sql(store, shared, payload, deleted_keys);
	if (new_history)
		se_history_note(store, &history, number);
	return number;
}

/*
 * Read the stored bytes of a batch with the caller's snapshot; NULL if it is
 * not there.  The caller has locked the store and is connected to SPI; the
 * result is allocated outside it and may be toasted.  Raises XX001 if the row is
 * there and the bytes are not.
 */
bytea *
se_log_fetch(const SeStore *store, int64 number)
{
	Datum		arg = Int64GetDatum(number);
	Datum		payload;
	bool		isnull;

	/* Whoever may not read the log is not to learn what was pruned. */
	if (se_store_execute(store, &fetch_statement, &arg, NULL, true) == 0)
		return NULL;
	/* In the middle of a restore there may be rows that were pruned. */
	if (number <= se_control_read(store, SE_CONTROL_FLOOR, GetActiveSnapshot()))
		return NULL;
	payload = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("batch in the log is damaged"),
				 errdetail("Batch %lld has no payload.", (long long) number)));
	return (bytea *) DatumGetPointer(SPI_datumTransfer(payload, false, -1));
}

/*
 * Tell when a batch was written, as the active snapshot shows it; 0 if it is
 * not there.  The caller has locked the store and is connected to SPI.
 */
TimestampTz
se_log_written_at(const SeStore *store, int64 number)
{
	Datum		arg = Int64GetDatum(number);
	bool		isnull;
	Datum		written_at;

	se_store_check_columns(store);
	if (se_store_execute(store, &written_at_statement, &arg, NULL, true) == 0)
		return 0;
	written_at = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	return isnull ? 0 : DatumGetTimestampTz(written_at);
}

/*
 * Count the bytes of the batches above one number and up to another, as the
 * active snapshot shows them.  The caller has locked the store and is connected
 * to SPI.
 */
int64
se_log_count_bytes(const SeStore *store, int64 above, int64 up_to)
{
	Datum		args[2] = {Int64GetDatum(above), Int64GetDatum(up_to)};
	bool		isnull;

	se_store_check_columns(store);
	(void) se_store_execute(store, &count_statement, args, NULL, true);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* Refuse to prune when row-level security would leave rows behind. */
static void
check_sees_all(const SeStore *store)
{
	if (check_enable_rls(store->log, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot prune the batch log under row-level security"),
				 errdetail("Policies on table \"%s\" could hide batches from the current user.",
						   get_rel_name(store->log)),
				 errhint("Prune as the owner of the table, or as a role with BYPASSRLS.")));
}

/*
 * Refuse a caller who may not prune.  Raises 42501.
 */
void
se_log_check_may_prune(const SeStore *store)
{
	check_privilege(store, ACL_DELETE);
	check_sees_all(store);
}

/*
 * Add the bytes of the batches that are about to be pruned to the floor's, if
 * there is a tally to which they have been added.  It may be newer than the
 * transaction's snapshot.  Whoever prunes need not be able to read batches.
 * The caller keeps others from counting.
 */
static void
add_bytes(const SeStore *store, SeControlItem *floor, int64 target)
{
	SeSavedUser saved;
	int64		tally;

	PushActiveSnapshot(GetLatestSnapshot());
	tally = se_control_read(store, SE_CONTROL_TALLY, GetActiveSnapshot());
	PopActiveSnapshot();
	if (tally < target)
		return;
	se_store_become_owner(store->log_owner, &saved);
	floor->bytes += se_log_count_bytes(store, floor->number, target);
	se_store_become_self(&saved);
}

/*
 * Keep others from pruning and from counting bytes until the transaction ends;
 * false if somebody else does and we are not to wait.  The caller has locked
 * the store.
 */
bool
se_log_lock_pruning(const SeStore *store, bool wait)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, store->control, 0);
	return LockAcquire(&tag, ExclusiveLock, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * Begin to prune below cutoff: see to it that nobody else does, and find the
 * floor and how far to go.  Pruners go one after the other.  The frontier is
 * looked up after the others are out of the way, with a new snapshot where the
 * isolation level allows it; where it does not, and another pruner came first,
 * the DELETE fails with 40001.
 */
static int64
begin_prune(const SeStore *store, int64 cutoff, SeControlItem *floor)
{
	SeFrontier	found;
	int64		target;

	(void) se_log_lock_pruning(store, true);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	se_frontier_read(store, GetActiveSnapshot(), &found);
	se_control_look_up(store, SE_CONTROL_FLOOR, GetActiveSnapshot(), floor);
	PopActiveSnapshot();

	target = Min(cutoff - 1, found.frontier);
	if (target > floor->number)
		add_bytes(store, floor, target);
	return target;
}

/*
 * Delete the batches above the floor and up to target, and return how many
 * there were.  The caller is connected to SPI.
 */
static int64
delete_batches(const SeStore *store, int64 floor, int64 target)
{
	Datum		args[2] = {Int64GetDatum(floor), Int64GetDatum(target)};
	int64		deleted;

	se_log_check_may_prune(store);
	deleted = (int64) se_store_execute(store, &prune_statement, args, NULL, false);
	if (deleted != target - floor &&
		se_store_execute(store, &remain_statement, args, NULL, false) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("part of the batch log could not be pruned"),
				 errhint("A trigger or a rule on the batch log keeps rows.")));
	return deleted;
}

/*
 * Delete the batches below cutoff as far as the log is complete, raise the
 * floor, and return how many were deleted.  The caller has locked the store
 * and is connected to SPI.  Raises 42501 without the right to see and delete
 * all of them, 27000 if a trigger keeps some.  The commit is forced to be
 * durable: a floor that has been seen must not come down in a crash.
 */
int64
se_log_prune(const SeStore *store, int64 cutoff)
{
	SeControlItem floor;
	int64		target;
	int64		deleted;

	se_log_check_may_prune(store);
	target = begin_prune(store, cutoff, &floor);
	if (target <= floor.number)
		return 0;
	deleted = delete_batches(store, floor.number, target);
	se_control_raise(store, SE_CONTROL_FLOOR, target, floor.bytes);
	se_history_forget(store, target);
	ForceSyncCommit();
	return deleted;
}

/*
 * As se_log_prune(), with the rights of the tables' owners, for the worker.
 * The caller has locked the store and is not connected to SPI.
 */
int64
se_log_prune_as_owners(const SeStore *store, int64 cutoff)
{
	SeControlItem floor;
	SeSavedUser saved;
	int64		target = begin_prune(store, cutoff, &floor);
	int64		deleted;

	if (target <= floor.number)
		return 0;
	se_store_become_owner(store->log_owner, &saved);
	deleted = delete_batches(store, floor.number, target);
	se_store_become_self(&saved);
	se_store_become_owner(store->control_owner, &saved);
	se_control_raise(store, SE_CONTROL_FLOOR, target, floor.bytes);
	se_store_become_self(&saved);
	se_history_forget(store, target);
	ForceSyncCommit();
	return deleted;
}

/*
 * Raise what there is to say of a number that is not in the log: SE002 above
 * the frontier, SE001 up to the floor.  Return if it should be there.
 */
void
se_log_check_retained(int64 number, const SeFrontier *found)
{
	if (number > found->frontier)
		ereport(ERROR,
				(errcode(ERRCODE_BATCH_NOT_FOUND),
				 errmsg("batch has not been written yet"),
				 errdetail("Batch %lld was requested, but the current sequence number is %lld.",
						   (long long) number, (long long) found->frontier)));
	if (number <= found->floor)
		ereport(ERROR,
				(errcode(ERRCODE_BATCH_EVICTED),
				 errmsg("batch is no longer retained"),
				 found->frontier > found->floor
				 ? errdetail("Batch %lld was requested, but the oldest retained batch is %lld.",
							 (long long) number, (long long) found->floor + 1)
				 : errdetail("Batch %lld was requested, but no batch is retained.",
							 (long long) number),
				 errhint("Rebuild from store_range_scan(), then resume after store_current_sequence().")));
}

/*
 * Raise XX001 for a batch that should be in the log and is not.
 */
void
se_log_report_missing(int64 number, const SeFrontier *found)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("batch is missing from the log"),
			 errdetail("Batch %lld is not visible, though the log is complete up to batch %lld.",
					   (long long) number, (long long) found->frontier),
			 errhint("It was deleted by other means than store_prune_batch_log(), or row-level security hides it.")));
}

/*
 * Fill holes with empty batches.  The caller knows that the numbers are
 * decided and unused, has locked the store, is connected to SPI and makes the
 * commit durable.  Raises 23505 if there is a batch after all,
 * 27000 if a trigger suppresses a row.
 */
void
se_log_fill(const SeStore *store, const int64 *holes, int count)
{
	Datum	   *numbers = palloc(count * sizeof(Datum));
	Datum		args[2];

	for (int i = 0; i < count; i++)
		numbers[i] = Int64GetDatum(holes[i]);
	args[0] = PointerGetDatum(construct_array(numbers, count, INT8OID, sizeof(int64),
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[1] = Int64GetDatum(holes[0] - 1);
	check_appended(count, se_store_execute(store, &fill_statement, args, NULL, false));
}
