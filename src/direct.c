/*
 * direct.c
 *		Go to a table through its access methods rather than through SQL.
 *
 * That is how an executor would do it, without the executor, and means the
 * same only for a plain table: one on which nothing hangs that SQL would have
 * minded, be it a trigger, a rule, a policy, a second index, a child or a
 * constraint.  For all others, and for those who have rights on columns alone,
 * there is SQL.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "direct.h"

int			se_debug_access = SE_ACCESS_AUTO;

/*
 * Tell whether changes of a table run triggers of any kind, or rules.  The
 * caller holds a lock on it.
 */
bool
se_direct_has_triggers(Relation table)
{
	TriggerDesc *trig = table->trigdesc;

	if (table->rd_rules != NULL)
		return true;
	return trig != NULL &&
		(trig->trig_insert_before_row || trig->trig_insert_after_row ||
		 trig->trig_insert_before_statement || trig->trig_insert_after_statement ||
		 trig->trig_update_before_row || trig->trig_update_after_row ||
		 trig->trig_update_before_statement || trig->trig_update_after_statement ||
		 trig->trig_delete_before_row || trig->trig_delete_after_row ||
		 trig->trig_delete_before_statement || trig->trig_delete_after_statement);
}

/* Tell whether reading a table is reading its rows, all of them, and no more. */
static bool
reads_plainly(Relation table)
{
	Form_pg_class form = table->rd_rel;

	return form->relam == HEAP_TABLE_AM_OID && !form->relrowsecurity &&
		!form->relhassubclass && !form->relispartition;
}

/*
 * Find the primary key, if it is over the first column alone, and of use for any
 * snapshot: one that was made of rows that had been changed may not be.
 */
static Oid
find_key_index(Relation table, const SePlainTable *plain)
{
	Oid			primary = se_primary_key_index(table);
	Relation	index;
	Form_pg_index form;
	bool		sound;

	if (!OidIsValid(primary) || RelationGetDescr(table)->natts < 1 ||
		TupleDescAttr(RelationGetDescr(table), 0)->atttypid != plain->key_type)
		return InvalidOid;
	index = index_open(primary, AccessShareLock);
	form = index->rd_index;
	sound = index->rd_rel->relam == BTREE_AM_OID && form->indimmediate && !form->indcheckxmin &&
		form->indnatts == 1 && form->indkey.values[0] == 1;
	index_close(index, AccessShareLock);
	return sound ? primary : InvalidOid;
}

/* Tell whether an index is the only one of a table. */
static bool
is_only_index(Relation table, Oid index)
{
	List	   *indexes = RelationGetIndexList(table);
	bool		result = list_length(indexes) == 1 && linitial_oid(indexes) == index;

	list_free(indexes);
	return result;
}

/* Tell whether a table has these columns, and these constraints, alone. */
static bool
has_own_columns(Relation table, const SePlainTable *plain)
{
	TupleDesc	desc = RelationGetDescr(table);
	TupleConstr *constr = desc->constr;
	List	   *checks = plain->checks();

	if (desc->natts != plain->natts || constr == NULL ||
		constr->num_defval > 0 || constr->missing != NULL ||
		constr->has_generated_stored || constr->num_check != list_length(checks))
		return false;
	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->attidentity != '\0')
			return false;
	}
	for (int i = 0; i < constr->num_check; i++)
	{
		Node	   *check = stringToNode(constr->check[i].ccbin);

		if (!list_member(checks, check) || !constr->check[i].ccvalid)
			return false;
		checks = list_delete(checks, check);
	}
	return true;
}

/* Find out how a table of the store can be accessed, on which there is a lock. */
static void
look_at(const SeStore *store, Oid relid, SePlainTable *plain)
{
	Relation	table;

	if (plain->lookup == store->lookup)
		return;
	table = table_open(relid, NoLock);
	plain->key_index = reads_plainly(table) ? find_key_index(table, plain) : InvalidOid;
	plain->can_write = OidIsValid(plain->key_index) &&
		is_only_index(table, plain->key_index) &&
		!se_direct_has_triggers(table) && has_own_columns(table, plain);
	table_close(table, NoLock);
	plain->lookup = store->lookup;
}

/*
 * Tell whether the way is free: SQL is not asked for, nobody watches who
 * reads and writes what, and the current user has the privileges on the whole
 * table.
 */
static bool
is_free(Oid relid, AclMode privileges)
{
	return se_debug_access != SE_ACCESS_SQL && ExecutorCheckPerms_hook == NULL &&
		pg_class_aclmask(relid, GetUserId(), privileges, ACLMASK_ALL) == privileges;
}

/*
 * Decide, unless something has changed since the table was looked at.  Refuse to
 * go by SQL if a test wants to see the direct way.
 */
static bool
decide(Oid relid, bool may)
{
	may = may && se_store_is_current();
	if (!may && se_debug_access == SE_ACCESS_DIRECT)
		elog(ERROR, "table \"%s\" cannot be accessed directly", get_rel_name(relid));
	return may;
}

/*
 * Tell whether the current user may read a table of the store directly.  The
 * caller has locked it.
 */
bool
se_direct_may_read(const SeStore *store, Oid relid, SePlainTable *plain)
{
	look_at(store, relid, plain);
	return decide(relid, OidIsValid(plain->key_index) && is_free(relid, ACL_SELECT));
}

/*
 * Tell whether the current user, who needs these privileges, may write to a
 * table of the store directly.  The caller has locked the store for writing.
 */
bool
se_direct_may_write(const SeStore *store, Oid relid, AclMode privileges,
					SePlainTable *plain)
{
	look_at(store, relid, plain);
	return decide(relid, plain->can_write && is_free(relid, privileges));
}

/*
 * Open a table for writing.  The caller holds a lock on it, and has just been
 * told that it may.
 */
void
se_direct_open(SeDirectTable *direct, Oid relid, const SePlainTable *plain)
{
	direct->table = table_open(relid, NoLock);
	direct->index = index_open(plain->key_index, RowExclusiveLock);
	direct->index_info = BuildIndexInfo(direct->index);
	if (RelationGetDescr(direct->table)->natts != plain->natts)
		elog(ERROR, "table \"%s\" has changed", RelationGetRelationName(direct->table));
}

/*
 * Close it; the lock on the table is kept until the transaction ends.
 */
void
se_direct_close(SeDirectTable *direct)
{
	index_close(direct->index, RowExclusiveLock);
	table_close(direct->table, NoLock);
}

/*
 * Add the row in a slot to the index, as index_insert() does: with
 * UNIQUE_CHECK_PARTIAL the result tells whether its key is unique for sure.
 */
bool
se_direct_index(SeDirectTable *direct, TupleTableSlot *slot,
				IndexUniqueCheck check, bool unchanged)
{
	bool		isnull = false;
	Datum		key = slot_getattr(slot, 1, &isnull);

	return index_insert(direct->index, &key, &isnull, &slot->tts_tid, direct->table,
						check, unchanged, direct->index_info);
}
