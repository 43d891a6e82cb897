/*
 * functions.c
 *		The SQL functions: arguments in, results out.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "arguments.h"
#include "batch_log.h"
#include "entries.h"
#include "frontier.h"
#include "history.h"
#include "kv_read.h"
#include "prune.h"
#include "registry.h"
#include "store.h"
#include "writer.h"

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
PG_FUNCTION_INFO_V1(store_history);
PG_FUNCTION_INFO_V1(store_prune_batch_log);
PG_FUNCTION_INFO_V1(store_prune);
PG_FUNCTION_INFO_V1(store_refuse_truncate);

/*
 * store_put(key bytea, value bytea) returns bigint
 */
Datum
store_put(PG_FUNCTION_ARGS)
{
	se_check_may_write("store_put()");
	se_check_not_null(fcinfo, 0, "key");
	se_check_not_null(fcinfo, 1, "value");
	PG_RETURN_INT64(se_writer_put(se_batch_from_pair(PG_GETARG_BYTEA_PP(0),
													 PG_GETARG_BYTEA_PP(1))));
}

/*
 * store_put_batch(keys bytea[], "values" bytea[]) returns bigint
 */
Datum
store_put_batch(PG_FUNCTION_ARGS)
{
	se_check_may_write("store_put_batch()");
	se_check_not_null(fcinfo, 0, "keys");
	se_check_not_null(fcinfo, 1, "values");
	PG_RETURN_INT64(se_writer_put(se_batch_from_arrays(PG_GETARG_ARRAYTYPE_P(0),
													   PG_GETARG_ARRAYTYPE_P(1))));
}

/*
 * store_put_batch(entries store_entry[]) returns bigint
 */
Datum
store_put_batch_entries(PG_FUNCTION_ARGS)
{
	se_check_may_write("store_put_batch()");
	se_check_not_null(fcinfo, 0, "entries");
	PG_RETURN_INT64(se_writer_put(se_batch_from_entries(PG_GETARG_ARRAYTYPE_P(0))));
}

/*
 * store_put_request(request bytea) returns bigint
 */
Datum
store_put_request(PG_FUNCTION_ARGS)
{
	se_check_may_write("store_put_request()");
	se_check_not_null(fcinfo, 0, "request");
	PG_RETURN_INT64(se_writer_put(se_batch_from_request(PG_GETARG_BYTEA_PP(0))));
}

/*
 * store_delete_batch(keys bytea[]) returns bigint
 */
Datum
store_delete_batch(PG_FUNCTION_ARGS)
{
	se_check_may_write("store_delete_batch()");
	se_check_not_null(fcinfo, 0, "keys");
	PG_RETURN_INT64(se_writer_delete(se_batch_from_keys(PG_GETARG_ARRAYTYPE_P(0))));
}

/*
 * store_get(key bytea, min_sequence_number bigint) returns bytea
 */
Datum
store_get(PG_FUNCTION_ARGS)
{
	Datum		value;

	se_check_min_sequence_number(fcinfo, 1);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();

	if (!se_kv_get(se_store_lock_pairs(AccessShareLock), PG_GETARG_DATUM(0), &value))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(value);
}

/*
 * store_check_keys(keys bytea[], min_sequence_number bigint) returns bytea[]
 *
 * Of version 1.0, where store_get_many() is written in SQL: check its arguments,
 * return keys.
 */
Datum
store_check_keys(PG_FUNCTION_ARGS)
{
	int			count;

	se_check_not_null(fcinfo, 0, "keys");
	(void) se_bytea_elements(PG_GETARG_ARRAYTYPE_P(0), "keys", &count);
	se_check_min_sequence_number(fcinfo, 1);
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

/*
 * store_check_scan(start bytea, "end" bytea, "limit" bigint, forward boolean,
 *					min_sequence_number bigint) returns boolean
 *
 * Of version 1.0, where store_range_scan() is written in SQL: check its arguments,
 * tell whether any rows are wanted.  LIMIT itself has refused a negative limit.
 */
Datum
store_check_scan(PG_FUNCTION_ARGS)
{
	se_check_not_null(fcinfo, 0, "start");
	se_check_not_null(fcinfo, 1, "end");
	se_check_not_null(fcinfo, 3, "forward");
	se_check_min_sequence_number(fcinfo, 4);
	PG_RETURN_BOOL(PG_ARGISNULL(2) || PG_GETARG_INT64(2) > 0);
}

/*
 * store_scan_bound(bound bytea) returns bytea
 *
 * Of version 1.0: return a bound of store_range_scan(), but not before the scan starts: from
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
	PG_RETURN_INT64(se_read_current());
}

/*
 * store_oldest_retained_batch() returns bigint
 */
Datum
store_oldest_retained_batch(PG_FUNCTION_ARGS)
{
	SeStore    *store = se_store_lock(AccessShareLock);
	int64		oldest;

	se_check_may_read_numbers(store);
	oldest = se_frontier_oldest(store, GetActiveSnapshot());
	if (oldest == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(oldest);
}

/*
 * store_history() returns uuid
 */
Datum
store_history(PG_FUNCTION_ARGS)
{
	SeStore    *store = se_store_lock(AccessShareLock);
	pg_uuid_t  *name = palloc(sizeof(pg_uuid_t));

	if (!se_history_of(store, se_read_current(), name))
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(name);
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
	int64		number = se_number_argument(fcinfo, 0, "sequence_number");
	Oid			array_type;
	bytea	   *payload = fetch_batch(number);

	if (payload == NULL)
		PG_RETURN_NULL();
	(void) get_call_result_type(fcinfo, &array_type, NULL);
	PG_RETURN_ARRAYTYPE_P(se_batch_decode(payload, get_element_type(array_type)));
}

/*
 * store_get_batch_response(sequence_number bigint) returns bytea
 */
Datum
store_get_batch_response(PG_FUNCTION_ARGS)
{
	int64		number = se_number_argument(fcinfo, 0, "sequence_number");
	SeFrontier	found;
	bytea	   *payload;
	bytea	   *response;
	uint8_t    *to;

	se_read_frontier(&found);
	se_log_check_retained(number, &found);
	payload = fetch_batch(number);
	if (payload == NULL)
		se_log_report_missing(number, &found);

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

	se_check_may_change("store_prune_batch_log()");
	cutoff = se_number_argument(fcinfo, 0, "cutoff_exclusive");
	store = se_store_lock(RowExclusiveLock);
	SPI_connect();
	deleted = se_log_prune(store, cutoff);
	SPI_finish();
	PG_RETURN_INT64(deleted);
}

/*
 * store_prune(request jsonb, dry_run boolean) returns bigint
 */
Datum
store_prune(PG_FUNCTION_ARGS)
{
	se_check_not_null(fcinfo, 1, "dry_run");
	if (!PG_GETARG_BOOL(1))
		se_check_may_change("store_prune()");
	se_check_not_null(fcinfo, 0, "request");
	PG_RETURN_INT64(se_prune(PG_GETARG_JSONB_P(0), PG_GETARG_BOOL(1)));
}

/*
 * store_refuse_truncate() returns trigger
 *
 * TRUNCATE would take what old snapshots still count on, and leave no trace by
 * which the frontier, or a reader of the feed, could tell.
 */
Datum
store_refuse_truncate(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("store_refuse_truncate() must be called as a trigger")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot truncate table \"%s\" of the store",
					RelationGetRelationName(((TriggerData *) fcinfo->context)->tg_relation)),
			 errdetail("What it holds would be gone without having been deleted or pruned."),
			 errhint("Use store_delete_batch() or store_prune() for pairs, and store_prune_batch_log() for batches.")));
	PG_RETURN_NULL();
}
