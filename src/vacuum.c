/*
 * vacuum.c
 *		Have the space of pruned batches used again.
 *
 * Autovacuum looks at a table once a minute at best, by which time a busy log
 * that keeps few batches consists mostly of dead ones.  So the worker vacuums
 * the log itself when it has pruned a fortieth of what is retained: but not
 * before every snapshot is gone that could still see those batches, or it
 * would find nothing to remove.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/table.h"
#include "commands/vacuum.h"
#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "storage/procarray.h"
#include "utils/memutils.h"

#include "vacuum.h"

/* Fewer pruned batches than this are left to autovacuum. */
#define LEAST_DEAD 1000

/* Batches pruned since the last vacuum. */
static int64 dead = 0;

/* Of these, what will be removed once nobody can see what this one pruned. */
static int64 marked = 0;
static TransactionId mark = InvalidTransactionId;

/*
 * Note that a transaction has pruned batches, and how many are left.
 */
void
se_vacuum_note_pruned(int64 pruned, int64 retained, TransactionId xid)
{
	dead += pruned;
	if (!TransactionIdIsValid(mark) && dead >= Max(LEAST_DEAD, retained / 40))
	{
		mark = xid;
		marked = dead;
	}
}

/*
 * Tell whether there is something to be vacuumed, sooner or later.
 */
bool
se_vacuum_wanted(void)
{
	return TransactionIdIsValid(mark);
}

/* Tell whether somebody may still see what was pruned. */
static bool
is_visible_to_anyone(const SeStore *store)
{
	Relation	log = table_open(store->log, NoLock);
	TransactionId horizon = GetOldestNonRemovableTransactionId(log);

	table_close(log, NoLock);
	return !TransactionIdPrecedes(mark, horizon);
}

/* An option of VACUUM that is on or off. */
static DefElem *
option(char *name, bool value)
{
	return makeDefElem(name, (Node *) makeBoolean(value), -1);
}

/*
 * Vacuum a table as the command would: it ends the caller's transaction and
 * starts another.  It does not shorten the table, for which it would have to
 * lock readers out.
 */
static void
vacuum_table(Oid table)
{
	VacuumStmt *statement = makeNode(VacuumStmt);

	statement->is_vacuumcmd = true;
	statement->options = list_make1(option("truncate", false));
	statement->options = lappend(statement->options, option("skip_locked", true));
	statement->rels = list_make1(makeVacuumRelation(NULL, table, NIL));
	ExecVacuum(make_parsestate(NULL), statement, true);
}

/*
 * Vacuum the log, unless it would be in vain yet; true if it was done.  The
 * caller has begun a transaction and locked the store; afterwards it is in
 * another one, and the store is not locked.
 */
bool
se_vacuum_log(const SeStore *store)
{
	if (is_visible_to_anyone(store))
		return false;

	/* VACUUM keeps what must outlive its transactions here. */
	PortalContext = AllocSetContextCreate(TopMemoryContext, "storeengine vacuum",
										  ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(PortalContext);
	PG_TRY();
	{
		vacuum_table(store->log);
	}
	PG_FINALLY();
	{
		/* the context we came with went with its transaction */
		MemoryContextSwitchTo(TopMemoryContext);
		MemoryContextDelete(PortalContext);
		PortalContext = NULL;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(CurTransactionContext);

	dead -= marked;
	mark = InvalidTransactionId;
	return true;
}
