/*
 * frontier.c
 *		Find how far the log is complete, for a snapshot.
 *
 * The frontier of a snapshot is the end of the unbroken run of rows visible
 * in it, counted from the prune floor.  Counting from the floor would take
 * for ever, so every row carries a stamp: a number up to which its writer
 * knew the log to be complete, with all those transactions gone from the proc
 * array.  Whoever sees a row sees everything its stamp vouches for: on the
 * primary because those transactions had ended before the row was written,
 * let alone committed; on a standby because their commit records come earlier
 * in the WAL.  So any visible row's stamp is a place to start from, and the
 * rest is walked.
 *
 * The stamps of the transaction's own rows are not to be trusted: they were
 * made with newer eyes than those of the snapshot they are seen with.
 *
 * A session that asks again, under READ COMMITTED, walks on from what it found the
 * last time, if the new snapshot shows all that the old one showed.  It does in
 * two cases:
 *
 *		its xmin is not below the old one's xmax: all that the old one showed
 *		had ended and is below its xmax, and the new one takes nothing that is
 *		below its own xmin for running;
 *
 *		or its xmax is above the old one's: xmax is one more than the latest
 *		transaction that had ended, which never goes back, so the new one was
 *		taken later, and what had left the proc array by then had left it for
 *		good.
 *
 * With equal xmax one cannot tell, as a transaction below it may have ended
 * between the two; hence two results are kept, of different xmax.  Of what was
 * complete nothing but what has been pruned is gone, and pruning goes in order:
 * if the last row is still there, so are all from the floor on.  A standby's
 * snapshots have the same xmax, and follow the WAL as the proc array is followed
 * on the primary.
 *
 * Higher isolation levels may import snapshots, also such as logical decoding
 * makes: these go by the order of commit records, not by that in which
 * transactions leave the proc array.  So nothing is kept there.  Nor is what was
 * found with rows of the transaction's own.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "control.h"
#include "frontier.h"

static const Oid key_types[] = {INT8OID};

/* How many of the highest rows to look at before bisecting for one. */
#define TOP_ROWS 40

/* How many stamps to compare: concurrent writers' rows are not in order. */
#define TOP_STAMPS 4

/* Every so many numbers, a writer walks the log to renew the stamp ... */
#define ADVANCE_DISTANCE 32

/* ... but not farther than this. */
#define ADVANCE_LIMIT 4096

/* The log, opened for looking at it with a snapshot. */
typedef struct LogView
{
	Relation	table;
	Relation	index;
	TupleTableSlot *slot;
	Snapshot	snapshot;
	bool		own_rows;		/* may there be rows of this transaction? */
	bool		above;			/* may there be some above the next number, as
								 * far as walk() has seen? */
} LogView;

/* A frontier that this session has found. */
typedef struct Found
{
	int64		frontier;		/* 0 for none */
	TransactionId xmax;			/* of the snapshot it was found with */
} Found;

/* The last two, with different xmax, since the store was looked up. */
static Found last_found;
static Found found_before;
static uint64 found_lookup = 0;

/* Open the log, on which the caller holds a lock. */
static void
open_view(LogView *view, const SeStore *store, Snapshot snapshot)
{
	view->table = table_open(store->log, AccessShareLock);
	view->index = se_store_open_primary_key(view->table, key_types, lengthof(key_types));
	if (TupleDescAttr(RelationGetDescr(view->table), SE_LOG_STABLE - 1)->atttypid != INT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"stable\" of table \"%s\" has been altered",
						RelationGetRelationName(view->table)),
				 errhint("Its type must be bigint.")));
	view->slot = table_slot_create(view->table, NULL);
	view->snapshot = snapshot;
	view->own_rows = TransactionIdIsValid(GetTopTransactionIdIfAny());
}

/* Close the log; locks are kept until the transaction ends. */
static void
close_view(LogView *view)
{
	ExecDropSingleTupleTableSlot(view->slot);
	index_close(view->index, NoLock);
	table_close(view->table, NoLock);
}

/*
 * Begin to scan the numbers for which "number <strategy> bound" holds; all of
 * them with InvalidStrategy.
 */
static IndexScanDesc
begin_scan(LogView *view, StrategyNumber strategy, int64 bound)
{
	IndexScanDesc scan;
	ScanKeyData key;
	int			nkeys = 0;

	if (strategy != InvalidStrategy)
	{
		RegProcedure compare = strategy == BTEqualStrategyNumber ? F_INT8EQ : F_INT8GT;

		Assert(strategy == BTEqualStrategyNumber || strategy == BTGreaterStrategyNumber);
		ScanKeyInit(&key, SE_LOG_SEQUENCE_NUMBER, strategy, compare,
					Int64GetDatum(bound));
		nkeys = 1;
	}
	scan = se_index_beginscan(view->table, view->index, view->snapshot, nkeys);
	scan->xs_want_itup = true;
	index_rescan(scan, &key, nkeys, NULL, 0);
	return scan;
}

/* Step to the next index entry and read its number; false at the end. */
static bool
next_number(IndexScanDesc scan, ScanDirection direction, int64 *number)
{
	bool		isnull;

	CHECK_FOR_INTERRUPTS();
	if (index_getnext_tid(scan, direction) == NULL)
		return false;
	*number = DatumGetInt64(index_getattr(scan->xs_itup, SE_LOG_SEQUENCE_NUMBER,
										  scan->xs_itupdesc, &isnull));
	return true;
}

/* Tell whether the row in the slot was written by this transaction. */
static bool
is_own_row(LogView *view)
{
	bool		isnull;
	Datum		xmin;

	if (!view->own_rows)
		return false;
	xmin = slot_getsysattr(view->slot, MinTransactionIdAttributeNumber, &isnull);
	return TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

/* Read the stamp of the row in the slot. */
static int64
row_stamp(LogView *view)
{
	bool		isnull;

	return DatumGetInt64(slot_getattr(view->slot, SE_LOG_STABLE, &isnull));
}

/* Tell whether a number's row is visible. */
static bool
is_visible(LogView *view, int64 wanted)
{
	IndexScanDesc scan = begin_scan(view, BTEqualStrategyNumber, wanted);
	bool		visible = false;
	int64		number;

	while (!visible && next_number(scan, ForwardScanDirection, &number))
		visible = index_fetch_heap(scan, view->slot);
	index_endscan(scan);
	return visible;
}

/*
 * Find the highest number above low and below high whose row is visible, for
 * visibility that goes from yes to no once, roughly; raise *start to its
 * stamp and return it, or 0.
 */
static int64
bisect(LogView *view, int64 low, int64 high, int64 *start)
{
	int64		found = 0;

	while (high - low > 1)
	{
		int64		middle = low + (high - low) / 2;

		if (is_visible(view, middle) && !is_own_row(view))
		{
			*start = Max(*start, row_stamp(view));
			found = low = middle;
		}
		else
			high = middle;
		ExecClearTuple(view->slot);
	}
	return found;
}

/*
 * Find a place to start from, not below the given one, by the stamps of the
 * highest visible rows; *top becomes the highest number seen visible.
 */
static int64
find_start(LogView *view, int64 start, int64 *top)
{
	IndexScanDesc scan = begin_scan(view, InvalidStrategy, 0);
	int64		floor = start;
	int64		number = 0;
	int			rows = 0;
	int			stamps = 0;
	bool		more = true;

	*top = 0;
	while (rows < TOP_ROWS && stamps < TOP_STAMPS &&
		   (more = next_number(scan, BackwardScanDirection, &number)) &&
		   number > start)
	{
		rows++;
		if (!index_fetch_heap(scan, view->slot))
			continue;
		*top = Max(*top, number);
		if (is_own_row(view))
			continue;
		stamps++;
		start = Max(start, row_stamp(view));
	}
	index_endscan(scan);

	/* An old snapshot has everything written since above it. */
	if (more && stamps == 0 && rows == TOP_ROWS)
		*top = Max(*top, bisect(view, floor, number, &start));
	return start;
}

/*
 * Walk from a complete number to the end of the unbroken run.  A number can
 * have several index entries, of which one at most is visible.  With
 * stop_at_own, rows of this transaction do not count.
 */
static int64
walk(LogView *view, int64 frontier, bool stop_at_own, int64 limit)
{
	IndexScanDesc scan = begin_scan(view, BTGreaterStrategyNumber, frontier);
	int64		first = frontier;
	int64		number;

	view->above = false;
	while (frontier - first < limit &&
		   next_number(scan, ForwardScanDirection, &number))
	{
		view->above = number > frontier + 1;
		if (view->above)
			break;
		if (number <= frontier || !index_fetch_heap(scan, view->slot))
			continue;
		if (stop_at_own && is_own_row(view))
			break;
		frontier = number;
	}
	index_endscan(scan);
	return frontier;
}

/*
 * Tell whether the log reaches the frontier that was found, and does not just
 * have rows that vouch for it.  It does, but in the middle of a restore, when
 * the rows are there and the floor is not.
 */
static bool
is_sound(LogView *view, const SeFrontier *found)
{
	return found->frontier == found->floor || is_visible(view, found->frontier);
}

/*
 * Tell whether a number that a snapshot does not show is a hole: no writer in
 * flight holds it, and it has not been written since the snapshot was taken.
 */
static bool
is_hole(LogView *view, SeShared *shared, int64 number)
{
	LogView		now = *view;
	SeHolder	holder;

	se_registry_lowest(shared, &holder);
	if (holder.bound != 0 && holder.bound <= (uint64) number)
		return false;
	now.snapshot = SnapshotSelf;
	return !is_visible(&now, number);
}

/*
 * Tell whether others can rely on what a reader's walk found.  A transaction that
 * has written may have counted its own rows.
 */
static bool
may_share(LogView *view)
{
	return !view->own_rows && !RecoveryInProgress();
}

/* Tell the others what a reader's walk found. */
static void
share_frontier(const SeStore *store, LogView *view, const SeFrontier *result)
{
	SeShared   *shared;
	bool		gap = result->top > result->frontier;

	if (!may_share(view))
		return;
	shared = se_registry_find(store->log);
	if (shared == NULL && (gap || result->walked > SE_LONG_WALK))
		shared = se_registry_try_attach(store->log);
	if (shared == NULL)
		return;
	se_registry_raise(&shared->complete, result->frontier);

	/* Rows above a gap that no writer in flight explains: a hole. */
	if (gap && is_hole(view, shared, result->frontier + 1) && is_sound(view, result))
	{
		se_registry_raise(&shared->suspect, result->top);
		se_registry_request_worker(shared);
	}
	else if (!gap && result->walked > SE_LONG_WALK)
		se_registry_request_worker(shared);
}

/* Keep what was found, for the next snapshots. */
static void
remember(const SeStore *store, LogView *view, int64 frontier)
{
	TransactionId xmax = view->snapshot->xmax;

	Assert(IsMVCCSnapshot(view->snapshot));
	if (view->own_rows || IsolationUsesXactSnapshot())
		return;
	if (found_lookup != store->lookup)
		last_found.frontier = 0;
	if (found_lookup != store->lookup || last_found.xmax != xmax)
		found_before = last_found;
	last_found.frontier = frontier;
	last_found.xmax = xmax;
	found_lookup = store->lookup;
}

/* Tell whether a snapshot shows all that was shown when something was found. */
static bool
shows_all(Snapshot snapshot, const Found *found)
{
	return found->frontier > 0 &&
		(TransactionIdFollowsOrEquals(snapshot->xmin, found->xmax) ||
		 TransactionIdFollows(snapshot->xmax, found->xmax));
}

/* Recall a number up to which a snapshot shows all, 0 if there is none. */
static int64
recall(const SeStore *store, Snapshot snapshot)
{
	if (found_lookup != store->lookup || IsolationUsesXactSnapshot())
		return 0;
	if (shows_all(snapshot, &last_found))
		return last_found.frontier;
	return shows_all(snapshot, &found_before) ? found_before.frontier : 0;
}

/*
 * Find the frontier of a snapshot.  The caller has locked the store and sees
 * to it that the snapshot is active or registered.  Raises 55000 if the log's
 * primary key is gone.
 */
void
se_frontier_read(const SeStore *store, Snapshot snapshot, SeFrontier *result)
{
	LogView		view;
	int64		start;

	result->floor = se_control_read(store, SE_CONTROL_FLOOR, snapshot);
	start = Max(result->floor,
				se_control_read(store, SE_CONTROL_ANCHOR, snapshot));

	open_view(&view, store, snapshot);
	start = find_start(&view, start, &result->top);
	result->frontier = walk(&view, start, false, PG_INT64_MAX);
	result->walked = result->frontier - start;
	share_frontier(store, &view, result);
	remember(store, &view, result->frontier);
	close_view(&view);
}

/*
 * Find the frontier from one that was found before; false if that is far behind, as
 * far as one can tell, or pruned, or if there may be a hole to tell of.  One that
 * has just been reached is told of the next time.
 */
static bool
walk_on(const SeStore *store, Snapshot snapshot, int64 *frontier)
{
	SeShared   *shared = se_registry_find(store->log);
	int64		before = recall(store, snapshot);
	LogView		view;
	bool		done;

	if (before == 0 ||
		(shared != NULL &&
		 (int64) pg_atomic_read_u64(&shared->complete) - before > SE_LONG_WALK))
		return false;

	open_view(&view, store, snapshot);
	*frontier = walk(&view, before - 1, false, SE_LONG_WALK);
	done = *frontier >= before && *frontier - before < SE_LONG_WALK - 1;
	if (done && shared != NULL && may_share(&view))
	{
		se_registry_raise(&shared->complete, *frontier);
		done = !(view.above && *frontier == before && is_hole(&view, shared, before + 1));
	}
	if (done)
		remember(store, &view, *frontier);
	close_view(&view);
	return done;
}

/*
 * As se_frontier_read(), for the frontier alone, and at less expense if this
 * session has asked before.
 */
int64
se_frontier_current(const SeStore *store, Snapshot snapshot)
{
	SeFrontier	found;

	if (!walk_on(store, snapshot, &found.frontier))
		se_frontier_read(store, snapshot, &found);
	return found.frontier;
}

/*
 * Find the lowest number in the log, 0 if there is none up to the frontier: the
 * one above the floor, if its row is visible.  Otherwise as se_frontier_read().
 */
int64
se_frontier_oldest(const SeStore *store, Snapshot snapshot)
{
	int64		first = se_control_read(store, SE_CONTROL_FLOOR, snapshot) + 1;
	LogView		view;
	bool		visible;

	open_view(&view, store, snapshot);
	visible = is_visible(&view, first);
	close_view(&view);
	return visible ? first : 0;
}

/*
 * Walk from a complete number over what has left the proc array by now, up to
 * our own rows.  SnapshotSelf shows just that, besides our own; it takes no
 * predicate locks, with which serializable writers would fail each other.
 */
static int64
walk_settled(const SeStore *store, int64 start, int64 limit)
{
	LogView		view;
	int64		top;

	open_view(&view, store, SnapshotSelf);
	start = find_start(&view, start, &top);
	start = walk(&view, start, true, limit);
	close_view(&view);
	return start;
}

/* Raise the shared complete number by a walk, which is not to take long. */
static void
advance_complete(const SeStore *store, SeShared *shared)
{
	int64		start = (int64) pg_atomic_read_u64(&shared->complete);

	start = Max(start, se_control_read_settled(store, SE_CONTROL_FLOOR));
	se_registry_raise(&shared->complete, walk_settled(store, start, ADVANCE_LIMIT));
}

/*
 * Find how far the log is complete by now, without own rows.  What this
 * transaction has pruned was complete, too.  shared may be NULL.  The caller has
 * locked the store.
 */
int64
se_frontier_settled(const SeStore *store, SeShared *shared)
{
	int64		start = shared == NULL ? 0 : (int64) pg_atomic_read_u64(&shared->complete);

	start = Max(start, se_control_read(store, SE_CONTROL_FLOOR, SnapshotSelf));
	start = Max(start, se_control_read_settled(store, SE_CONTROL_ANCHOR));
	return walk_settled(store, start, PG_INT64_MAX);
}

/*
 * Give the stamp for a batch about to be written: a number up to which the
 * log is complete, not far behind the truth.  The caller has locked the store
 * and has not taken the batch's number yet.
 */
int64
se_frontier_stamp(const SeStore *store, SeShared *shared)
{
	uint64		allocated = pg_atomic_read_u64(&shared->allocated);
	uint64		due = pg_atomic_read_u64(&shared->advance_at);

	if (allocated >= due &&
		pg_atomic_compare_exchange_u64(&shared->advance_at, &due,
									   allocated + ADVANCE_DISTANCE))
		advance_complete(store, shared);
	return (int64) pg_atomic_read_u64(&shared->complete);
}

/*
 * Find the highest number whose row is visible, 0 if there is none above the
 * floor.
 */
int64
se_frontier_highest(const SeStore *store, Snapshot snapshot)
{
	LogView		view;
	IndexScanDesc scan;
	int64		number;
	bool		visible = false;
	int64		floor = se_control_read(store, SE_CONTROL_FLOOR, snapshot);

	open_view(&view, store, snapshot);
	scan = begin_scan(&view, BTGreaterStrategyNumber, floor);
	while (!visible && next_number(scan, BackwardScanDirection, &number))
		visible = index_fetch_heap(scan, view.slot);
	index_endscan(scan);
	close_view(&view);
	return visible ? number : 0;
}

/*
 * Tell whether holes above a frontier may be filled: whether the log reaches
 * it in the snapshot it was found with.
 */
bool
se_frontier_is_sound(const SeStore *store, Snapshot snapshot, const SeFrontier *found)
{
	LogView		view;
	bool		result;

	open_view(&view, store, snapshot);
	result = is_sound(&view, found);
	close_view(&view);
	return result;
}

/*
 * List the numbers above from and below limit that have no visible row, as
 * many as there is room for; returns how many.
 */
int
se_frontier_holes(const SeStore *store, Snapshot snapshot,
				  int64 from, int64 limit, int64 *holes, int room)
{
	LogView		view;
	IndexScanDesc scan;
	int64		number = 0;
	int64		next = from + 1;
	int			count = 0;
	bool		more = true;

	open_view(&view, store, snapshot);
	scan = begin_scan(&view, BTGreaterStrategyNumber, from);
	while (more && next < limit && count < room)
	{
		more = next_number(scan, ForwardScanDirection, &number);
		if (more && !index_fetch_heap(scan, view.slot))
			continue;
		if (!more)
			number = limit;
		while (next < Min(number, limit) && count < room)
			holes[count++] = next++;
		next = Max(next, number + 1);
	}
	index_endscan(scan);
	close_view(&view);
	return count;
}

/*
 * Count the numbers above from and below limit that have no visible row.
 */
int64
se_frontier_count_holes(const SeStore *store, Snapshot snapshot, int64 from, int64 limit)
{
	LogView		view;
	IndexScanDesc scan;
	int64		number;
	int64		count = limit - from - 1;

	open_view(&view, store, snapshot);
	scan = begin_scan(&view, BTGreaterStrategyNumber, from);
	while (next_number(scan, ForwardScanDirection, &number) && number < limit)
	{
		if (index_fetch_heap(scan, view.slot))
			count--;
	}
	index_endscan(scan);
	close_view(&view);
	return count;
}
