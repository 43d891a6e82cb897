/*
 * scan.c
 *		store_range_scan() and store_get_many(): what their arguments mean, and
 *		the functions themselves.
 *
 * In the FROM of a query there is usually a node of the plan in their place, see
 * scan_node.c, which returns rows as they are read.  Functions collect them first.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/selfuncs.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "arguments.h"
#include "compat.h"
#include "entries.h"
#include "scan.h"
#include "store.h"

PG_FUNCTION_INFO_V1(store_range_scan);
PG_FUNCTION_INFO_V1(store_get_many);
PG_FUNCTION_INFO_V1(store_scan_support);

/* Read the limit of a scan: NULL means none.  Raises what LIMIT raises. */
static int64
limit_argument(FunctionCallInfo fcinfo, int argument)
{
	if (PG_ARGISNULL(argument))
		return PG_INT64_MAX;
	if (PG_GETARG_INT64(argument) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_ROW_COUNT_IN_LIMIT_CLAUSE),
				 errmsg("LIMIT must not be negative")));
	return PG_GETARG_INT64(argument);
}

/*
 * SeBeginScan of store_range_scan(start, "end", "limit", forward,
 * min_sequence_number).  Raises 22004, 2201W, SE003.
 */
SeKvReader *
se_begin_range_scan(FunctionCallInfo fcinfo, Snapshot snapshot, bool keys_only)
{
	SeKvRange	range = {.keys_only = keys_only};

	se_check_not_null(fcinfo, 0, "start");
	se_check_not_null(fcinfo, 1, "end");
	range.limit = limit_argument(fcinfo, 2);
	se_check_not_null(fcinfo, 3, "forward");
	se_check_min_sequence_number(fcinfo, 4);
	range.start = PG_GETARG_BYTEA_PP(0);
	range.end = PG_GETARG_BYTEA_PP(1);
	range.forward = PG_GETARG_BOOL(3);
	return se_kv_read_range(se_store_lock_pairs(AccessShareLock), snapshot, &range);
}

/*
 * SeBeginScan of store_get_many(keys, min_sequence_number).  Raises 22004, 2202E,
 * SE003.
 */
SeKvReader *
se_begin_get_many(FunctionCallInfo fcinfo, Snapshot snapshot, bool keys_only)
{
	Datum	   *keys;
	int			count;

	se_check_not_null(fcinfo, 0, "keys");
	keys = se_bytea_elements(PG_GETARG_ARRAYTYPE_P(0), "keys", &count);
	se_check_min_sequence_number(fcinfo, 1);
	return se_kv_read_keys(se_store_lock_pairs(AccessShareLock), snapshot, keys, count);
}

/*
 * Tell whether rows have the columns of a pair.
 */
bool
se_are_pairs(TupleDesc desc)
{
	return desc->natts == 2 &&
		TupleDescAttr(desc, 0)->atttypid == BYTEAOID &&
		TupleDescAttr(desc, 1)->atttypid == BYTEAOID;
}

/*
 * Raise 55000 unless they do.
 */
void
se_check_are_pairs(TupleDesc desc)
{
	if (!se_are_pairs(desc))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("type store_entry has been altered"),
				 errhint("It must have two attributes of type bytea.")));
}

/* Return all rows at once. */
static Datum
collect(FunctionCallInfo fcinfo, SeBeginScan begin)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SeKvReader *reader;
	Datum		values[2];
	bool		isnull[2];

	InitMaterializedSRF(fcinfo, MAT_SRF_BLESS);
	se_check_are_pairs(result->setDesc);
	reader = begin(fcinfo, GetActiveSnapshot(), false);
	while (se_kv_read_next(reader, values, isnull))
	{
		CHECK_FOR_INTERRUPTS();
		tuplestore_putvalues(result->setResult, result->setDesc, values, isnull);
	}
	se_kv_read_end(reader);
	return (Datum) 0;
}

/*
 * store_range_scan(start bytea, "end" bytea, "limit" bigint, forward boolean,
 *					min_sequence_number bigint) returns setof store_entry
 */
Datum
store_range_scan(PG_FUNCTION_ARGS)
{
	return collect(fcinfo, se_begin_range_scan);
}

/*
 * store_get_many(keys bytea[], min_sequence_number bigint) returns setof store_entry
 */
Datum
store_get_many(PG_FUNCTION_ARGS)
{
	return collect(fcinfo, se_begin_get_many);
}

/*
 * What a limit is taken for that is not known at plan time.  Whoever gives one wants
 * few rows; and a plan for any limit must not look worse than those for each, or
 * prepared statements would be planned again and again.
 */
#define UNKNOWN_LIMIT 100

/* Tell how many pairs there are, roughly; 0 if nobody knows. */
static double
estimate_pairs(void)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(se_store_find()->kv));
	double		pairs = 0;

	if (HeapTupleIsValid(tuple))
	{
		pairs = Max(((Form_pg_class) GETSTRUCT(tuple))->reltuples, 0);
		ReleaseSysCache(tuple);
	}
	return pairs;
}

/* Tell whether an argument is known not to bound the range. */
static bool
is_no_bound(Node *argument)
{
	Const	   *constant = (Const *) argument;

	return IsA(argument, Const) && !constant->constisnull &&
		toast_raw_datum_size(constant->constvalue) == VARHDRSZ;
}

/* Estimate how many rows a range has, with the planner's usual guesses. */
static double
estimate_range(List *arguments)
{
	double		rows = estimate_pairs();
	bool		from_start = is_no_bound(linitial(arguments));
	bool		to_end = is_no_bound(lsecond(arguments));
	Const	   *limit = lthird(arguments);

	if (equal(linitial(arguments), lsecond(arguments)) && !from_start)
		rows = 1;
	else if (!from_start && !to_end)
		rows *= DEFAULT_RANGE_INEQ_SEL;
	else if (!from_start || !to_end)
		rows *= DEFAULT_INEQ_SEL;
	if (!IsA(limit, Const))
		rows = Min(rows, UNKNOWN_LIMIT);
	else if (!limit->constisnull)
		rows = Min(rows, DatumGetInt64(limit->constvalue));
	return Max(rows, 1);
}

/*
 * store_scan_support(internal) returns internal
 *
 * Tell the planner how many rows to expect.  That it asks has the library loaded
 * before it looks for a way to read them.
 */
Datum
store_scan_support(PG_FUNCTION_ARGS)
{
	SupportRequestRows *request = (SupportRequestRows *) PG_GETARG_POINTER(0);
	List	   *arguments;

	if (!IsA(request, SupportRequestRows) || !IsA(request->node, FuncExpr))
		PG_RETURN_POINTER(NULL);
	arguments = ((FuncExpr *) request->node)->args;
	if (list_length(arguments) == SE_RANGE_SCAN_ARGUMENTS)
		request->rows = estimate_range(arguments);
	else
		request->rows = se_estimate_array_length(request->root, linitial(arguments));
	PG_RETURN_POINTER(request);
}
