/*
 * functions.c
 *		The SQL functions: arguments in, results out.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "batch_log.h"
#include "entries.h"
#include "frontier.h"
#include "kv.h"
#include "registry.h"
#include "store.h"

/* Errors a client may want to tell apart. */
#define ERRCODE_BATCH_EVICTED MAKE_SQLSTATE('S', 'E', '0', '0', '1')
#define ERRCODE_BATCH_NOT_FOUND MAKE_SQLSTATE('S', 'E', '0', '0', '2')
#define ERRCODE_CONSISTENCY_NOT_READY MAKE_SQLSTATE('S', 'E', '0', '0', '3')

PG_FUNCTION_INFO_V1(store_put);
PG_FUNCTION_INFO_V1(store_put_batch);
PG_FUNCTION_INFO_V1(store_put_batch_entries);
PG_FUNCTION_INFO_V1(store_put_request);
PG_FUNCTION_INFO_V1(store_delete_batch);
PG_FUNCTION_INFO_V1(store_get);
PG_FUNCTION_INFO_V1(store_check_keys);
PG_FUNCTION_INFO_V1(store_check_scan);
PG_FUNCTION_INFO_V1(store_scan_bound);
PG_FUNCTION_INFO_V1(store_current_sequence);
PG_FUNCTION_INFO_V1(store_get_batch);
PG_FUNCTION_INFO_V1(store_get_batch_response);
PG_FUNCTION_INFO_V1(store_oldest_retained_batch);
PG_FUNCTION_INFO_V1(store_prune_batch_log);

/* Refuse a NULL argument. */
static void
check_not_null(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be NULL", name)));
}

/* Refuse a negative number. */
static void
check_not_negative(int64 number, const char *name)
{
	if (number < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative", name),
				 errdetail("It is %lld.", (long long) number)));
}

/* Read an argument that is a number and neither NULL nor negative. */
static int64
number_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	check_not_null(fcinfo, argument, name);
	check_not_negative(PG_GETARG_INT64(argument), name);
	return PG_GETARG_INT64(argument);
}

/* Refuse to change anything where nobody can; function is in the message. */
static void
check_may_change(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandIfParallelMode(function);
	PreventCommandDuringRecovery(function);
}

/* Refuse to write a batch where nobody can. */
static void
check_may_write(const char *function)
{
	se_registry_check_available();
	check_may_change(function);
}

/* Put a batch: the table first, which locks the keys, then the log. */
static int64
put_batch(const SeBatch *batch)
{
	SeStore    *store = se_store_lock(RowExclusiveLock);
	SeShared   *shared = se_registry_attach(store->log);
	bytea	   *payload = se_batch_encode(batch);
	SeBatch    *distinct = se_batch_distinct(batch);
	int64		number;

	SPI_connect();
	se_kv_put(store, distinct);
	number = se_log_append(store, shared, payload, NULL);
	SPI_finish();
	return number;
}

/* Delete a batch of keys: the table first, then the log. */
static int64
delete_batch(const SeBatch *batch)
{
	SeStore    *store = se_store_lock(RowExclusiveLock);
	SeShared   *shared = se_registry_attach(store->log);
	bytea	   *deleted_keys = se_batch_encode(batch);
	SeBatch    *distinct = se_batch_distinct(batch);
	SeBatch		nothing = {NULL, 0};
	int64		number;

	SPI_connect();
	se_kv_delete(store, distinct);
	number = se_log_append(store, shared, se_batch_encode(&nothing), deleted_keys);
	SPI_finish();
	return number;
}

/*
 * store_put(key bytea, value bytea) returns bigint
 */
Datum
store_put(PG_FUNCTION_ARGS)
{
	check_may_write("store_put()");
	check_not_null(fcinfo, 0, "key");
	check_not_null(fcinfo, 1, "value");
	PG_RETURN_INT64(put_batch(se_batch_from_pair(PG_GETARG_BYTEA_PP(0),
												 PG_GETARG_BYTEA_PP(1))));
}

/*
 * store_put_batch(keys bytea[], "values" bytea[]) returns bigint
 */
Datum
store_put_batch(PG_FUNCTION_ARGS)
{
	check_may_write("store_put_batch()");
	check_not_null(fcinfo, 0, "keys");
	check_not_null(fcinfo, 1, "values");
	PG_RETURN_INT64(put_batch(se_batch_from_arrays(PG_GETARG_ARRAYTYPE_P(0),
												   PG_GETARG_ARRAYTYPE_P(1))));
}

/*
 * store_put_batch(entries store_entry[]) returns bigint
 */
Datum
store_put_batch_entries(PG_FUNCTION_ARGS)
{
	check_may_write("store_put_batch()");
	check_not_null(fcinfo, 0, "entries");
	PG_RETURN_INT64(put_batch(se_batch_from_entries(PG_GETARG_ARRAYTYPE_P(0))));
}

/*
 * store_put_request(request bytea) returns bigint
 */
Datum
store_put_request(PG_FUNCTION_ARGS)
{
	check_may_write("store_put_request()");
	check_not_null(fcinfo, 0, "request");
	PG_RETURN_INT64(put_batch(se_batch_from_request(PG_GETARG_BYTEA_PP(0))));
}

/*
 * store_delete_batch(keys bytea[]) returns bigint
 */
Datum
store_delete_batch(PG_FUNCTION_ARGS)
{
	check_may_write("store_delete_batch()");
	check_not_null(fcinfo, 0, "keys");
	PG_RETURN_INT64(delete_batch(se_batch_from_keys(PG_GETARG_ARRAYTYPE_P(0))));
}

/* Refuse a caller who may not read the log's numbers. */
static void
check_may_read_numbers(const SeStore *store)
{
	Oid			user = GetUserId();
	AttrNumber	column;

	if (pg_class_aclcheck(store->log, user, ACL_SELECT) == ACLCHECK_OK)
		return;
	column = get_attnum(store->log, "sequence_number");
	if (pg_attribute_aclcheck(store->log, column, user, ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(store->log));
}

/* Find the frontier of the caller's snapshot, if the caller may know it. */
static void
read_frontier(SeFrontier *found)
{
	SeStore    *store = se_store_lock(AccessShareLock);

	check_may_read_numbers(store);
	se_frontier_read(store, GetActiveSnapshot(), found);
}

/*
 * Let a read pass if the caller's snapshot shows a sequence number: a floor
 * under what the read will see.  It never waits, as the snapshot is fixed.
 */
static void
check_min_sequence_number(FunctionCallInfo fcinfo, int argument)
{
	SeFrontier	found;
	int64		required;

	if (PG_ARGISNULL(argument))
		return;
	required = number_argument(fcinfo, argument, "min_sequence_number");
	read_frontier(&found);
	if (found.frontier < required)
		ereport(ERROR,
				(errcode(ERRCODE_CONSISTENCY_NOT_READY),
				 errmsg("the store has not reached the required sequence number"),
				 errdetail("Sequence number %lld is required, but the current one is %lld.",
						   (long long) required, (long long) found.frontier),
				 errhint("Retry in a new statement, once store_current_sequence() has reached the number.")));
}

/*
 * store_get(key bytea, min_sequence_number bigint) returns bytea
 */
Datum
store_get(PG_FUNCTION_ARGS)
{
	SeStore    *store;
	Datum		value;
	bool		found;

	check_min_sequence_number(fcinfo, 1);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();

	store = se_store_find();
	SPI_connect();
	found = se_kv_get(store, PG_GETARG_DATUM(0), &value);
	SPI_finish();
	if (!found)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(value);
}

/*
 * store_check_keys(keys bytea[], min_sequence_number bigint) returns bytea[]
 *
 * What store_get_many() cannot say in SQL: check the arguments, return keys.
 */
Datum
store_check_keys(PG_FUNCTION_ARGS)
{
	check_not_null(fcinfo, 0, "keys");
	se_check_key_array(PG_GETARG_ARRAYTYPE_P(0));
	check_min_sequence_number(fcinfo, 1);
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

/*
 * store_check_scan(start bytea, "end" bytea, "limit" bigint, forward boolean,
 *					min_sequence_number bigint) returns boolean
 *
 * What store_range_scan() cannot say in SQL: check the arguments, tell
 * whether any rows are wanted.  LIMIT itself has refused a negative limit.
 */
Datum
store_check_scan(PG_FUNCTION_ARGS)
{
	check_not_null(fcinfo, 0, "start");
	check_not_null(fcinfo, 1, "end");
	check_not_null(fcinfo, 3, "forward");
	check_min_sequence_number(fcinfo, 4);
	PG_RETURN_BOOL(PG_ARGISNULL(2) || PG_GETARG_INT64(2) > 0);
}

/*
 * store_scan_bound(bound bytea) returns bytea
 *
 * Return a bound of store_range_scan(), but not before the scan starts: from
 * a NULL, or a start above the end, the planner would see that there are no
 * rows, and drop the scan with the checks of its arguments.
 */
Datum
store_scan_bound(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

/*
 * store_current_sequence() returns bigint
 */
Datum
store_current_sequence(PG_FUNCTION_ARGS)
{
	SeFrontier	found;

	read_frontier(&found);
	PG_RETURN_INT64(found.frontier);
}

/*
 * store_oldest_retained_batch() returns bigint
 */
Datum
store_oldest_retained_batch(PG_FUNCTION_ARGS)
{
	SeFrontier	found;

	read_frontier(&found);
	if (found.frontier <= found.floor)
		PG_RETURN_NULL();
	PG_RETURN_INT64(found.floor + 1);
}

/* Read the stored bytes of a batch, NULL if it is not there. */
static bytea *
fetch_batch(int64 number)
{
	SeStore    *store = se_store_lock(AccessShareLock);
	bytea	   *payload;

	SPI_connect();
	payload = se_log_fetch(store, number);
	SPI_finish();
	return payload == NULL ? NULL : DatumGetByteaPP(PointerGetDatum(payload));
}

/*
 * store_get_batch(sequence_number bigint) returns store_entry[]
 */
Datum
store_get_batch(PG_FUNCTION_ARGS)
{
	int64		number = number_argument(fcinfo, 0, "sequence_number");
	Oid			array_type;
	bytea	   *payload = fetch_batch(number);

	if (payload == NULL)
		PG_RETURN_NULL();
	(void) get_call_result_type(fcinfo, &array_type, NULL);
	PG_RETURN_ARRAYTYPE_P(se_batch_decode(payload, get_element_type(array_type)));
}

/* Raise what there is to say of a number that is not in the log. */
static void
check_retained(int64 number, const SeFrontier *found)
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
 * store_get_batch_response(sequence_number bigint) returns bytea
 */
Datum
store_get_batch_response(PG_FUNCTION_ARGS)
{
	int64		number = number_argument(fcinfo, 0, "sequence_number");
	SeFrontier	found;
	bytea	   *payload;
	bytea	   *response;
	uint8_t    *to;

	read_frontier(&found);
	check_retained(number, &found);
	payload = fetch_batch(number);
	if (payload == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("batch is missing from the log"),
				 errdetail("Batch %lld is not visible, though the log is complete up to batch %lld.",
						   (long long) number, (long long) found.frontier),
				 errhint("It was deleted by other means than store_prune_batch_log(), or row-level security hides it.")));

	response = palloc(VARHDRSZ + SE_WIRE_MAX_PREFIX + VARSIZE_ANY_EXHDR(payload));
	to = se_wire_put_sequence_number((uint8_t *) VARDATA(response), number);
	memcpy(to, VARDATA_ANY(payload), VARSIZE_ANY_EXHDR(payload));
	to += VARSIZE_ANY_EXHDR(payload);
	SET_VARSIZE(response, (char *) to - (char *) response);
	PG_RETURN_BYTEA_P(response);
}

/*
 * store_prune_batch_log(cutoff_exclusive bigint) returns bigint
 */
Datum
store_prune_batch_log(PG_FUNCTION_ARGS)
{
	int64		cutoff;
	SeStore    *store;
	int64		deleted;

	check_may_change("store_prune_batch_log()");
	cutoff = number_argument(fcinfo, 0, "cutoff_exclusive");
	store = se_store_lock(RowExclusiveLock);
	SPI_connect();
	deleted = se_log_prune(store, cutoff);
	SPI_finish();
	PG_RETURN_INT64(deleted);
}
