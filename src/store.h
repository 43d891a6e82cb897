/*
 * store.h
 *		Which relations make up the store of this database.
 */
#ifndef SE_STORE_H
#define SE_STORE_H

#include "executor/spi.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"

/* Attribute numbers of the pairs and of the log, as the extension made them. */
#define SE_KV_KEY 1
#define SE_KV_VALUE 2
#define SE_KV_NATTS 2
#define SE_LOG_SEQUENCE_NUMBER 1
#define SE_LOG_STABLE 2
#define SE_LOG_WRITTEN_AT 3
#define SE_LOG_PAYLOAD 4
#define SE_LOG_DELETED_KEYS 5
#define SE_LOG_NATTS 5

typedef struct SeStore
{
	Oid			extension;
	Oid			log_owner;
	Oid			control_owner;
	Oid			retention_owner;
	Oid			histories_owner;
	Oid			kv;
	Oid			log;
	Oid			control;
	Oid			retention;
	Oid			histories;		/* InvalidOid before version 1.1 */
	Oid			sequence;
	char	   *kv_name;		/* qualified and quoted, for SQL */
	char	   *log_name;
	char	   *control_name;
	char	   *retention_name;
	char	   *histories_name;
	uint64		generation;		/* differs whenever anything above does */
	uint64		lookup;			/* goes up whenever a table may have changed */
} SeStore;

/* A statement over the store's tables, prepared once per session. */
typedef struct SeStatement
{
	const char *(*sql) (const SeStore *store);
	int			nargs;
	Oid			argtypes[4];
	int			options;		/* CURSOR_OPT_... */
	SPIPlanPtr	plan;
	uint64		generation;
	uint64		emptied;		/* look-up at which a rule made nothing of it,
								 * or 0 */
} SeStatement;

/* What se_store_become_owner() changed. */
typedef struct SeSavedUser
{
	Oid			user;
	int			context;
	int			guc_level;
} SeSavedUser;

extern SeStore *se_store_find(void);
extern SeStore *se_store_lock(LOCKMODE mode);
extern SeStore *se_store_lock_pairs(LOCKMODE mode);
extern SeStore *se_store_try_lock(LOCKMODE mode, bool *missing);
extern bool se_store_is_current(void);
extern void se_store_check_columns(const SeStore *store);
extern Relation se_store_open_primary_key(Relation table, const Oid *types, int ntypes);
extern void se_store_become_owner(Oid owner, SeSavedUser *saved);
extern void se_store_become_self(const SeSavedUser *saved);
extern void se_store_prepare(const SeStore *store, SeStatement *statement);
extern uint64 se_store_execute(const SeStore *store, SeStatement *statement,
							   Datum *args, const char *nulls, bool read_only);

#endif							/* SE_STORE_H */
