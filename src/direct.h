/*
 * direct.h
 *		Go to a table through its access methods rather than through SQL.
 */
#ifndef SE_DIRECT_H
#define SE_DIRECT_H

#include "access/genam.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "nodes/parsenodes.h"

#include "store.h"

/* Which way to go to the tables: for tests. */
typedef enum SeDebugAccess
{
	SE_ACCESS_AUTO,				/* directly where that means the same */
	SE_ACCESS_DIRECT,			/* directly, or fail */
	SE_ACCESS_SQL				/* by SQL */
} SeDebugAccess;

extern int	se_debug_access;

/*
 * How a table of the store must be to be accessed directly: the type of its first
 * column, which is its primary key, and how many there are; and what has been
 * found out about it.
 */
typedef struct SePlainTable
{
	Oid			key_type;
	int			natts;
	List	   *(*checks) (void);	/* its check constraints, as expressions */

	uint64		lookup;			/* look-up of the store at which this was so */
	Oid			key_index;		/* its primary key, if rows can be read */
	bool		can_write;
} SePlainTable;

/* A table and its primary key, opened. */
typedef struct SeDirectTable
{
	Relation	table;
	Relation	index;
	IndexInfo  *index_info;
} SeDirectTable;

extern bool se_direct_has_triggers(Relation table);
extern bool se_direct_may_read(const SeStore *store, Oid relid, SePlainTable *plain);
extern bool se_direct_may_write(const SeStore *store, Oid relid, AclMode privileges,
								SePlainTable *plain);
extern void se_direct_open(SeDirectTable *direct, Oid relid, const SePlainTable *plain);
extern void se_direct_close(SeDirectTable *direct);
extern bool se_direct_index(SeDirectTable *direct, TupleTableSlot *slot,
							IndexUniqueCheck check, bool unchanged);

#endif							/* SE_DIRECT_H */
