/*
 * history.h
 *		Which course of events the numbers of the log belong to.
 */
#ifndef SE_HISTORY_H
#define SE_HISTORY_H

#include "frontier.h"
#include "registry.h"
#include "store.h"
#include "utils/uuid.h"

/* What se_history_visit() calls for each note: the number is that of its batch. */
typedef void (*SeHistoryVisitor) (const SeHistory *history, int64 number, void *arg);

extern bool se_history_begin(const SeStore *store, SeShared *shared, SeHistory *history);
extern void se_history_note(const SeStore *store, const SeHistory *history, int64 number);
extern bool se_history_of(const SeStore *store, int64 number, pg_uuid_t * name);
extern void se_history_check_cursor(const SeStore *store, const pg_uuid_t * name,
									int64 cursor, int64 frontier);
extern void se_history_visit(const SeStore *store, SeHistoryVisitor visit, void *arg);
extern void se_history_forget(const SeStore *store, int64 floor);

#endif							/* SE_HISTORY_H */
