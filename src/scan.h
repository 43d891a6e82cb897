/*
 * scan.h
 *		store_range_scan() and store_get_many().
 */
#ifndef SE_SCAN_H
#define SE_SCAN_H

#include "access/tupdesc.h"
#include "fmgr.h"

#include "kv_read.h"

/* How many arguments the functions have. */
#define SE_RANGE_SCAN_ARGUMENTS 5
#define SE_GET_MANY_ARGUMENTS 2

/*
 * Begins to read what a call of a function is to return; with keys_only, values
 * are not needed.  The arguments stay until the reading has ended.
 */
typedef SeKvReader *(*SeBeginScan) (FunctionCallInfo fcinfo, Snapshot snapshot, bool keys_only);

extern bool se_are_pairs(TupleDesc desc);
extern void se_check_are_pairs(TupleDesc desc);

extern SeKvReader *se_begin_range_scan(FunctionCallInfo fcinfo, Snapshot snapshot, bool keys_only);
extern SeKvReader *se_begin_get_many(FunctionCallInfo fcinfo, Snapshot snapshot, bool keys_only);

extern void se_scan_node_init(void);

extern Datum store_range_scan(PG_FUNCTION_ARGS);
extern Datum store_get_many(PG_FUNCTION_ARGS);

#endif							/* SE_SCAN_H */
