/*
 * json.c
 *		Read messages in protobuf's JSON form out of a jsonb document.
 *
 * The rules are those of protobuf's JSON parsers: names of fields in
 * lowerCamelCase or as in the .proto file, null for a field that is not set,
 * bytes in either alphabet of base64 with or without padding, integers as
 * numbers or strings, enums by name or number.  Unknown fields are errors.
 *
 * Whatever is wrong raises 22023, unless said otherwise, with the path of the
 * value in question.
 */
#include "postgres.h"

#include <limits.h>

#include "common/int.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "json.h"

/* The longest text of a number, and an exponent that is beyond any such. */
#define MAX_NUMBER_LEN 1000
#define EXPONENT_LIMIT 100000

/* The longest array. */
#define MAX_ELEMENTS 1000

/*
 * Refuse a document for one of its values.  The predicate tells what is wrong:
 * it makes a sentence of the value's path.
 */
void
se_json_refuse(const SeJson *json, int sqlerrcode, const char *predicate, ...)
{
	StringInfoData detail;
	va_list		args;

	initStringInfo(&detail);
	appendStringInfo(&detail, "%s ", json->path == NULL ? "The document" : json->path);
	for (;;)
	{
		int			needed;

		va_start(args, predicate);
		needed = appendStringInfoVA(&detail, predicate, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&detail, needed);
	}
	ereport(ERROR,
			(errcode(sqlerrcode),
			 errmsg("invalid %s", json->document),
			 errdetail_internal("%s.", detail.data)));
}

/* Make the value of a field, or of an element, of another one. */
static void
init_child(SeJson *child, const SeJson *parent, char *path)
{
	child->document = parent->document;
	child->path = path;
	child->present = false;
}

/* Make the path of a field. */
static char *
field_path(const SeJson *json, const char *name, int len)
{
	if (json->path == NULL)
		return pnstrdup(name, len);
	return psprintf("%s.%.*s", json->path, len, name);
}

/* Tell whether a value is an object or an array. */
static bool
is_container(const SeJson *json, uint32 kind)
{
	return json->value.type == jbvBinary &&
		(json->value.val.binary.data->header & kind) != 0 &&
		(json->value.val.binary.data->header & JB_FSCALAR) == 0;
}

/*
 * Start to read a document; "document" says what it is.
 */
void
se_json_root(Jsonb *jsonb, const char *document, SeJson *root)
{
	root->document = document;
	root->path = NULL;
	root->present = true;
	root->value.type = jbvBinary;
	root->value.val.binary.data = &jsonb->root;
	root->value.val.binary.len = VARSIZE_ANY_EXHDR(jsonb);
}

/*
 * Tell whether a given name is that of a field, which is in lowerCamelCase, or
 * its other form, in lower_snake_case.
 */
static bool
is_name_of(const JsonbValue *given, const char *name)
{
	const char *next = given->val.string.val;
	const char *end = next + given->val.string.len;

	if (strlen(name) == given->val.string.len && memcmp(next, name, end - next) == 0)
		return true;
	for (; *name != '\0'; name++)
	{
		bool		upper = *name >= 'A' && *name <= 'Z';

		if (upper && (next == end || *next++ != '_'))
			return false;
		if (next == end || *next++ != (upper ? *name - 'A' + 'a' : *name))
			return false;
	}
	return next == end;
}

/* Find the place of a field among the known ones; refuse an unknown one. */
static SeJson *
find_field(const SeJson *json, const JsonbValue *given,
		   const char *const *names, SeJson *fields, int count)
{
	SeJson		unknown;

	for (int i = 0; i < count; i++)
	{
		if (is_name_of(given, names[i]))
			return &fields[i];
	}
	init_child(&unknown, json, field_path(json, given->val.string.val,
										  given->val.string.len));
	se_json_refuse(&unknown, ERRCODE_INVALID_PARAMETER_VALUE, "is not a known field");
}

/*
 * Read an object: the values of the named fields, which are given in
 * lowerCamelCase.  Those that are not there are not "present".
 */
void
se_json_object(const SeJson *json, const char *const *names, SeJson *fields, int count)
{
	JsonbIterator *iterator;
	JsonbValue	item;
	bool	   *seen = palloc0(count * sizeof(bool));

	if (!is_container(json, JB_FOBJECT))
		se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE, "must be an object");
	for (int i = 0; i < count; i++)
		init_child(&fields[i], json, field_path(json, names[i], strlen(names[i])));

	iterator = JsonbIteratorInit(json->value.val.binary.data);
	(void) JsonbIteratorNext(&iterator, &item, false);
	while (JsonbIteratorNext(&iterator, &item, true) == WJB_KEY)
	{
		SeJson	   *field = find_field(json, &item, names, fields, count);

		if (seen[field - fields])
			se_json_refuse(field, ERRCODE_INVALID_PARAMETER_VALUE,
						   "is given twice, under both of its names");
		seen[field - fields] = true;
		field->path = field_path(json, item.val.string.val, item.val.string.len);
		(void) JsonbIteratorNext(&iterator, &field->value, true);
		field->present = field->value.type != jbvNull;
	}
	pfree(seen);
}

/*
 * Check that a value is an object without fields.
 */
void
se_json_empty_object(const SeJson *json)
{
	se_json_object(json, NULL, NULL, 0);
}

/*
 * Check that there is a value.
 */
void
se_json_check_present(const SeJson *json)
{
	if (!json->present)
		se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE, "is missing");
}

/*
 * Read an array: its elements, and how many they are.
 */
SeJson *
se_json_array(const SeJson *json, int *count)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	item;
	SeJson	   *elements;
	uint32		length;

	if (!is_container(json, JB_FARRAY))
		se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE, "must be an array");

	length = JsonContainerSize(json->value.val.binary.data);
	if (length > MAX_ELEMENTS)
		se_json_refuse(json, ERRCODE_PROGRAM_LIMIT_EXCEEDED,
					   "has %u elements; the limit is %d", length, MAX_ELEMENTS);
	elements = palloc(Max(length, 1) * sizeof(SeJson));
	*count = 0;
	iterator = JsonbIteratorInit(json->value.val.binary.data);
	(void) JsonbIteratorNext(&iterator, &item, false);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		SeJson	   *element = &elements[*count];

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM)
			continue;
		init_child(element, json, psprintf("%s[%d]", json->path, (*count)++));
		element->value = item;
		element->present = item.type != jbvNull;
	}
	return elements;
}

/*
 * Read a string.
 */
char *
se_json_string(const SeJson *json)
{
	if (json->value.type != jbvString)
		se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE, "must be a string");
	return pnstrdup(json->value.val.string.val, json->value.val.string.len);
}

/* The value of a digit of base64, of either alphabet; -1 for another byte. */
static int
base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	if (c == '/' || c == '_')
		return 63;
	return -1;
}

/* Decode base64; false if it is not that.  There is room for len bytes. */
static bool
decode_base64(const char *from, size_t len, uint8_t *to, size_t *to_len)
{
	size_t		digits = len;
	uint32		bits = 0;
	int			nbits = 0;

	while (digits > 0 && len - digits < 2 && from[digits - 1] == '=')
		digits--;
	if (digits % 4 == 1 || (digits < len && len % 4 != 0))
		return false;

	*to_len = 0;
	for (size_t i = 0; i < digits; i++)
	{
		int			digit = base64_digit(from[i]);

		if (digit < 0)
			return false;
		bits = (bits << 6 | digit) & 0xfff;
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			to[(*to_len)++] = (uint8_t) (bits >> nbits);
		}
	}
	/* What is left over is part of no byte. */
	return (bits & ((1u << nbits) - 1)) == 0;
}

/*
 * Read bytes, which are given in base64.
 */
uint8_t *
se_json_bytes(const SeJson *json, size_t *len)
{
	uint8_t    *bytes;

	if (json->value.type != jbvString)
		se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE, "must be a string");
	bytes = palloc(json->value.val.string.len + 1);
	if (!decode_base64(json->value.val.string.val, json->value.val.string.len, bytes, len))
		se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE, "must be base64");
	return bytes;
}

/* Skip digits; return what comes after. */
static const char *
skip_digits(const char *text)
{
	while (*text >='0' && *text <='9')
		text	  ++;
	return text;
}

/*
 * Take a JSON number apart: its digits without the point, and how many of them
 * are before the point when the exponent is accounted for.  False if it is not
 * one, or below zero.
 */
static bool
scan_number(const char *text, char *digits, long *before_point)
{
	bool		negative = *text == '-';
	const char *start = text +negative;
	const char *end = skip_digits(start);

	if (end == start || (*start == '0' && end > start + 1))
		return false;
	memcpy(digits, start, end - start);
	digits[end - start] = '\0';
	*before_point = end - start;
	if (*end == '.')
	{
		start = end + 1;
		end = skip_digits(start);
		if (end == start)
			return false;
		strncat(digits, start, end - start);
	}
	if (*end == 'e' || *end == 'E')
	{
		start = end + 1;
		end = skip_digits(start + (*start == '+' || *start == '-'));
		if (end == start || end[-1] < '0' || end[-1] > '9')
			return false;
		/* strtol() saturates */
		*before_point += Min(Max(strtol(start, NULL, 10), -EXPONENT_LIMIT), EXPONENT_LIMIT);
	}
	return *end == '\0' && !(negative && strspn(digits, "0") != strlen(digits));
}

/* Read a whole number from 0 to 2^64 - 1 exactly; false if it is not one. */
static bool
parse_uint64(const char *text, uint64 *result)
{
	char	   *digits = palloc(strlen(text) + 1);
	long		before_point;

	*result = 0;
	if (strlen(text) > MAX_NUMBER_LEN || !scan_number(text, digits, &before_point))
		return false;
	for (long i = 0; digits[0] != '\0' || i < before_point; i++)
	{
		int			digit = digits[0] == '\0' ? 0 : *digits++ - '0';

		if (i >= before_point)
		{
			if (digit != 0)
				return false;
			continue;
		}
		if (pg_mul_u64_overflow(*result, 10, result) ||
			pg_add_u64_overflow(*result, digit, result))
			return false;
	}
	return true;
}

/*
 * Read an unsigned integer of 64 bits: a number, or a string that is one.
 */
uint64
se_json_uint64(const SeJson *json)
{
	uint64		result;
	char	   *text = NULL;

	if (json->value.type == jbvNumeric)
		text = DatumGetCString(DirectFunctionCall1(numeric_out,
												   NumericGetDatum(json->value.val.numeric)));

	else if (json->value.type == jbvString)
		text = se_json_string(json);

	if (text == NULL || !parse_uint64(text, &result))
		se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE,
					   "must be an integer from 0 to 18446744073709551615");
	return result;
}

/*
 * Read an enum of the given names, which are numbered from 0.
 */
int
se_json_enum(const SeJson *json, const char *const *names, int count)
{
	StringInfoData known;

	initStringInfo(&known);
	for (int i = 0; i < count; i++)
	{
		if (json->value.type == jbvString && strcmp(se_json_string(json), names[i]) == 0)
			return i;
		appendStringInfo(&known, "%s%s", i == 0 ? "" : i == count - 1 ? " or " : ", ", names[i]);
	}
	if (json->value.type == jbvNumeric)
	{
		uint64		number = se_json_uint64(json);

		if (number < count)
			return (int) number;
	}
	se_json_refuse(json, ERRCODE_INVALID_PARAMETER_VALUE, "must be %s", known.data);
}
