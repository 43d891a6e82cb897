/*
 * arguments.h
 *		What SQL functions have in common: checks of arguments and of the state
 *		of things.
 */
#ifndef SE_ARGUMENTS_H
#define SE_ARGUMENTS_H

#include "fmgr.h"
#include "frontier.h"

extern void se_check_not_null(FunctionCallInfo fcinfo, int argument, const char *name);
extern int64 se_number_argument(FunctionCallInfo fcinfo, int argument, const char *name);
extern void se_check_may_change(const char *function);
extern void se_check_may_write(const char *function);
extern void se_check_may_read_numbers(const SeStore *store);
extern void se_read_frontier(SeFrontier *found);
extern int64 se_read_current(void);
extern void se_report_not_ready(int64 required, int64 current);
extern void se_check_min_sequence_number(FunctionCallInfo fcinfo, int argument);

#endif							/* SE_ARGUMENTS_H */
