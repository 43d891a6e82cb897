/*
 * policy.c
 *		Read prune policies and the retention rule, and check them.
 *
 * Everything that can be wrong with a document is found here, before it has
 * any effect.  Nothing here knows of tables.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "entries.h"
#include "json.h"
#include "policy.h"

/*
 * Fields of a retention rule.  The first ones are numbered by SeRetainKind and
 * are those of a policy's "retain", too.
 */
#define RETAIN_KINDS (SE_RETAIN_DROP_ALL + 1)
#define MAX_AGE RETAIN_KINDS
#define MAX_BYTES (RETAIN_KINDS + 1)

static const char *const retention_fields[] = {
	"keepLatest", "greaterThan", "greaterThanOrEqual", "dropAll", "maxAge", "maxBytes"
};
static const char *const count_field[] = {"count"};
static const char *const threshold_field[] = {"threshold"};
static const char *const request_field[] = {"policies"};
static const char *const policy_fields[] = {"keys", "sequence", "retain"};
static const char *const keys_fields[] = {"selector", "groupBy", "orderBy"};
static const char *const selector_fields[] = {"prefix", "payloadRegex"};
static const char *const group_by_field[] = {"captureGroups"};
static const char *const order_by_fields[] = {"captureGroup", "encoding"};

/* In the order of SeOrderEncoding. */
static const char *const encodings[] = {
	"POLICY_ORDER_ENCODING_BYTES_ASC",
	"POLICY_ORDER_ENCODING_U64_BE",
	"POLICY_ORDER_ENCODING_I64_BE"
};

/* Read the number of an object that has one field, 0 if it is not there. */
static uint64
parse_number(const SeJson *json, const char *const *name, SeJson *field)
{
	se_json_object(json, name, field, 1);
	return field->present ? se_json_uint64(field) : 0;
}

/* Read keepLatest: a count above zero. */
static uint64
parse_count(const SeJson *json)
{
	SeJson		field;
	uint64		count = parse_number(json, count_field, &field);

	if (count == 0)
		se_json_refuse(&field, ERRCODE_INVALID_PARAMETER_VALUE, "must be greater than 0");
	return count;
}

/* Read greaterThan or greaterThanOrEqual: a threshold. */
static uint64
parse_threshold(const SeJson *json)
{
	SeJson		field;

	return parse_number(json, threshold_field, &field);
}

/* Read one of the ways to retain, and return its number, if it has any. */
static uint64
parse_retain(const SeJson *json, SeRetainKind kind)
{
	switch (kind)
	{
		case SE_RETAIN_KEEP_LATEST:
			return parse_count(json);
		case SE_RETAIN_GREATER_THAN:
		case SE_RETAIN_GREATER_THAN_OR_EQUAL:
			return parse_threshold(json);
		case SE_RETAIN_DROP_ALL:
			se_json_empty_object(json);
	}
	return 0;
}

/* Read a selector: which keys. */
static void
parse_selector(const SeJson *json, SePolicy *policy)
{
	SeJson		fields[lengthof(selector_fields)];
	const SeJson *prefix = &fields[0];
	const SeJson *regex = &fields[1];

	se_json_check_present(json);
	se_json_object(json, selector_fields, fields, lengthof(fields));
	if (prefix->present)
		policy->prefix = se_json_bytes(prefix, &policy->prefix_len);
	if (policy->prefix_len > SE_MAX_KEY_LEN)
		se_json_refuse(prefix, ERRCODE_PROGRAM_LIMIT_EXCEEDED,
					   "is %zu bytes long; the limit is %d bytes",
					   policy->prefix_len, SE_MAX_KEY_LEN);
	policy->regex = se_regex_compile(cstring_to_text(regex->present ? se_json_string(regex) : ""),
									 regex->path);
}

/* Read the name of a capture group: its number in the policy's regex. */
static int
parse_capture_group(const SeJson *json, const SePolicy *policy)
{
	int			group = se_regex_group(policy->regex, json->present ? se_json_string(json) : "");

	if (group < 0)
		se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE,
					   "is not the name of a capture group of the regular expression");
	return group;
}

/* Read groupBy: capture groups, none of them twice. */
static void
parse_group_by(const SeJson *json, SePolicy *policy)
{
	SeJson		field;
	SeJson	   *names;

	se_json_object(json, group_by_field, &field, 1);
	if (!field.present)
		return;
	names = se_json_array(&field, &policy->ngroup_by);
	policy->group_by = palloc(policy->ngroup_by * sizeof(int));
	for (int i = 0; i < policy->ngroup_by; i++)
	{
		policy->group_by[i] = parse_capture_group(&names[i], policy);
		for (int j = 0; j < i; j++)
		{
			if (policy->group_by[j] == policy->group_by[i])
				se_json_refuse(&names[i], ERRCODE_INVALID_PARAMETER_VALUE,
							   "repeats %s", names[j].path);
		}
	}
}

/* Read orderBy: a capture group, and what its bytes mean. */
static void
parse_order_by(const SeJson *json, SePolicy *policy)
{
	SeJson		fields[lengthof(order_by_fields)];

	se_json_object(json, order_by_fields, fields, lengthof(fields));
	policy->order_by = parse_capture_group(&fields[0], policy);
	if (fields[1].present)
		policy->encoding = se_json_enum(&fields[1], encodings, lengthof(encodings));
}

/* Check that keys are ordered in a way with which they can be retained. */
static void
check_order_by(const SeJson *json, const SePolicy *policy)
{
	if (policy->retain == SE_RETAIN_DROP_ALL)
		return;
	if (policy->order_by < 0)
		se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE,
					   "is missing; only dropAll goes without it");
	if (policy->retain != SE_RETAIN_KEEP_LATEST && policy->encoding != SE_ORDER_U64_BE)
		se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE,
					   "must have the encoding %s for a threshold", encodings[SE_ORDER_U64_BE]);
}

/* Read a policy's "keys".  How they are retained has been read. */
static void
parse_keys(const SeJson *json, SePolicy *policy)
{
	SeJson		fields[lengthof(keys_fields)];

	se_json_object(json, keys_fields, fields, lengthof(fields));
	parse_selector(&fields[0], policy);
	if (fields[1].present)
		parse_group_by(&fields[1], policy);
	if (fields[2].present)
		parse_order_by(&fields[2], policy);
	check_order_by(&fields[2], policy);
}

/* Read a policy's "retain": exactly one way. */
static void
parse_policy_retain(const SeJson *json, SePolicy *policy)
{
	SeJson		fields[RETAIN_KINDS];
	int			given = 0;

	se_json_check_present(json);
	se_json_object(json, retention_fields, fields, lengthof(fields));
	for (int i = 0; i < lengthof(fields); i++)
	{
		if (!fields[i].present)
			continue;
		given++;
		policy->retain = i;
	}
	if (given != 1)
		se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE,
					   "must set exactly one of keepLatest, greaterThan, greaterThanOrEqual and dropAll");
	policy->number = parse_retain(&fields[policy->retain], policy->retain);
}

/* Read a policy. */
static void
parse_policy(const SeJson *json, SePolicy *policy)
{
	SeJson		fields[lengthof(policy_fields)];
	const SeJson *keys = &fields[0];
	const SeJson *sequence = &fields[1];

	memset(policy, 0, sizeof(*policy));
	policy->prefix = (const uint8_t *) "";
	policy->order_by = -1;
	se_json_object(json, policy_fields, fields, lengthof(fields));
	if (keys->present == sequence->present)
		se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE,
					   "must set exactly one of keys and sequence");
	parse_policy_retain(&fields[2], policy);
	policy->of_log = sequence->present;
	if (policy->of_log)
		se_json_empty_object(sequence);
	else
		parse_keys(keys, policy);
}

/*
 * Check that a policy and an earlier one do not apply to the same: keys of
 * which one prefix is the beginning of the other one, or the log.
 */
static void
check_distinct(const SeJson *json, const SePolicy *policy,
			   const SeJson *earlier_json, const SePolicy *earlier)
{
	if (policy->of_log != earlier->of_log)
		return;
	if (policy->of_log)
		se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE,
					   "has the scope sequence, as %s has", earlier_json->path);
	if (memcmp(policy->prefix, earlier->prefix, Min(policy->prefix_len, earlier->prefix_len)) == 0)
		se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE,
					   "has a prefix that overlaps with that of %s", earlier_json->path);
}

/*
 * Read prune policies, and how many they are.  Raises 22023 if there is
 * anything wrong with them, 54000 for a prefix that is too long, 2201B for a
 * bad regular expression.
 */
SePolicy *
se_policy_parse_prune(Jsonb *request, int *count)
{
	SeJson		root;
	SeJson		field;
	SeJson	   *elements;
	SePolicy   *policies;

	se_json_root(request, "prune request", &root);
	se_json_object(&root, request_field, &field, 1);
	se_json_check_present(&field);
	elements = se_json_array(&field, count);
	if (*count == 0)
		se_json_refuse(&field, ERRCODE_INVALID_PARAMETER_VALUE, "must not be empty");

	policies = MemoryContextAllocHuge(CurrentMemoryContext, *count * sizeof(SePolicy));
	for (int i = 0; i < *count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		parse_policy(&elements[i], &policies[i]);
		for (int j = 0; j < i; j++)
			check_distinct(&elements[i], &policies[i], &elements[j], &policies[j]);
	}
	return policies;
}

/*
 * Read an age: a string that is an interval.  No part of it may be negative,
 * so that it goes back in time from any day of the calendar.
 */
static Interval
parse_age(const SeJson *json)
{
	Datum		datum = DirectFunctionCall3(interval_in, CStringGetDatum(se_json_string(json)),
											ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	Interval   *age = DatumGetIntervalP(datum);

	if (!se_interval_is_finite(age) ||
		age->month < 0 || age->day < 0 || age->time < 0 ||
		(age->month == 0 && age->day == 0 && age->time == 0))
		se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE,
					   "must be a positive, finite interval");
	return *age;
}

/* Read a size: a number, or a string with a unit. */
static int64
parse_size(const SeJson *json)
{
	uint64		size;

	if (json->value.type == jbvString)
		size = DatumGetInt64(DirectFunctionCall1(pg_size_bytes,
												 CStringGetTextDatum(se_json_string(json))));
	else
		size = se_json_uint64(json);
	if (size == 0 || size > PG_INT64_MAX)
		se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE,
					   "must be a size from 1 to %lld bytes", (long long) PG_INT64_MAX);
	return (int64) size;
}

/* Add a bound on sequence numbers to a rule. */
static void
add_retain(SeRetentionRule *rule, SeRetainKind kind, uint64 number)
{
	switch (kind)
	{
		case SE_RETAIN_KEEP_LATEST:
			rule->has_keep_latest = true;
			rule->keep_latest = number;
			break;
		case SE_RETAIN_GREATER_THAN:
			if (number < PG_UINT64_MAX)
				number++;
			/* FALLTHROUGH */
		case SE_RETAIN_GREATER_THAN_OR_EQUAL:
			rule->has_lowest = true;
			rule->lowest = Max(rule->lowest, number);
			break;
		case SE_RETAIN_DROP_ALL:
			rule->drop_all = true;
			break;
	}
}

/*
 * Read a retention rule.  Raises 22023 if there is anything wrong with it, and
 * for an age or a size what their types raise: 22007, 22008, 22015, 22003.
 */
void
se_policy_parse_retention(Jsonb *rule, SeRetentionRule *result)
{
	SeJson		root;
	SeJson		fields[lengthof(retention_fields)];
	bool		empty = true;

	memset(result, 0, sizeof(*result));
	se_json_root(rule, "retention rule", &root);
	se_json_object(&root, retention_fields, fields, lengthof(fields));
	for (int i = 0; i < lengthof(fields); i++)
	{
		if (!fields[i].present)
			continue;
		empty = false;
		if (i < RETAIN_KINDS)
			add_retain(result, i, parse_retain(&fields[i], i));
	}
	if (empty)
		se_json_refuse(&root, ERRCODE_INVALID_PARAMETER_VALUE, "must set at least one field");

	result->has_max_age = fields[MAX_AGE].present;
	if (result->has_max_age)
		result->max_age = parse_age(&fields[MAX_AGE]);
	result->has_max_bytes = fields[MAX_BYTES].present;
	if (result->has_max_bytes)
		result->max_bytes = parse_size(&fields[MAX_BYTES]);
}
