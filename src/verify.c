/*
 * verify.c
 *		store_verify(): whether the store is what it should be.
 *
 * All is read with the caller's snapshot, in which the log and the table must
 * fit together, whatever others do meanwhile; so it works on standbys, and says
 * the same for as long as the snapshot is kept.  One thing is not in any
 * snapshot: whether a number that has no batch will get one.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/wait_event.h"

#include "history.h"
#include "registry.h"
#include "sequencer.h"
#include "verify.h"

PG_FUNCTION_INFO_V1(store_verify);

/* How often to tell how far we are. */
#define NOTICE_MS 10000

/*
 * How long to wait for the worker to fill holes, after how long to tell of it at
 * the latest, and how often to look.
 */
#define PATIENCE_MS 10000
#define WAIT_NOTICE_MS 1000
#define POLL_MS 20

/* The columns of store_verify(). */
enum
{
	VERIFY_CHECK_NAME,
	VERIFY_RESULT,
	VERIFY_CHECKED,
	VERIFY_SEQUENCE_NUMBER,
	VERIFY_KEY,
	VERIFY_DETAIL,
	VERIFY_COLUMNS
};

static const char *const check_names[SE_CHECKS] = {
	[SE_CHECK_LOG] = "log",
	[SE_CHECK_PAYLOAD] = "payload",
	[SE_CHECK_STAMPS] = "stamps",
	[SE_CHECK_FLOOR] = "floor",
	[SE_CHECK_HISTORIES] = "histories",
	[SE_CHECK_SEQUENCE] = "sequence",
	[SE_CHECK_PAIRS] = "pairs",
	[SE_CHECK_NUMBERS] = "numbers",
};

/* A problem that was found. */
typedef struct Finding
{
	int64		number;			/* of the batch, 0 for none */
	bytea	   *key;			/* NULL for none */
	char	   *detail;
} Finding;

/*
 * Take a problem down, if there is room for it, and count it.  number is that
 * of the batch it is about, or 0; key may be NULL.
 */
void
se_verify_report(SeVerification *verification, SeCheckId id,
				 int64 number, const bytea *key, const char *format, ...)
{
	SeCheck    *check = &verification->checks[id];
	MemoryContext old_context;
	StringInfoData detail;
	Finding    *finding;

	if (check->problems++ >= SE_MAX_FINDINGS)
		return;

	old_context = MemoryContextSwitchTo(verification->context);
	initStringInfo(&detail);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&detail, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&detail, needed);
	}
	finding = palloc(sizeof(Finding));
	finding->number = number;
	finding->key = key == NULL ? NULL :
		DatumGetByteaPP(se_bytea_datum((const uint8_t *) VARDATA_ANY(key),
									   VARSIZE_ANY_EXHDR(key)));
	finding->detail = detail.data;
	check->findings = lappend(check->findings, finding);
	MemoryContextSwitchTo(old_context);
}

/*
 * Tell the client how far we are, if it has not heard of us for a while.
 */
void
se_verify_notice(SeVerification *verification, const char *format, ...)
{
	TimestampTz now = GetCurrentTimestamp();
	char		message[128];
	va_list		args;

	if (now < verification->next_notice)
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	ereport(NOTICE, (errmsg_internal("%s", message)));
	verification->next_notice = TimestampTzPlusMilliseconds(now, NOTICE_MS);
}

/* Tell whether an error is about damaged data, and not about what we do. */
static bool
is_damage(int sqlerrcode)
{
	int			category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category == ERRCODE_TO_CATEGORY(ERRCODE_DATA_CORRUPTED) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_IO_ERROR);
}

/* Go back to a failed value's surroundings; return its error, if it was damage. */
static const char *
get_over_error(MemoryContext context, ResourceOwner owner)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (!is_damage(error->sqlerrcode))
		ReThrowError(error);
	return error->message;
}

/*
 * Read a value that may be stored elsewhere; NULL if it is damaged, and then
 * *problem says how.  Damage shows as an error, which takes a subtransaction to
 * get over; other errors, such as a cancelled statement, are raised.
 */
bytea *
se_verify_detoast(Datum value, const char **problem)
{
	struct varlena *stored = (struct varlena *) DatumGetPointer(value);
	bytea	   *volatile result = NULL;
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	if (!VARATT_IS_EXTERNAL(stored) && !VARATT_IS_COMPRESSED(stored))
		return (bytea *) stored;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		result = (bytea *) detoast_attr(stored);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		*problem = get_over_error(context, owner);
	}
	PG_END_TRY();
	return result;
}

/* Refuse who may not read all that is needed, or not all of it. */
static void
check_rights(const SeStore *store)
{
	const Oid	tables[] = {store->kv, store->log};
	AclResult	result;

	for (int i = 0; i < lengthof(tables); i++)
	{
		result = pg_class_aclcheck(tables[i], GetUserId(), ACL_SELECT);
		if (result != ACLCHECK_OK)
			aclcheck_error(result, OBJECT_TABLE, get_rel_name(tables[i]));
		if (check_enable_rls(tables[i], InvalidOid, true) == RLS_ENABLED)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("cannot verify the store under row-level security"),
					 errdetail("Policies on table \"%s\" could hide rows from the current user.",
							   get_rel_name(tables[i])),
					 errhint("Verify as the owner of the table, or as a role with BYPASSRLS.")));
	}
	result = pg_class_aclcheck(store->sequence, GetUserId(), ACL_SELECT | ACL_USAGE);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_SEQUENCE, get_rel_name(store->sequence));
}

/*
 * See whether what is noted of pruned batches fits what is left.  Of the floor
 * and of the tally there are the bytes of all batches up to them, so the
 * difference is that of those in between.
 */
static void
check_floor(SeVerification *verification)
{
	SeCheck    *check = &verification->checks[SE_CHECK_FLOOR];
	const SeControlItem *floor = &verification->floor;
	const SeControlItem *tally = &verification->tally;
	int64		frontier = verification->found.frontier;

	check->checked++;
	if (floor->number < 0)
		se_verify_report(verification, SE_CHECK_FLOOR, 0, NULL,
						 "The log is noted to have been pruned up to batch %lld.",
						 (long long) floor->number);
	else if (frontier > floor->number && verification->oldest != floor->number + 1)
		se_verify_report(verification, SE_CHECK_FLOOR, floor->number + 1, NULL,
						 "The batch is missing, though the log was pruned up to batch %lld only.",
						 (long long) floor->number);

	if (tally->number <= floor->number || tally->number > frontier)
		return;
	check->checked++;
	if (tally->bytes - floor->bytes != verification->bytes)
		se_verify_report(verification, SE_CHECK_FLOOR, tally->number, NULL,
						 "The batches above %lld and up to %lld were counted to have %lld bytes, but they have %lld.",
						 (long long) floor->number, (long long) tally->number,
						 (long long) (tally->bytes - floor->bytes),
						 (long long) verification->bytes);
}

/* A walk along the notes of histories. */
typedef struct NoteWalk
{
	SeVerification *verification;
	SeHistory	newer;			/* the last one looked at, ordinal 0 for none */
} NoteWalk;

/* See whether a note fits the one looked at before, and the log. */
static void
check_note(const SeHistory *history, int64 number, void *arg)
{
	NoteWalk   *walk = arg;
	SeVerification *verification = walk->verification;
	const SeHistory *newer = &walk->newer;
	bool		same_name = memcmp(&history->name, &newer->name, sizeof(pg_uuid_t)) == 0;
	bool		same = same_name && history->follows == newer->follows;

	verification->checks[SE_CHECK_HISTORIES].checked++;
	if (history->follows < 0 || history->follows >= number ||
		history->follows > verification->found.frontier)
		se_verify_report(verification, SE_CHECK_HISTORIES, number, NULL,
						 "The batch is noted to begin a history after batch %lld, up to which the log was not complete then.",
						 (long long) history->follows);
	if (newer->ordinal == history->ordinal && !same)
		se_verify_report(verification, SE_CHECK_HISTORIES, number, NULL,
						 "The notes of history number %lld differ.",
						 (long long) history->ordinal);
	if (newer->ordinal > history->ordinal &&
		(same_name || history->follows > newer->follows))
		se_verify_report(verification, SE_CHECK_HISTORIES, number, NULL,
						 "History number %lld does not come before history number %lld, as they are noted.",
						 (long long) history->ordinal, (long long) newer->ordinal);
	walk->newer = *history;
}

/* See whether the notes of histories make sense. */
static void
check_histories(SeVerification *verification)
{
	NoteWalk	walk = {verification, {0}};

	se_history_visit(verification->store, check_note, &walk);
}

/* See whether numbers will go on above those there are. */
static void
check_sequence(SeVerification *verification)
{
	const SeStore *store = verification->store;
	int64		taken = Max(verification->highest, verification->found.floor);

	verification->last_number = se_sequencer_last(store);
	verification->checks[SE_CHECK_SEQUENCE].checked++;
	if (!se_sequencer_counts_by_one(store))
		se_verify_report(verification, SE_CHECK_SEQUENCE, 0, NULL,
						 "The sequence was altered: it does not count by one in every session.");
	if (verification->last_number < taken)
		se_verify_report(verification, SE_CHECK_SEQUENCE, taken, NULL,
						 taken == verification->highest ?
						 "The batch is there, but the last number that the sequence gave out is %lld." :
						 "The batch was pruned, but the last number that the sequence gave out is %lld.",
						 (long long) verification->last_number);
}

/*
 * List numbers above the frontier and below limit, all of which have been given
 * out, that have no batch though no writer holds them, as many as there is room
 * for; returns how many.  As in se_filler_survey(), it is right because of the
 * order: first the writers in flight, then a new snapshot, which shows what
 * became of the others.
 */
static int
list_undecided(SeVerification *verification, SeShared *shared, int64 limit,
			   int64 *numbers, int room)
{
	const SeStore *store = verification->store;
	SeHolder	holder;
	int64		from;
	int			count = 0;

	se_registry_lowest(shared, &holder);
	if (holder.bound != 0)
		limit = Min(limit, (int64) holder.bound);
	PushActiveSnapshot(GetLatestSnapshot());
	from = Max(verification->found.frontier,
			   se_control_read(store, SE_CONTROL_FLOOR, GetActiveSnapshot()));
	if (from < limit - 1)
		count = se_frontier_holes(store, GetActiveSnapshot(), from, limit, numbers, room);
	PopActiveSnapshot();
	return count;
}

/* Have the worker look at the log, and wait for a moment. */
static void
wait_for_worker(SeVerification *verification, SeShared *shared)
{
	se_registry_raise(&shared->suspect, verification->settled);
	se_registry_request_worker(shared);
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 POLL_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Say why a check was not done. */
static void
skip(SeVerification *verification, SeCheckId id, char *reason)
{
	verification->checks[id].skipped = true;
	verification->checks[id].note = reason;
}

/*
 * Wait until every number below limit is decided or held; report what stays,
 * unless the worker did not get to look at it.
 */
static void
await_decisions(SeVerification *verification, SeShared *shared, int64 limit)
{
	TimestampTz start = GetCurrentTimestamp();
	TimestampTz end = TimestampTzPlusMilliseconds(start, PATIENCE_MS);
	int			room = SE_MAX_FINDINGS + 1;
	int64	   *numbers = palloc(room * sizeof(int64));
	int			count = list_undecided(verification, shared, limit, numbers, room);
	uint64		looks = pg_atomic_read_u64(&shared->looks);

	if (count > 0)
		verification->next_notice = Min(verification->next_notice,
										TimestampTzPlusMilliseconds(start, WAIT_NOTICE_MS));
	/* Whoever looks from now on can see what has been found. */
	while (count > 0 && GetCurrentTimestamp() < end)
	{
		se_verify_notice(verification, "waiting for the background worker to fill holes");
		wait_for_worker(verification, shared);
		count = list_undecided(verification, shared, limit, numbers, room);
	}
	if (count > 0 && pg_atomic_read_u64(&shared->looks) == looks)
	{
		skip(verification, SE_CHECK_NUMBERS,
			 "Numbers are missing above the current one, and the background worker has not come to look at them: it is busy, or fails, or a table is locked.");
		count = 0;
	}
	for (int i = 0; i < count; i++)
		se_verify_report(verification, SE_CHECK_NUMBERS, numbers[i], NULL,
						 "The batch is missing, no writer holds its number, and the background worker does not fill it.");
	pfree(numbers);
}

/*
 * See whether the numbers above the frontier that have no batch, but others
 * above them, are held by writers, or filled before long.  A batch above the
 * last number of the sequence proves nothing of those below, and the worker does
 * not see those of our own transaction.
 */
static void
check_numbers(SeVerification *verification)
{
	const SeStore *store = verification->store;
	int64		frontier = verification->found.frontier;
	int64		limit = verification->settled;
	SeShared   *shared;

	if (limit > verification->last_number)
		limit = verification->last_number + 1;
	if (frontier >= limit - 1)
		return;
	if (RecoveryInProgress())
		skip(verification, SE_CHECK_NUMBERS,
			 "Numbers are missing above the current one, and who is writing is not known on a standby.");
	else if (!se_registry_available())
		skip(verification, SE_CHECK_NUMBERS,
			 "Numbers are missing above the current one, and who is writing is not known unless the library is preloaded.");
	else if ((shared = se_registry_try_attach(store->log)) == NULL)
		skip(verification, SE_CHECK_NUMBERS,
			 "Numbers are missing above the current one, and storeengine.max_databases leaves no room for who is writing.");
	else
	{
		verification->checks[SE_CHECK_NUMBERS].checked =
			se_frontier_count_holes(store, GetActiveSnapshot(), frontier, limit);
		await_decisions(verification, shared, limit);
	}
}

/* Do all checks. */
static void
verify(SeVerification *verification)
{
	const SeStore *store = verification->store;

	se_frontier_read(store, GetActiveSnapshot(), &verification->found);
	se_control_look_up(store, SE_CONTROL_FLOOR, GetActiveSnapshot(), &verification->floor);
	se_control_look_up(store, SE_CONTROL_TALLY, GetActiveSnapshot(), &verification->tally);
	se_verify_begin_pairs(verification);
	SPI_connect();
	se_verify_log(verification);
	se_verify_pairs(verification);
	SPI_finish();
	check_floor(verification);
	check_histories(verification);
	check_sequence(verification);
	check_numbers(verification);
}

/* Return a row.  number 0 means none; key and detail may be NULL. */
static void
emit(ReturnSetInfo *set, SeCheckId id, const char *result, const SeCheck *check,
	 int64 number, const bytea *key, const char *detail)
{
	Datum		values[VERIFY_COLUMNS] = {0};
	bool		nulls[VERIFY_COLUMNS] = {false};

	values[VERIFY_CHECK_NAME] = CStringGetTextDatum(check_names[id]);
	values[VERIFY_RESULT] = CStringGetTextDatum(result);
	nulls[VERIFY_CHECKED] = check == NULL;
	if (check != NULL)
		values[VERIFY_CHECKED] = Int64GetDatum(check->checked);
	nulls[VERIFY_SEQUENCE_NUMBER] = number == 0;
	values[VERIFY_SEQUENCE_NUMBER] = Int64GetDatum(number);
	nulls[VERIFY_KEY] = key == NULL;
	values[VERIFY_KEY] = PointerGetDatum(key);
	nulls[VERIFY_DETAIL] = detail == NULL;
	if (detail != NULL)
		values[VERIFY_DETAIL] = CStringGetTextDatum(detail);
	tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
}

/* Say how many problems a check found; else what there is to say of it. */
static const char *
summary(const SeCheck *check)
{
	if (check->problems == 0)
		return check->note;
	if (check->problems == 1)
		return "1 problem was found.";
	return psprintf(check->problems > SE_MAX_FINDINGS ?
					"%lld problems were found, of which these are the first %d." :
					"%lld problems were found.",
					(long long) check->problems, SE_MAX_FINDINGS);
}

/* Return what a check found, and how it went. */
static void
emit_check(ReturnSetInfo *set, SeCheckId id, const SeCheck *check)
{
	ListCell   *cell;

	foreach(cell, check->findings)
	{
		const Finding *finding = lfirst(cell);

		emit(set, id, "problem", NULL, finding->number, finding->key, finding->detail);
	}
	emit(set, id, check->problems > 0 ? "failed" : check->skipped ? "skipped" : "ok",
		 check, 0, NULL, summary(check));
}

/*
 * store_verify() returns setof record: the columns above
 */
Datum
store_verify(PG_FUNCTION_ARGS)
{
	SeVerification verification = {0};

	verification.store = se_store_lock(AccessShareLock);
	verification.context = CurrentMemoryContext;
	verification.next_notice = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), NOTICE_MS);
	check_rights(verification.store);
	InitMaterializedSRF(fcinfo, 0);
	verify(&verification);
	for (SeCheckId id = 0; id < SE_CHECKS; id++)
		emit_check((ReturnSetInfo *) fcinfo->resultinfo, id, &verification.checks[id]);
	return (Datum) 0;
}
