/*
 * filler.c
 *		Find the holes of the log, fill them, and say who is to wake us.
 *
 * For the worker.  Nothing here guesses: a number is filled if it is known to
 * be decided and to have no row.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/snapmgr.h"

#include "batch_log.h"
#include "control.h"
#include "filler.h"
#include "history.h"
#include "sequencer.h"

/* How many holes one transaction fills. */
#define FILL_AT_ONCE 4096

/* The first hole that was filled last, 0 since there was none. */
static int64 first_filled = 0;

/*
 * List the holes that can be filled, as many as there is room for.  The
 * survey's snapshot is active.
 */
static void
list_holes(const SeStore *store, SeSurvey *survey)
{
	survey->holes = NULL;
	survey->nholes = 0;
	if (survey->found.frontier >= survey->decided - 1 ||
		!se_frontier_is_sound(store, GetActiveSnapshot(), &survey->found))
		return;
	survey->holes = palloc(FILL_AT_ONCE * sizeof(int64));
	survey->nholes = se_frontier_holes(store, GetActiveSnapshot(), survey->found.frontier,
									   survey->decided, survey->holes, FILL_AT_ONCE);
}

/*
 * Find out what is decided, and which holes there are.  The order is what
 * makes it right: first a row that is visible, so that all lower numbers have
 * been given out; then the writers in flight, so that whoever held a number
 * below all of theirs has ended; then a new snapshot, which shows what became
 * of it.  The caller has locked the store.
 */
void
se_filler_survey(const SeStore *store, SeSurvey *survey)
{
	SeHolder	holder = {0};

	PushActiveSnapshot(GetTransactionSnapshot());
	survey->highest = se_frontier_highest(store, GetActiveSnapshot());
	PopActiveSnapshot();

	/* A row that somebody added by hand above the sequence proves nothing. */
	survey->decided = Min(survey->highest, se_sequencer_last(store) + 1);

	/*
	 * Writers claim an entry for the store before they take a number: if
	 * there is none by now, none of them is in flight.
	 */
	survey->shared = se_registry_find(store->log);
	if (survey->shared != NULL)
		se_registry_lowest(survey->shared, &holder);
	survey->holder = (int64) holder.bound;
	if (survey->holder != 0)
		survey->decided = Min(survey->decided, survey->holder);

	PushActiveSnapshot(GetTransactionSnapshot());
	se_frontier_read(store, GetActiveSnapshot(), &survey->found);
	list_holes(store, survey);
	PopActiveSnapshot();
	if (survey->nholes == 0)
		first_filled = 0;
}

/*
 * Fill the holes that a survey found, durably: what has been seen filled must
 * stay so.  A filled hole belongs to the present history, as it says what has
 * become of a number.  The caller has locked the store.  Raises 27000 if the
 * first of them has been filled before and is missing again.
 */
void
se_filler_fill(const SeStore *store, const SeSurvey *survey)
{
	SeSavedUser saved;
	SeHistory	history;
	bool		new_history;

	if (survey->holes[0] == first_filled)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("batch %lld was filled and is missing again",
						(long long) first_filled),
				 errhint("A trigger or a rule on the batch log changes or deletes rows.")));
	/* Without an entry there are no writers, but holes all the same. */
	new_history = se_history_begin(store, se_registry_try_attach(store->log), &history);
	se_store_become_owner(store->log_owner, &saved);
	se_log_fill(store, survey->holes, survey->nholes);
	se_store_become_self(&saved);
	if (new_history)
		se_history_note(store, &history, survey->holes[0]);
	ForceSyncCommit();
	first_filled = survey->holes[0];
}

/*
 * Leave the frontier for others to start from.  The caller has locked the
 * store.
 */
void
se_filler_leave_anchor(const SeStore *store, int64 frontier)
{
	SeSavedUser saved;

	se_store_become_owner(store->control_owner, &saved);
	se_control_raise(store, SE_CONTROL_ANCHOR, frontier, 0);
	se_store_become_self(&saved);
}

/* Tell whether a row above a number is visible by now. */
static bool
visible_above(const SeStore *store, int64 number)
{
	bool		result;

	PushActiveSnapshot(GetTransactionSnapshot());
	result = se_frontier_highest(store, GetActiveSnapshot()) > number;
	PopActiveSnapshot();
	return result;
}

/* Say whose end is to wake us.  A full barrier. */
static void
set_wake(SeShared *shared, uint64 below, uint64 from)
{
	pg_atomic_write_u64(&shared->wake_below, below);
	pg_atomic_exchange_u64(&shared->wake_from, from);
}

/*
 * Say which ending writers shall wake us, after a survey that found nothing to
 * fill: those in the way of a number that is wanted, PG_UINT64_MAX for none, or
 * of a hole that may be there.  False if what we would wait for has happened
 * meanwhile: whoever ended before we said so did not wake us.
 */
bool
se_filler_arm(const SeStore *store, const SeSurvey *survey, uint64 wanted)
{
	SeShared   *shared = survey->shared;
	int64		frontier = survey->found.frontier;
	int64		next = frontier + 1;
	bool		missing = pg_atomic_read_u64(&shared->suspect) > (uint64) frontier;
	SeHolder	holder;

	/* What is missing is not for us to fill: wait for what is new. */
	if (next < survey->decided)
	{
		set_wake(shared, 0, wanted == PG_UINT64_MAX ? wanted : Max(wanted, survey->highest + 1));
		return true;
	}
	if (!missing && wanted == PG_UINT64_MAX)
	{
		set_wake(shared, 0, PG_UINT64_MAX);
		return true;
	}

	/* A writer in flight stands in the way: wait for its end. */
	if (survey->holder != 0 && survey->holder <= next)
	{
		set_wake(shared, next, PG_UINT64_MAX);
		se_registry_lowest(shared, &holder);
		return holder.bound != 0 && holder.bound <= (uint64) next;
	}

	/* Nothing is visible above: wait for the commit of what is wanted. */
	set_wake(shared, missing ? PG_UINT64_MAX : 0, wanted);
	return !visible_above(store, missing ? frontier : (int64) wanted - 1);
}
