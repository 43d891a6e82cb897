/*
 * sorter.h
 *		Sorts of rows that may be more than memory holds.
 */
#ifndef SE_SORTER_H
#define SE_SORTER_H

#include "executor/tuptable.h"
#include "utils/tuplesort.h"

#define SE_MAX_SORT_COLUMNS 6

/* A column of a sort's rows. */
typedef struct SeSortColumn
{
	Oid			type;
	bool		descending;		/* of no meaning if it is no key */
} SeSortColumn;

/* A sort, and slots for what goes in and comes out. */
typedef struct SeSorter
{
	Tuplesortstate *state;
	TupleTableSlot *in;
	TupleTableSlot *out;
} SeSorter;

extern void se_sorter_begin(SeSorter *sorter, const SeSortColumn *columns,
							int ncolumns, int nkeys);
extern void se_sorter_add(SeSorter *sorter, const Datum *values);
extern void se_sorter_sort(SeSorter *sorter);
extern bool se_sorter_next(SeSorter *sorter);
extern Datum se_sorter_column(const SeSorter *sorter, int column);
extern void se_sorter_end(SeSorter *sorter);

#endif							/* SE_SORTER_H */
