/*
 * target_regex.c
 *		Fuzz target: compile a pattern, search bytes for it.
 *
 * The input is the pattern, a zero byte, and the bytes.  PCRE2 has to take
 * every translation: if it does not, that is an internal error.
 */
#include "postgres.h"

#include "fuzz.h"
#include "regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define MAX_SUBJECT 4096

/* How much a match may take: less than in the server, not to be slow. */
#define MATCH_LIMIT 20000

typedef struct Search
{
	const char *pattern;
	size_t		pattern_len;
	const uint8_t *subject;
	size_t		len;
	const		SeRegex *regex;
	SeSpan	   *spans;			/* NULL: not wanted */
	bool		found;
} Search;

extern int	__real_pcre2_set_match_limit_8(pcre2_match_context *context, uint32_t limit);
extern int	__wrap_pcre2_set_match_limit_8(pcre2_match_context *context, uint32_t limit);

/*
 * What the linker puts in the place of pcre2_set_match_limit().
 */
int
__wrap_pcre2_set_match_limit_8(pcre2_match_context *context, uint32_t limit)
{
	return __real_pcre2_set_match_limit_8(context, Min(limit, MATCH_LIMIT));
}

/* Compile the pattern. */
static void
compile(void *arg)
{
	Search	   *search = arg;

	search->regex = se_regex_compile_utf8(search->pattern, search->pattern_len, "pattern");
}

/* Search the subject. */
static void
run_search(void *arg)
{
	Search	   *search = arg;

	search->found = se_regex_search(search->regex, search->subject, search->len, search->spans);
}

/* Check where a match and its groups are. */
static void
check_spans(const Search *search)
{
	const SeSpan *match = &search->spans[0];

	FUZZ_CHECK(match->start >= 0);
	for (int i = 0; i <= se_regex_group_count(search->regex); i++)
	{
		const SeSpan *span = &search->spans[i];

		if (span->start < 0)
		{
			FUZZ_CHECK(span->start == -1 && span->end == -1);
			continue;
		}
		FUZZ_CHECK(span->start <= span->end);
		FUZZ_CHECK(span->end <= search->len);
		FUZZ_CHECK(match->start <= span->start && span->end <= match->end);
	}
}

/* Search, and check what is found; false if that takes too much. */
static bool
check_search(Search *search)
{
	int			sqlstate;

	search->spans = palloc((se_regex_group_count(search->regex) + 1) * sizeof(SeSpan));
	sqlstate = fuzz_attempt(run_search, search);
	if (sqlstate != 0)
	{
		FUZZ_CHECK(sqlstate == ERRCODE_STATEMENT_TOO_COMPLEX);
		return false;
	}
	if (search->found)
		check_spans(search);
	return true;
}

/*
 * Run one input.
 */
void
fuzz_regex(const uint8_t *data, size_t size)
{
	Search		search = {0};
	Search		again;
	const uint8_t *end = size == 0 ? NULL : memchr(data, 0, size);
	int			sqlstate;

	search.pattern = (const char *) data;
	search.pattern_len = end == NULL ? size : end - data;
	if (end != NULL)
	{
		search.len = Min(data + size - end - 1, MAX_SUBJECT);
		search.subject = memcpy(palloc(search.len), end + 1, search.len);
	}
	sqlstate = fuzz_attempt(compile, &search);
	if (sqlstate != 0)
	{
		FUZZ_CHECK(sqlstate == ERRCODE_INVALID_REGULAR_EXPRESSION ||
				   sqlstate == ERRCODE_PROGRAM_LIMIT_EXCEEDED);
		return;
	}
	again = search;
	compile(&again);
	FUZZ_CHECK(again.regex == search.regex);
	FUZZ_CHECK(fuzz_is_text((const uint8_t *) search.pattern, search.pattern_len));
	if (!check_search(&search))
		return;
	/* Without spans the result is the same. */
	FUZZ_CHECK(fuzz_attempt(run_search, &again) == 0);
	FUZZ_CHECK(again.found == search.found);
}
