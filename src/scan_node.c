/*
 * scan_node.c
 *		store_range_scan() and store_get_many() as nodes of plans.
 *
 * PostgreSQL runs a function in FROM to its end before the first row is used.  So
 * the planner is offered another way: a custom scan that reads as far as somebody
 * asks for rows, and whose order is known.  It takes a fraction of the time that
 * planning a SELECT takes, since there is nothing to choose from, nor anything to
 * compile.
 *
 * All that depends on the state of things is decided when reading begins, so a plan
 * is good as long as the function is there.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/extensible.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/prep.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"

#include "compat.h"
#include "scan.h"

/* The columns of the rows that are read; the last one is there if it is used. */
enum
{
	COLUMN_KEY = 1,
	COLUMN_VALUE,
	COLUMN_WHOLE_ROW
};

/* bytea > bytea, to which the headers give no name. */
#define BYTEA_GREATER_OPERATOR 1959

/* About as many pairs are on a page: for estimates of cost. */
#define PAIRS_PER_PAGE 64

#define MAX_ARGUMENTS SE_RANGE_SCAN_ARGUMENTS

/* A function that can be a node. */
typedef struct Kind
{
	PGFunction	function;
	int			nargs;
	Oid			first_argument; /* its type */
	SeBeginScan begin;
	int			forward;		/* argument that tells the order of keys, -1 if there is none */
	CustomPathMethods path;
	CustomScanMethods scan;
} Kind;

/* A node at work. */
typedef struct ScanNode
{
	CustomScanState css;
	const Kind *kind;
	FmgrInfo	function;
	List	   *arguments;		/* as ExprStates */
	bool		keys_only;
	TupleDesc	row_desc;		/* of whole rows, if those are used */
	SeReaderRights rights;		/* of who has begun the query */
	MemoryContext context;		/* of the arguments and the reader */
	SeKvReader *reader;			/* NULL before the first row */
} ScanNode;

static Plan *plan_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *path,
					   List *tlist, List *clauses, List *custom_plans);
static Node *create_node(CustomScan *scan);

static const Kind kinds[] = {
	{
		.function = store_range_scan,
		.nargs = SE_RANGE_SCAN_ARGUMENTS,
		.first_argument = BYTEAOID,
		.begin = se_begin_range_scan,
		.forward = 3,
		.path = {.CustomName = "StoreRangeScan", .PlanCustomPath = plan_path},
		.scan = {.CustomName = "StoreRangeScan", .CreateCustomScanState = create_node}
	},
	{
		.function = store_get_many,
		.nargs = SE_GET_MANY_ARGUMENTS,
		.first_argument = BYTEAARRAYOID,
		.begin = se_begin_get_many,
		.forward = -1,
		.path = {.CustomName = "StoreGetMany", .PlanCustomPath = plan_path},
		.scan = {.CustomName = "StoreGetMany", .CreateCustomScanState = create_node}
	}
};

static set_rel_pathlist_hook_type previous_hook = NULL;

/* ---------------------------------------------------------------- planning */

/*
 * Find out which of our functions is called, NULL if it is none.  Most others are
 * told by their arguments; a function with settings of its own, or the like, has
 * another address.
 */
static const Kind *
find_kind(FuncExpr *call)
{
	FmgrInfo	function;
	TupleDesc	desc;

	for (int i = 0; i < lengthof(kinds); i++)
	{
		const Kind *kind = &kinds[i];

		if (!call->funcretset || call->funcid < FirstNormalObjectId ||
			list_length(call->args) != kind->nargs ||
			exprType(linitial(call->args)) != kind->first_argument)
			continue;
		fmgr_info(call->funcid, &function);
		if (function.fn_addr == kind->function &&
			get_expr_result_type((Node *) call, NULL, &desc) == TYPEFUNC_COMPOSITE &&
			se_are_pairs(desc))
			return kind;
	}
	return NULL;
}

/* Get the call that a function in FROM is, NULL if there is more to it. */
static FuncExpr *
only_call(const RangeTblEntry *rte)
{
	RangeTblFunction *function;

	if (rte->rtekind != RTE_FUNCTION || rte->funcordinality ||
		list_length(rte->functions) != 1)
		return NULL;
	function = linitial(rte->functions);
	return IsA(function->funcexpr, FuncExpr) ? (FuncExpr *) function->funcexpr : NULL;
}

/* Tell the planner the order of the rows, if it is known. */
static List *
make_pathkeys(PlannerInfo *root, RelOptInfo *rel, FuncExpr *call, const Kind *kind)
{
	Const	   *forward = kind->forward < 0 ? NULL : list_nth(call->args, kind->forward);
	Expr	   *key;

	if (forward == NULL || !IsA(forward, Const) || forward->constisnull)
		return NIL;
	key = (Expr *) makeVar(rel->relid, COLUMN_KEY, BYTEAOID, -1, InvalidOid, 0);
	return se_build_expression_pathkey(root, key,
									   DatumGetBool(forward->constvalue) ? ByteaLessOperator : BYTEA_GREATER_OPERATOR,
									   rel->relids);
}

/* Estimate what it costs. */
static void
cost_path(PlannerInfo *root, RelOptInfo *rel, Path *path)
{
	QualCost	quals;
	Cost		per_row = cpu_tuple_cost + cpu_index_tuple_cost + seq_page_cost / PAIRS_PER_PAGE;

	cost_qual_eval(&quals, rel->baserestrictinfo, root);
	path->rows = path->param_info != NULL ? path->param_info->ppi_rows : rel->rows;
	path->startup_cost = random_page_cost + quals.startup + path->pathtarget->cost.startup;
	path->total_cost = path->startup_cost + rel->tuples * (per_row + quals.per_tuple) +
		path->rows * path->pathtarget->cost.per_tuple;
}

/*
 * The planner's hook: for a call of one of our functions, our way is the only one.
 * Unless rows have to be found again after a lock has been waited for, or volatile
 * arguments have to be evaluated once, however often the rows are read: the others
 * know how.
 */
static void
set_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	FuncExpr   *call = only_call(rte);
	const Kind *kind;
	CustomPath *path;

	if (previous_hook != NULL)
		previous_hook(root, rel, rti, rte);
	if (call == NULL || IS_DUMMY_REL(rel) || get_plan_rowmark(root->rowMarks, rti) != NULL)
		return;
	kind = find_kind(call);
	if (kind == NULL || contain_volatile_functions((Node *) call->args))
		return;

	path = makeNode(CustomPath);
	path->path.pathtype = T_CustomScan;
	path->path.parent = rel;
	path->path.pathtarget = rel->reltarget;
	path->path.param_info = get_baserel_parampathinfo(root, rel, rel->lateral_relids);
	path->path.parallel_safe = rel->consider_parallel;
	path->path.pathkeys = make_pathkeys(root, rel, call, kind);
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	path->methods = &kind->path;
	cost_path(root, rel, &path->path);
	rel->pathlist = list_make1(path);
}

/* Make a column of the rows that are read. */
static TargetEntry *
make_column(Index rti, AttrNumber column, AttrNumber attribute, Oid type)
{
	Var		   *var = makeVar(rti, attribute, type, -1, InvalidOid, 0);

	return makeTargetEntry((Expr *) var, column, NULL, false);
}

/* Make the plan of a path. */
static Plan *
plan_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *path,
		  List *tlist, List *clauses, List *custom_plans)
{
	const Kind *kind = (const Kind *) ((const char *) path->methods - offsetof(Kind, path));
	FuncExpr   *call = only_call(planner_rt_fetch(rel->relid, root));
	List	   *quals = extract_actual_clauses(clauses, false);
	Bitmapset  *used = NULL;
	bool		keys_only;
	CustomScan *scan = makeNode(CustomScan);

	/* The list of what the node returns may be made later. */
	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &used);
	pull_varattnos((Node *) quals, rel->relid, &used);
	scan->custom_scan_tlist =
		list_make2(make_column(rel->relid, COLUMN_KEY, COLUMN_KEY, BYTEAOID),
				   make_column(rel->relid, COLUMN_VALUE, COLUMN_VALUE, BYTEAOID));
	if (bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, used))
		scan->custom_scan_tlist =
			lappend(scan->custom_scan_tlist,
					make_column(rel->relid, COLUMN_WHOLE_ROW, 0, exprType((Node *) call)));
	keys_only = list_length(scan->custom_scan_tlist) < COLUMN_WHOLE_ROW &&
		!bms_is_member(COLUMN_VALUE - FirstLowInvalidHeapAttributeNumber, used);

	scan->scan.plan.targetlist = tlist;
	scan->scan.plan.qual = quals;
	scan->flags = path->flags;
	scan->custom_exprs = list_make1(copyObject(call));
	scan->custom_private = list_make1_int(keys_only);
	scan->methods = &kind->scan;
	return &scan->scan.plan;
}

/* --------------------------------------------------------------- execution */

/* Make the whole row of a pair. */
static Datum
make_whole_row(ScanNode *node, TupleTableSlot *slot)
{
	MemoryContext old_context =
		MemoryContextSwitchTo(node->css.ss.ps.ps_ExprContext->ecxt_per_tuple_memory);
	HeapTuple	row = heap_form_tuple(node->row_desc, slot->tts_values, slot->tts_isnull);
	Datum		result = HeapTupleGetDatum(row);

	MemoryContextSwitchTo(old_context);
	return result;
}

/*
 * Evaluate the arguments, and begin to read: with the rights of who has begun the
 * query, for a cursor may have been handed to somebody else.
 */
static void
begin_reading(ScanNode *node)
{
	MemoryContext old_context = MemoryContextSwitchTo(node->context);
	FunctionCallInfo fcinfo = palloc0(SizeForFunctionCallInfo(MAX_ARGUMENTS));
	SeReaderRights own;
	ListCell   *cell;

	InitFunctionCallInfoData(*fcinfo, &node->function, node->kind->nargs, InvalidOid, NULL, NULL);
	foreach(cell, node->arguments)
	{
		NullableDatum *argument = &fcinfo->args[foreach_current_index(cell)];

		argument->value = ExecEvalExpr((ExprState *) lfirst(cell),
									   node->css.ss.ps.ps_ExprContext, &argument->isnull);
	}
	se_take_rights(&node->rights, &own);
	node->reader = node->kind->begin(fcinfo, node->css.ss.ps.state->es_snapshot,
									 node->keys_only);
	se_give_back_rights(&own);
	MemoryContextSwitchTo(old_context);
}

/* ExecScanAccessMtd: read the next row. */
static TupleTableSlot *
next_row(ScanState *state)
{
	ScanNode   *node = (ScanNode *) state;
	TupleTableSlot *slot = state->ss_ScanTupleSlot;

	if (node->reader == NULL)
		begin_reading(node);
	ExecClearTuple(slot);
	if (!se_kv_read_next(node->reader, slot->tts_values, slot->tts_isnull))
		return slot;
	if (node->row_desc != NULL)
	{
		slot->tts_values[COLUMN_WHOLE_ROW - 1] = make_whole_row(node, slot);
		slot->tts_isnull[COLUMN_WHOLE_ROW - 1] = false;
	}
	return ExecStoreVirtualTuple(slot);
}

/*
 * ExecScanRecheckMtd: called for the rows of an arm of UNION ALL when they are joined
 * again after a lock was waited for.  They are read again; others see set_pathlist().
 */
static bool
recheck_row(ScanState *state, TupleTableSlot *slot)
{
	TupleTableSlot *row = next_row(state);

	return !TupIsNull(row);
}

/* Return the next row that fits. */
static TupleTableSlot *
exec_node(CustomScanState *css)
{
	return ExecScan(&css->ss, next_row, recheck_row);
}

/* Stop reading, if there was any. */
static void
end_reading(ScanNode *node)
{
	if (node->reader != NULL)
		se_kv_read_end(node->reader);
	node->reader = NULL;
	MemoryContextReset(node->context);
}

/* Start from the beginning, maybe with other arguments. */
static void
rescan_node(CustomScanState *css)
{
	end_reading((ScanNode *) css);
	ExecScanReScan(&css->ss);
}

static void
end_node(CustomScanState *css)
{
	end_reading((ScanNode *) css);
}

/* Refuse to run a function without the right to. */
static void
check_may_execute(Oid function)
{
	AclResult	result = se_proc_aclcheck(function, GetUserId());

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, get_func_name(function));
	InvokeFunctionExecuteHook(function);
}

/*
 * Get ready to run.  Arguments are compiled only if there is no other way to have
 * them evaluated: that would take longer than all evaluations of them.
 */
static void
begin_node(CustomScanState *css, EState *estate, int eflags)
{
	ScanNode   *node = (ScanNode *) css;
	CustomScan *scan = (CustomScan *) css->ss.ps.plan;
	FuncExpr   *call = linitial_node(FuncExpr, scan->custom_exprs);
	PlanState  *parent = contain_subplans((Node *) call->args) ? &css->ss.ps : NULL;
	ListCell   *cell;

	check_may_execute(call->funcid);
	fmgr_info(call->funcid, &node->function);
	fmgr_info_set_expr((Node *) call, &node->function);
	foreach(cell, call->args)
		node->arguments = lappend(node->arguments, ExecInitExpr(lfirst(cell), parent));
	node->keys_only = linitial_int(scan->custom_private);
	se_note_rights(&node->rights);
	if (list_length(scan->custom_scan_tlist) == COLUMN_WHOLE_ROW)
	{
		/* It may have been altered since the plan was made. */
		node->row_desc = lookup_rowtype_tupdesc_copy(call->funcresulttype, -1);
		se_check_are_pairs(node->row_desc);
	}
	node->context = AllocSetContextCreate(estate->es_query_cxt, "storeengine scan",
										  ALLOCSET_DEFAULT_SIZES);
}

/* Show what EXPLAIN (VERBOSE) shows of a function. */
static void
explain_node(CustomScanState *css, List *ancestors, ExplainState *es)
{
	CustomScan *scan = (CustomScan *) css->ss.ps.plan;
	List	   *context;

	if (!es->verbose)
		return;
	context = set_deparse_context_plan(es->deparse_cxt, css->ss.ps.plan, ancestors);
	ExplainPropertyText("Function Call",
						deparse_expression(linitial(scan->custom_exprs), context, true, false),
						es);
}

static const CustomExecMethods exec_methods = {
	.CustomName = "storeengine",
	.BeginCustomScan = begin_node,
	.ExecCustomScan = exec_node,
	.EndCustomScan = end_node,
	.ReScanCustomScan = rescan_node,
	.ExplainCustomScan = explain_node
};

/* Make the state of a node. */
static Node *
create_node(CustomScan *scan)
{
	ScanNode   *node = (ScanNode *) newNode(sizeof(ScanNode), T_CustomScanState);

	node->kind = (const Kind *) ((const char *) scan->methods - offsetof(Kind, scan));
	node->css.methods = &exec_methods;
	return (Node *) node;
}

/*
 * Offer the nodes to the planner.  Called when the library is loaded.
 */
void
se_scan_node_init(void)
{
	for (int i = 0; i < lengthof(kinds); i++)
		RegisterCustomScanMethods(&kinds[i].scan);
	previous_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = set_pathlist;
}
