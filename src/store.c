/*
 * store.c
 *		Find the store's relations, and prepare statements over them.
 *
 * The relations are found in the extension's schema, never through
 * search_path, and remembered until an invalidation says that something about them may
 * have changed.  This is the only module that knows which relations make up
 * a store.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/sinval.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "store.h"

/* A column of one of the tables, as the extension made it. */
typedef struct Column
{
	const char *table;
	size_t		relation;		/* where in SeStore the table is */
	const char *name;
	Oid			type;
	AttrNumber	number;
	bool		not_null;
} Column;

static const Column columns[] = {
	{"store_kv", offsetof(SeStore, kv), "key", BYTEAOID, SE_KV_KEY, true},
	{"store_kv", offsetof(SeStore, kv), "value", BYTEAOID, SE_KV_VALUE, true},
	{"store_batch_log", offsetof(SeStore, log), "sequence_number", INT8OID, SE_LOG_SEQUENCE_NUMBER, true},
	{"store_batch_log", offsetof(SeStore, log), "stable", INT8OID, SE_LOG_STABLE, true},
	{"store_batch_log", offsetof(SeStore, log), "written_at", TIMESTAMPTZOID, SE_LOG_WRITTEN_AT, true},
	{"store_batch_log", offsetof(SeStore, log), "payload", BYTEAOID, SE_LOG_PAYLOAD, true},
	{"store_batch_log", offsetof(SeStore, log), "deleted_keys", BYTEAOID, SE_LOG_DELETED_KEYS, false},
	{"store_control", offsetof(SeStore, control), "item", NAMEOID, 1, true},
	{"store_control", offsetof(SeStore, control), "number", INT8OID, 2, true},
	{"store_control", offsetof(SeStore, control), "bytes", INT8OID, 3, true},
	{"store_control", offsetof(SeStore, control), "noted_at", TIMESTAMPTZOID, 4, true},
	{"store_retention", offsetof(SeStore, retention), "singleton", BOOLOID, 1, true},
	{"store_retention", offsetof(SeStore, retention), "rule", JSONBOID, 2, true},
	{"store_histories", offsetof(SeStore, histories), "ordinal", INT8OID, 1, true},
	{"store_histories", offsetof(SeStore, histories), "sequence_number", INT8OID, 2, true},
	{"store_histories", offsetof(SeStore, histories), "history", UUIDOID, 3, true},
	{"store_histories", offsetof(SeStore, histories), "follows", INT8OID, 4, true}
};

/* What was found last; used while valid. */
static SeStore current_store;
static bool current_store_valid = false;

static MemoryContext current_store_context = NULL;

/*
 * Forget the store when one of its relations changes.  The update that brings
 * store_histories changes the other tables, too: they get triggers.
 */
static void
forget_relation(Datum arg, Oid relid)
{
	if (relid == InvalidOid ||
		relid == current_store.kv || relid == current_store.log ||
		relid == current_store.control || relid == current_store.retention ||
		relid == current_store.histories || relid == current_store.sequence)
		current_store_valid = false;
}

/* Forget the store when a schema changes, for its name. */
static void
forget_schema(Datum arg, int cacheid, uint32 hashvalue)
{
	current_store_valid = false;
}

/* Set up what lives as long as the session. */
static void
prepare_session(void)
{
	if (current_store_context != NULL)
		return;

	current_store_context = AllocSetContextCreate(CacheMemoryContext,
												  "storeengine store",
												  ALLOCSET_SMALL_SIZES);
	CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget_schema, (Datum) 0);
}

/*
 * Find the schema of an extension, InvalidOid if there is none any more, and
 * whether its version has histories.
 */
static Oid
extension_schema(Oid extension, bool *has_histories)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			schema = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		version = heap_getattr(tuple, Anum_pg_extension_extversion,
										   RelationGetDescr(rel), &isnull);

		schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
		*has_histories = strcmp(TextDatumGetCString(version), "1.0") != 0;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return schema;
}

/*
 * Refuse a relation that a crash would empty: what has been acknowledged must
 * survive one, and numbers must not be given out again.  Raises 55000.
 */
static void
report_not_logged(const char *relation)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("relation \"%s\" of extension storeengine is not logged", relation),
			 errdetail("A crash would empty it."),
			 errhint("Use ALTER TABLE or ALTER SEQUENCE with SET LOGGED.")));
}

/*
 * Find a relation of the extension, its owner, and its name as it must stand
 * in SQL text; false if there is none of the kind.  One of the same name that
 * somebody put in its place is another's.  The caller may leave out what it does
 * not want.  Raises 55000 if it is not logged.
 */
static bool
find_relation(Oid extension, Oid schema, const char *name, char relkind,
			  Oid *relid, Oid *owner, char **sql_name)
{
	char	   *schema_name = get_namespace_name(schema);
	HeapTuple	tuple;
	Form_pg_class form;
	bool		found;
	bool		logged;

	if (schema_name == NULL)
		return false;
	*relid = get_relname_relid(name, schema);
	if (!OidIsValid(*relid) || getExtensionOfObject(RelationRelationId, *relid) != extension)
		return false;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(*relid));
	if (!HeapTupleIsValid(tuple))
		return false;

	form = (Form_pg_class) GETSTRUCT(tuple);
	found = form->relkind == relkind;
	logged = form->relpersistence == RELPERSISTENCE_PERMANENT;
	if (owner != NULL)
		*owner = form->relowner;
	if (sql_name != NULL)
		*sql_name = quote_qualified_identifier(schema_name, name);
	ReleaseSysCache(tuple);
	if (found && !logged)
		report_not_logged(name);
	return found;
}

/* Fill in the relations; return the name of one that is missing, or NULL. */
static const char *
find_relations(Oid schema, bool has_histories, SeStore *store)
{
	if (!find_relation(store->extension, schema, "store_kv", RELKIND_RELATION,
					   &store->kv, NULL, &store->kv_name))
		return "store_kv";
	if (!find_relation(store->extension, schema, "store_batch_log", RELKIND_RELATION,
					   &store->log, &store->log_owner, &store->log_name))
		return "store_batch_log";
	if (!find_relation(store->extension, schema, "store_control", RELKIND_RELATION,
					   &store->control, &store->control_owner, &store->control_name))
		return "store_control";
	if (!find_relation(store->extension, schema, "store_retention", RELKIND_RELATION,
					   &store->retention, &store->retention_owner, &store->retention_name))
		return "store_retention";
	store->histories_name = "";
	if (has_histories &&
		!find_relation(store->extension, schema, "store_histories", RELKIND_RELATION,
					   &store->histories, &store->histories_owner, &store->histories_name))
		return "store_histories";
	if (!find_relation(store->extension, schema, "store_sequence", RELKIND_SEQUENCE,
					   &store->sequence, NULL, NULL))
		return "store_sequence";
	return NULL;
}

/* Tell whether two look-ups found the same. */
static bool
same_store(const SeStore *a, const SeStore *b)
{
	return a->extension == b->extension &&
		a->log_owner == b->log_owner && a->control_owner == b->control_owner &&
		a->retention_owner == b->retention_owner &&
		a->histories_owner == b->histories_owner &&
		a->kv == b->kv && a->log == b->log &&
		a->control == b->control && a->retention == b->retention &&
		a->histories == b->histories && a->sequence == b->sequence &&
		strcmp(a->kv_name, b->kv_name) == 0 &&
		strcmp(a->log_name, b->log_name) == 0 &&
		strcmp(a->control_name, b->control_name) == 0 &&
		strcmp(a->retention_name, b->retention_name) == 0 &&
		strcmp(a->histories_name, b->histories_name) == 0;
}

/* Raise 55000 for a relation that is not there. */
static void
report_missing(const char *relation)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("relation \"%s\" of extension storeengine is missing or has been replaced",
					relation),
			 errhint("It belongs in the schema of the extension, as the extension created it.")));
}

/*
 * Tell whether a column is as the extension made it.  One of a table that this
 * version of the extension does not have is fine.
 */
static bool
is_ours(const SeStore *store, const Column *column)
{
	Oid			table = *(const Oid *) ((const char *) store + column->relation);
	HeapTuple	tuple;
	Form_pg_attribute form;
	bool		result;

	if (!OidIsValid(table))
		return true;
	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(table), Int16GetDatum(column->number));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_attribute) GETSTRUCT(tuple);
	result = form->atttypid == column->type &&
		(form->attnotnull || !column->not_null) &&
		strcmp(NameStr(form->attname), column->name) == 0;
	ReleaseSysCache(tuple);
	return result;
}

/* Find the first column that somebody altered, NULL if there is none. */
static const Column *
find_altered(const SeStore *store)
{
	for (int i = 0; i < lengthof(columns); i++)
	{
		if (!is_ours(store, &columns[i]))
			return &columns[i];
	}
	return NULL;
}

/* Raise 55000 for a column that somebody altered. */
static void
report_altered(const Column *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("column \"%s\" of table \"%s\" has been altered",
					column->name, column->table),
			 errhint("Make it again as the extension created it.")));
}

/*
 * Refuse tables whose columns are not those that the extension made: values
 * are read by their types, and statements must mean what they say.  Whoever
 * looks the store up need not ask; it is for those who run statements for
 * others when code of the tables' owners may have run since.  Raises 55000.
 */
void
se_store_check_columns(const SeStore *store)
{
	const Column *altered = find_altered(store);

	if (altered != NULL)
		report_altered(altered);
}

/* Look everything up and remember it; false if there is no extension. */
static bool
look_up_store(void)
{
	SeStore		store = {0};
	Oid			schema = InvalidOid;
	bool		has_histories;
	const char *missing;
	const Column *altered;
	MemoryContext old_context;

	store.extension = get_extension_oid("storeengine", true);
	if (OidIsValid(store.extension))
		schema = extension_schema(store.extension, &has_histories);
	if (!OidIsValid(schema))
		return false;

	missing = find_relations(schema, has_histories, &store);
	altered = missing == NULL ? find_altered(&store) : NULL;
	if (missing != NULL || altered != NULL)
	{
		/* It may have been dropped with the extension, just now. */
		if (get_extension_oid("storeengine", true) != store.extension)
			return look_up_store();
		if (missing != NULL)
			report_missing(missing);
		report_altered(altered);
	}

	if (current_store.generation > 0 && same_store(&store, &current_store))
		return true;

	/* The old names are left alone: see se_store_prepare(). */
	old_context = MemoryContextSwitchTo(current_store_context);
	store.kv_name = pstrdup(store.kv_name);
	store.log_name = pstrdup(store.log_name);
	store.control_name = pstrdup(store.control_name);
	store.retention_name = pstrdup(store.retention_name);
	store.histories_name = pstrdup(store.histories_name);
	MemoryContextSwitchTo(old_context);

	store.generation = current_store.generation + 1;
	store.lookup = current_store.lookup;
	current_store = store;
	return true;
}

/* Find the store; false if there is no extension. */
static bool
find_store(void)
{
	prepare_session();
	AcceptInvalidationMessages();
	while (!current_store_valid)
	{
		uint64		seen = SharedInvalidMessageCounter;

		if (!look_up_store())
			return false;
		current_store.lookup++;
		current_store_valid = (seen == SharedInvalidMessageCounter);
	}
	return true;
}

/*
 * Find the store without locking it, for statements that lock the tables they
 * use by themselves.  Raises 55000 when the database has no store.
 */
SeStore *
se_store_find(void)
{
	if (!find_store())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension storeengine is not installed in this database"),
				 errhint("Use CREATE EXTENSION storeengine.")));
	return &current_store;
}

/*
 * Find the store and lock its tables of pairs and of batches in the given mode
 * until the transaction ends, which keeps DROP EXTENSION away.  The result is
 * good until then.  DROP EXTENSION locks the pairs first, and so do we.
 * Raises 55000 when the database has no store.
 */
SeStore *
se_store_lock(LOCKMODE mode)
{
	for (;;)
	{
		Oid			kv = se_store_find()->kv;
		Oid			log = current_store.log;

		LockRelationOid(kv, mode);
		LockRelationOid(log, mode);
		if (find_store() && current_store.kv == kv && current_store.log == log)
			return &current_store;
		UnlockRelationOid(log, mode);
		UnlockRelationOid(kv, mode);
	}
}

/*
 * As se_store_lock(), but lock the table of pairs alone, for a read of those.
 */
SeStore *
se_store_lock_pairs(LOCKMODE mode)
{
	for (;;)
	{
		Oid			kv = se_store_find()->kv;

		LockRelationOid(kv, mode);
		if (find_store() && current_store.kv == kv)
			return &current_store;
		UnlockRelationOid(kv, mode);
	}
}

/*
 * As se_store_lock(), but return NULL rather than wait for the locks or raise;
 * *missing tells whether that is because the database has no store.  When it
 * returns NULL it may hold a lock, so the transaction should end then.
 */
SeStore *
se_store_try_lock(LOCKMODE mode, bool *missing)
{
	Oid			kv;
	Oid			log;

	*missing = !find_store();
	if (*missing)
		return NULL;

	kv = current_store.kv;
	log = current_store.log;
	if (!ConditionalLockRelationOid(kv, mode) || !ConditionalLockRelationOid(log, mode))
		return NULL;
	if (find_store() && current_store.kv == kv && current_store.log == log)
		return &current_store;
	return NULL;
}

/* Tell whether an index is over the table's first columns, of these types. */
static bool
index_covers(Relation index, Relation table, const Oid *types, int ntypes)
{
	TupleDesc	desc = RelationGetDescr(table);

	if (index->rd_index->indnkeyatts != ntypes || desc->natts < ntypes)
		return false;
	for (int i = 0; i < ntypes; i++)
	{
		if (index->rd_index->indkey.values[i] != i + 1 ||
			TupleDescAttr(desc, i)->atttypid != types[i])
			return false;
	}
	return true;
}

/*
 * Open the primary key of one of the store's tables for reading, which must be
 * over its first columns, of the given types.  The caller closes it with
 * index_close().  Raises 55000 if somebody altered it.
 */
Relation
se_store_open_primary_key(Relation table, const Oid *types, int ntypes)
{
	Oid			oid = se_primary_key_index(table);
	Relation	index = OidIsValid(oid) ? index_open(oid, AccessShareLock) : NULL;

	if (index == NULL || !index_covers(index, table, types, ntypes))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has lost its primary key",
						RelationGetRelationName(table)),
				 errhint("Make the key columns and the primary key again as the extension created them.")));
	return index;
}

/*
 * Go on with the rights of a table's owner, as maintenance of tables does:
 * their triggers and policies must not get ours, nor change our settings.  Nor
 * must the current user's search_path tell them what their names mean.  And
 * take a snapshot and connect to SPI.
 */
void
se_store_become_owner(Oid owner, SeSavedUser *saved)
{
	GetUserIdAndSecContext(&saved->user, &saved->context);
	SetUserIdAndSecContext(owner, saved->context | SECURITY_RESTRICTED_OPERATION);
	saved->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
}

/*
 * Undo se_store_become_owner().
 */
void
se_store_become_self(const SeSavedUser *saved)
{
	SPI_finish();
	PopActiveSnapshot();
	AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->user, saved->context);
}

/*
 * Tell whether nothing about the tables may have changed since the store was
 * looked up: code of their owners, or the caller's, may have run since.
 */
bool
se_store_is_current(void)
{
	return current_store_valid;
}

/*
 * Prepare a statement, unless that has been done for this store.  The caller
 * has locked the store and is connected to SPI.
 */
void
se_store_prepare(const SeStore *store, SeStatement *statement)
{
	SPIPlanPtr	plan;

	if (statement->plan != NULL && statement->generation == store->generation &&
		(statement->emptied == 0 || statement->emptied == store->lookup))
		return;

	plan = SPI_prepare_cursor(statement->sql(store), statement->nargs,
							  statement->argtypes, statement->options);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare a statement: %s",
			 SPI_result_code_string(SPI_result));

	/*
	 * The old plan is left alone: a trigger on the table can bring us here
	 * while it is running.  Stores rarely change.
	 */
	statement->plan = plan;
	statement->generation = store->generation;
	statement->emptied = 0;
}

/*
 * Run a statement and return the number of rows it touched; rows returned
 * are in SPI_tuptable.  The caller has locked the store and is connected to
 * SPI.  With read_only the statement sees the caller's snapshot, else what
 * plain SQL would see.  Raises whatever the statement raises.
 */
uint64
se_store_execute(const SeStore *store, SeStatement *statement,
				 Datum *args, const char *nulls, bool read_only)
{
	int			result;

	se_store_prepare(store, statement);
	result = SPI_execute_plan(statement->plan, args, nulls, read_only, 0);
	if (result < 0)
		elog(ERROR, "could not execute a statement: %s",
			 SPI_result_code_string(result));

	/*
	 * A rule may have put nothing in the place of the statement.  Then there
	 * is nothing in the plan by which it would be found out of date when the
	 * rule is dropped: make another one when the table has changed.
	 */
	if (result == SPI_OK_REWRITTEN)
		statement->emptied = store->lookup;
	return SPI_processed;
}
