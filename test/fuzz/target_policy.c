/*
 * target_policy.c
 *		Fuzz target: read JSON as prune policies and as a retention rule.
 *
 * The input is the document.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "fuzz.h"
#include "entries.h"
#include "policy.h"

typedef struct Document
{
	char	   *text;
	Jsonb	   *jsonb;
	SePolicy   *policies;
	int			count;
	SeRetentionRule rule;
} Document;

/* Read the document as the server's type does. */
static void
read_jsonb(void *arg)
{
	Document   *document = arg;

	document->jsonb = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(document->text)));
}

/* Read prune policies. */
static void
read_policies(void *arg)
{
	Document   *document = arg;

	document->policies = se_policy_parse_prune(document->jsonb, &document->count);
}

/* Read a retention rule. */
static void
read_rule(void *arg)
{
	Document   *document = arg;

	se_policy_parse_retention(document->jsonb, &document->rule);
}

/* Check a policy of keys. */
static void
check_key_policy(const SePolicy *policy)
{
	int			groups = se_regex_group_count(policy->regex);

	FUZZ_CHECK(policy->prefix_len <= SE_MAX_KEY_LEN);
	for (int i = 0; i < policy->ngroup_by; i++)
	{
		FUZZ_CHECK(policy->group_by[i] >= 1 && policy->group_by[i] <= groups);
		for (int j = 0; j < i; j++)
			FUZZ_CHECK(policy->group_by[j] != policy->group_by[i]);
	}
	FUZZ_CHECK(policy->order_by == -1 || (policy->order_by >= 1 && policy->order_by <= groups));
	FUZZ_CHECK(policy->encoding <= SE_ORDER_I64_BE);
	if (policy->retain != SE_RETAIN_DROP_ALL)
		FUZZ_CHECK(policy->order_by >= 1);
	if (policy->retain == SE_RETAIN_GREATER_THAN || policy->retain == SE_RETAIN_GREATER_THAN_OR_EQUAL)
		FUZZ_CHECK(policy->encoding == SE_ORDER_U64_BE);
}

/* Tell whether two policies can apply to the same key. */
static bool
overlap(const SePolicy *left, const SePolicy *right)
{
	size_t		len = Min(left->prefix_len, right->prefix_len);

	if (left->of_log || right->of_log)
		return left->of_log && right->of_log;
	return memcmp(left->prefix, right->prefix, len) == 0;
}

/* Check policies that were accepted. */
static void
check_policies(const Document *document)
{
	FUZZ_CHECK(document->count >= 1);
	for (int i = 0; i < document->count; i++)
	{
		const SePolicy *policy = &document->policies[i];

		FUZZ_CHECK(policy->retain <= SE_RETAIN_DROP_ALL);
		if (policy->retain == SE_RETAIN_KEEP_LATEST)
			FUZZ_CHECK(policy->number > 0);
		if (!policy->of_log)
			check_key_policy(policy);
		for (int j = 0; j < i; j++)
			FUZZ_CHECK(!overlap(policy, &document->policies[j]));
	}
}

/* Check a rule that was accepted. */
static void
check_rule(const SeRetentionRule *rule)
{
	const Interval *age = &rule->max_age;

	FUZZ_CHECK(rule->drop_all || rule->has_keep_latest || rule->has_lowest ||
			   rule->has_max_age || rule->has_max_bytes);
	FUZZ_CHECK(!rule->has_keep_latest || rule->keep_latest > 0);
	FUZZ_CHECK(!rule->has_max_bytes || rule->max_bytes > 0);
	FUZZ_CHECK(!rule->has_max_age ||
			   (age->month >= 0 && age->day >= 0 && age->time >= 0 &&
				(age->month > 0 || age->day > 0 || age->time > 0)));
}

/* Check what a document is refused with. */
static void
check_refusal(int sqlstate)
{
	static const int fine[] = {
		ERRCODE_INVALID_PARAMETER_VALUE,
		ERRCODE_PROGRAM_LIMIT_EXCEEDED,
		ERRCODE_INVALID_REGULAR_EXPRESSION,
		ERRCODE_INVALID_DATETIME_FORMAT,
		ERRCODE_DATETIME_VALUE_OUT_OF_RANGE,
		ERRCODE_INTERVAL_FIELD_OVERFLOW,
		ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE
	};

	for (int i = 0; i < lengthof(fine); i++)
	{
		if (sqlstate == fine[i])
			return;
	}
	fuzz_fail(__FILE__, __LINE__, unpack_sql_state(sqlstate));
}

/*
 * Run one input.
 */
void
fuzz_policy(const uint8_t *data, size_t size)
{
	Document	document = {0};
	int			sqlstate;

	if (!fuzz_is_text(data, size))
		return;
	document.text = pnstrdup((const char *) data, size);
	if (fuzz_attempt(read_jsonb, &document) != 0)
		return;
	sqlstate = fuzz_attempt(read_policies, &document);
	if (sqlstate != 0)
		check_refusal(sqlstate);
	else
		check_policies(&document);
	sqlstate = fuzz_attempt(read_rule, &document);
	if (sqlstate != 0)
		check_refusal(sqlstate);
	else
		check_rule(&document.rule);
}
