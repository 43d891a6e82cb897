/*
 * probes.c
 *		Functions for the tests of modules that no SQL function shows as such.
 *
 * The install script does not know of them; tests create them.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "filter.h"
#include "regex.h"

PG_FUNCTION_INFO_V1(store_probe_regex);
PG_FUNCTION_INFO_V1(store_probe_group);
PG_FUNCTION_INFO_V1(store_probe_filter);

/* Point at the bytes of a bytea; NULL for a NULL argument. */
static const uint8_t *
bytes_argument(FunctionCallInfo fcinfo, int argument, size_t *len)
{
	bytea	   *value;

	*len = 0;
	if (PG_ARGISNULL(argument))
		return NULL;
	value = PG_GETARG_BYTEA_PP(argument);
	*len = VARSIZE_ANY_EXHDR(value);
	return (const uint8_t *) VARDATA_ANY(value);
}

/*
 * store_probe_regex(pattern text, subject bytea) returns text
 *
 * Where a pattern matches, and each of its named groups: "0-3 1-2 -".
 */
Datum
store_probe_regex(PG_FUNCTION_ARGS)
{
	const		SeRegex *regex = se_regex_compile(PG_GETARG_TEXT_PP(0), "pattern");
	SeSpan	   *spans = palloc((se_regex_group_count(regex) + 1) * sizeof(SeSpan));
	size_t		len;
	const uint8_t *subject = bytes_argument(fcinfo, 1, &len);
	bool		found = se_regex_search(regex, subject, len, spans);
	StringInfoData result;

	if (found != se_regex_search(regex, subject, len, NULL))
		elog(ERROR, "a search without spans has another result");
	initStringInfo(&result);
	for (int i = 0; found && i <= se_regex_group_count(regex); i++)
	{
		if (i > 0)
			appendStringInfoChar(&result, ' ');
		if (spans[i].start >= 0)
			appendStringInfo(&result, "%lld-%lld",
							 (long long) spans[i].start, (long long) spans[i].end);
		else
			appendStringInfoChar(&result, '-');
	}
	PG_RETURN_TEXT_P(cstring_to_text(found ? result.data : "none"));
}

/*
 * store_probe_group(pattern text, name text) returns integer
 */
Datum
store_probe_group(PG_FUNCTION_ARGS)
{
	const		SeRegex *regex = se_regex_compile(PG_GETARG_TEXT_PP(0), "pattern");

	PG_RETURN_INT32(se_regex_group(regex, text_to_cstring(PG_GETARG_TEXT_PP(1))));
}

/*
 * store_probe_filter(selectors store_selector[], value_filters store_filter[],
 *					  key bytea, value bytea) returns boolean
 */
Datum
store_probe_filter(PG_FUNCTION_ARGS)
{
	SeFilter   *filter;
	SeEntry		entry;

	filter = se_filter_create(PG_ARGISNULL(0) ? NULL : PG_GETARG_ARRAYTYPE_P(0),
							  PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1));
	entry.key = bytes_argument(fcinfo, 2, &entry.key_len);
	entry.value = bytes_argument(fcinfo, 3, &entry.value_len);
	PG_RETURN_BOOL(se_filter_passes(filter, &entry, !PG_ARGISNULL(3)));
}
