/*
 * prune.c
 *		Apply prune policies: find the keys they do not retain, delete them.
 *
 * First all policies are evaluated, on one snapshot, and nothing is locked;
 * the keys to be deleted are set aside.  Then they are deleted, policy by
 * policy, each as one batch if it is not too large.  So a sequence number, and
 * the locks on keys, are held no longer than it takes to delete.
 *
 * Everything that grows with the number of keys is in sorts, which spill to
 * disk beyond work_mem, but for the one batch that is being deleted.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "batch_log.h"
#include "frontier.h"
#include "kv.h"
#include "kv_read.h"
#include "policy.h"
#include "prune.h"
#include "registry.h"
#include "sorter.h"
#include "writer.h"

/* A policy over keys while it is being evaluated. */
typedef struct Family
{
	const SePolicy *policy;
	int			position;		/* of the policy in the request */
	SeSpan	   *spans;			/* where the capture groups matched */
	SeSorter	candidates;		/* with keepLatest: group, order, key */
	SeSorter   *victims;		/* position, key; NULL if they only count */
	int64		count;			/* of victims */
} Family;

/* Set a key aside, to be deleted. */
static void
add_victim(Family *family, Datum key)
{
	Datum		values[2];

	family->count++;
	if (family->victims == NULL)
		return;
	values[0] = Int32GetDatum(family->position);
	values[1] = key;
	se_sorter_add(family->victims, values);
}

/*
 * Make the identity of a key's group: what its capture groups matched, each
 * with its length before it.  NULL if one of them took no part in the match.
 */
static bytea *
make_group(const Family *family, const uint8_t *payload)
{
	const SePolicy *policy = family->policy;
	Size		size = VARHDRSZ;
	bytea	   *group;
	char	   *to;

	for (int i = 0; i < policy->ngroup_by; i++)
	{
		const SeSpan *span = &family->spans[policy->group_by[i]];

		if (span->start < 0)
			return NULL;
		size += sizeof(uint32) + (span->end - span->start);
	}

	group = palloc(size);
	SET_VARSIZE(group, size);
	to = VARDATA(group);
	for (int i = 0; i < policy->ngroup_by; i++)
	{
		const SeSpan *span = &family->spans[policy->group_by[i]];
		uint32		len = span->end - span->start;

		memcpy(to, &len, sizeof(len));
		memcpy(to + sizeof(len), payload + span->start, len);
		to += sizeof(len) + len;
	}
	return group;
}

/*
 * Get the number that orders a key, as one that compares unsigned.  What is
 * not a number of eight bytes, or is not there, counts as 0.
 */
static uint64
order_number(const Family *family, const uint8_t *payload)
{
	const SePolicy *policy = family->policy;
	const SeSpan *span = &family->spans[policy->order_by];
	uint64		number = 0;

	if (span->start >= 0 && span->end - span->start == sizeof(number))
	{
		memcpy(&number, payload + span->start, sizeof(number));
		number = pg_ntoh64(number);
	}
	if (policy->encoding == SE_ORDER_I64_BE)
		number ^= UINT64CONST(1) << 63;
	return number;
}

/* Make what orders a key: bytes that compare as it does. */
static bytea *
make_order(const Family *family, const uint8_t *payload)
{
	const SePolicy *policy = family->policy;
	const SeSpan *span = &family->spans[policy->order_by];
	uint64		number;

	if (policy->encoding != SE_ORDER_BYTES_ASC)
	{
		number = pg_hton64(order_number(family, payload));
		return (bytea *) cstring_to_text_with_len((const char *) &number, sizeof(number));
	}
	if (span->start < 0)
		return (bytea *) cstring_to_text_with_len("", 0);
	return (bytea *) cstring_to_text_with_len((const char *) payload + span->start,
											  span->end - span->start);
}

/*
 * See what becomes of a key of the family.  Only with keepLatest that depends
 * on the other ones.
 */
static void
consider_key(Family *family, bytea *key)
{
	const SePolicy *policy = family->policy;
	const uint8_t *payload = (const uint8_t *) VARDATA_ANY(key) + policy->prefix_len;
	size_t		len = VARSIZE_ANY_EXHDR(key) - policy->prefix_len;
	bytea	   *group;
	Datum		values[3];

	if (!se_regex_search(policy->regex, payload, len, family->spans))
		return;
	group = make_group(family, payload);
	if (group == NULL)
		return;

	switch (policy->retain)
	{
		case SE_RETAIN_KEEP_LATEST:
			values[0] = PointerGetDatum(group);
			values[1] = PointerGetDatum(make_order(family, payload));
			values[2] = PointerGetDatum(key);
			se_sorter_add(&family->candidates, values);
			break;
		case SE_RETAIN_GREATER_THAN:
			if (order_number(family, payload) <= policy->number)
				add_victim(family, PointerGetDatum(key));
			break;
		case SE_RETAIN_GREATER_THAN_OR_EQUAL:
			if (order_number(family, payload) < policy->number)
				add_victim(family, PointerGetDatum(key));
			break;
		case SE_RETAIN_DROP_ALL:
			add_victim(family, PointerGetDatum(key));
			break;
	}
}

/* Consider all keys of a family. */
static void
scan_family(const SeStore *store, Family *family)
{
	const SePolicy *policy = family->policy;
	MemoryContext key_context = AllocSetContextCreate(CurrentMemoryContext,
													  "storeengine prune key",
													  ALLOCSET_SMALL_SIZES);
	SeKvRange	range = {.forward = true, .limit = PG_INT64_MAX, .keys_only = true};
	SeKvReader *reader;
	Datum		values[2];
	bool		isnull[2];

	range.start = (bytea *) cstring_to_text_with_len((const char *) policy->prefix,
													 policy->prefix_len);
	range.end = se_kv_last_of_family(policy->prefix, policy->prefix_len);
	reader = se_kv_read_range(store, GetActiveSnapshot(), &range);
	while (se_kv_read_next(reader, values, isnull))
	{
		MemoryContext old_context = MemoryContextSwitchTo(key_context);

		CHECK_FOR_INTERRUPTS();
		consider_key(family, DatumGetByteaPP(values[0]));
		MemoryContextSwitchTo(old_context);
		MemoryContextReset(key_context);
	}
	se_kv_read_end(reader);
	MemoryContextDelete(key_context);
}

/* Tell whether two byteas are the same. */
static bool
same_bytes(const bytea *a, const bytea *b)
{
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/* Set aside what keepLatest does not retain: the highest come first. */
static void
drop_older(Family *family)
{
	bytea	   *group = NULL;
	uint64		kept = 0;

	se_sorter_sort(&family->candidates);
	while (se_sorter_next(&family->candidates))
	{
		bytea	   *this_group = DatumGetByteaPP(se_sorter_column(&family->candidates, 1));

		if (group == NULL || !same_bytes(group, this_group))
		{
			if (group != NULL)
				pfree(group);
			group = (bytea *) cstring_to_text_with_len(VARDATA_ANY(this_group),
													   VARSIZE_ANY_EXHDR(this_group));
			kept = 0;
		}
		if (kept < family->policy->number)
			kept++;
		else
			add_victim(family, se_sorter_column(&family->candidates, 3));
	}
}

/*
 * Evaluate a policy over keys: set aside the keys that it does not retain, and
 * return how many they are.
 */
static int64
evaluate_policy(const SeStore *store, const SePolicy *policy, int position, SeSorter *victims)
{
	static const SeSortColumn columns[] = {{BYTEAOID, false}, {BYTEAOID, true}, {BYTEAOID, true}};
	bool		by_rank = policy->retain == SE_RETAIN_KEEP_LATEST;
	Family		family = {0};

	family.policy = policy;
	family.position = position;
	family.victims = victims;
	family.spans = palloc((se_regex_group_count(policy->regex) + 1) * sizeof(SeSpan));
	if (by_rank)
		se_sorter_begin(&family.candidates, columns, lengthof(columns), lengthof(columns));
	scan_family(store, &family);
	if (by_rank)
	{
		drop_older(&family);
		se_sorter_end(&family.candidates);
	}
	pfree(family.spans);
	return family.count;
}

/*
 * Evaluate all policies over keys, on a new snapshot where the isolation level
 * allows it, and return how many keys they do not retain.
 */
static int64
evaluate_policies(const SeStore *store, const SePolicy *policies, int npolicies, SeSorter *victims)
{
	int64		count = 0;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	for (int i = 0; i < npolicies; i++)
	{
		if (!policies[i].of_log)
			count += evaluate_policy(store, &policies[i], i, victims);
	}
	SPI_finish();
	PopActiveSnapshot();
	return count;
}

/* Deleting takes several times a batch's size: larger ones are split. */
#define BATCH_LIMIT (32 * 1024 * 1024)

/* A batch of victims, and where their keys are. */
typedef struct VictimBatch
{
	SeBatch		batch;
	int			room;			/* allocated entries */
	Size		size;			/* as it counts for the limit */
	MemoryContext keys;
} VictimBatch;

/* Delete a batch of victims, and start another one. */
static void
delete_batch(VictimBatch *victims)
{
	se_writer_delete(&victims->batch);
	victims->batch.count = 0;
	victims->size = 0;
	MemoryContextReset(victims->keys);
}

/* Add a key to a batch of victims; delete what has come together if it is full. */
static void
add_to_batch(VictimBatch *victims, const bytea *key)
{
	SeBatch    *batch = &victims->batch;
	size_t		len = VARSIZE_ANY_EXHDR(key);
	SeEntry    *entry;
	uint8_t    *bytes;

	if (batch->count > 0 &&
		victims->size + SE_ENTRY_OVERHEAD + len > (Size) Min(se_max_batch_size, BATCH_LIMIT))
		delete_batch(victims);
	if (batch->count == victims->room)
	{
		victims->room *= 2;
		batch->entries = repalloc_huge(batch->entries, victims->room * sizeof(SeEntry));
	}
	bytes = MemoryContextAlloc(victims->keys, len + 1);
	memcpy(bytes, VARDATA_ANY(key), len);
	entry = &batch->entries[batch->count++];
	entry->key = entry->value = bytes;
	entry->key_len = len;
	entry->value_len = 0;
	victims->size += SE_ENTRY_OVERHEAD + len;
}

/*
 * Delete the victims of a policy, in ascending order of keys.  The sort's row
 * is the first of them, or of a later policy; *more tells whether there is one.
 */
static void
delete_victims(SeSorter *sort, int position, VictimBatch *victims, bool *more)
{
	while (*more && DatumGetInt32(se_sorter_column(sort, 1)) == position)
	{
		add_to_batch(victims, DatumGetByteaPP(se_sorter_column(sort, 2)));
		*more = se_sorter_next(sort);
	}
	if (victims->batch.count > 0)
		delete_batch(victims);
}

/* Find the lowest number that a policy retains in the log. */
static int64
lowest_retained(const SeStore *store, const SePolicy *policy)
{
	SeFrontier	found;

	switch (policy->retain)
	{
		case SE_RETAIN_KEEP_LATEST:
			CommandCounterIncrement();
			PushActiveSnapshot(GetTransactionSnapshot());
			se_frontier_read(store, GetActiveSnapshot(), &found);
			PopActiveSnapshot();
			return policy->number > (uint64) found.frontier ? 0 :
				found.frontier - (int64) policy->number + 1;
		case SE_RETAIN_GREATER_THAN:
			return policy->number >= (uint64) PG_INT64_MAX ? PG_INT64_MAX :
				(int64) policy->number + 1;
		case SE_RETAIN_GREATER_THAN_OR_EQUAL:
			return (int64) Min(policy->number, (uint64) PG_INT64_MAX);
		case SE_RETAIN_DROP_ALL:
			break;
	}
	return PG_INT64_MAX;
}

/* Apply a policy over the log. */
static void
prune_log(const SeStore *store, const SePolicy *policy)
{
	SPI_connect();
	se_log_prune(store, lowest_retained(store, policy));
	SPI_finish();
}

/* Carry the policies out, in their order; the victims are set aside. */
static void
apply_policies(const SeStore *store, const SePolicy *policies, int npolicies, SeSorter *sort)
{
	VictimBatch victims = {.room = 64};
	bool		more;

	victims.batch.entries = palloc(victims.room * sizeof(SeEntry));
	victims.keys = GenerationContextCreate(CurrentMemoryContext, "storeengine prune batch",
										   ALLOCSET_DEFAULT_SIZES);
	se_sorter_sort(sort);
	more = se_sorter_next(sort);
	for (int i = 0; i < npolicies; i++)
	{
		if (policies[i].of_log)
			prune_log(store, &policies[i]);
		else
			delete_victims(sort, i, &victims, &more);
	}
	MemoryContextDelete(victims.keys);
	pfree(victims.batch.entries);
}

/* Refuse to delete keys where no batch can be written. */
static void
check_may_delete(const SePolicy *policies, int npolicies)
{
	for (int i = 0; i < npolicies; i++)
	{
		if (!policies[i].of_log)
			se_registry_check_available();
	}
}

/*
 * Apply the prune policies of a request, and return how many keys were
 * deleted; with dry_run only tell how many would be.  Raises what
 * se_policy_parse_prune() does before anything happens, and what scanning,
 * se_writer_delete() and se_log_prune() raise.
 */
int64
se_prune(Jsonb *request, bool dry_run)
{
	static const SeSortColumn columns[] = {{INT4OID, false}, {BYTEAOID, false}};
	int			npolicies;
	SePolicy   *policies = se_policy_parse_prune(request, &npolicies);
	SeStore    *store;
	SeSorter	victims;
	int64		count;

	if (dry_run)
		return evaluate_policies(se_store_lock(AccessShareLock), policies, npolicies, NULL);

	check_may_delete(policies, npolicies);
	store = se_store_lock(RowExclusiveLock);
	se_sorter_begin(&victims, columns, lengthof(columns), lengthof(columns));
	count = evaluate_policies(store, policies, npolicies, &victims);
	apply_policies(store, policies, npolicies, &victims);
	se_sorter_end(&victims);
	return count;
}
