/*
 * sorter.c
 *		Sorts of rows, which spill to disk beyond work_mem.
 *
 * Rows are of a few columns, none of them NULL.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/typcache.h"

#include "sorter.h"

/*
 * Start a sort of rows of the given columns, by the first nkeys of them.
 */
void
se_sorter_begin(SeSorter *sorter, const SeSortColumn *columns, int ncolumns, int nkeys)
{
	TupleDesc	desc = CreateTemplateTupleDesc(ncolumns);
	AttrNumber	keys[SE_MAX_SORT_COLUMNS];
	Oid			operators[SE_MAX_SORT_COLUMNS];
	Oid			collations[SE_MAX_SORT_COLUMNS];
	bool		nulls_first[SE_MAX_SORT_COLUMNS];

	Assert(nkeys <= SE_MAX_SORT_COLUMNS);
	for (int i = 0; i < ncolumns; i++)
		TupleDescInitEntry(desc, i + 1, NULL, columns[i].type, -1, 0);
	for (int i = 0; i < nkeys; i++)
	{
		TypeCacheEntry *type = lookup_type_cache(columns[i].type,
												 TYPECACHE_LT_OPR | TYPECACHE_GT_OPR);

		keys[i] = i + 1;
		operators[i] = columns[i].descending ? type->gt_opr : type->lt_opr;
		collations[i] = InvalidOid;
		nulls_first[i] = false;
	}
	sorter->state = tuplesort_begin_heap(desc, nkeys, keys, operators, collations,
										 nulls_first, work_mem, NULL, TUPLESORT_NONE);
	sorter->in = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	sorter->out = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
}

/*
 * Add a row, which is copied.
 */
void
se_sorter_add(SeSorter *sorter, const Datum *values)
{
	TupleTableSlot *slot = sorter->in;

	ExecClearTuple(slot);
	for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
	{
		slot->tts_values[i] = values[i];
		slot->tts_isnull[i] = false;
	}
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(sorter->state, slot);
}

/*
 * Sort: all rows have been added.
 */
void
se_sorter_sort(SeSorter *sorter)
{
	tuplesort_performsort(sorter->state);
}

/*
 * Get the next row, which is there until the next call; false at the end.
 */
bool
se_sorter_next(SeSorter *sorter)
{
	CHECK_FOR_INTERRUPTS();
	return tuplesort_gettupleslot(sorter->state, true, false, sorter->out, NULL);
}

/*
 * Get a column, from 1 on, of the row that came last.
 */
Datum
se_sorter_column(const SeSorter *sorter, int column)
{
	bool		isnull;

	return slot_getattr(sorter->out, column, &isnull);
}

/*
 * End a sort.
 */
void
se_sorter_end(SeSorter *sorter)
{
	ExecDropSingleTupleTableSlot(sorter->in);
	ExecDropSingleTupleTableSlot(sorter->out);
	tuplesort_end(sorter->state);
}
