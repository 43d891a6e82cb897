/*
 * regex.c
 *		Search bytes for regular expressions: PCRE2, its limits, and a cache.
 *
 * Nothing may jump out of PCRE2: its memory comes from functions that return
 * NULL when there is none, and an interrupt makes a callout end the match,
 * which is resumed where it was if the interrupt turns out to be harmless.
 */
#include "postgres.h"

#include "lib/ilist.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "compat.h"
#include "regex.h"
#include "regex_syntax.h"

/* How many compiled patterns are kept that nobody uses. */
#define MAX_UNUSED 64

/* How much a match may take, from each place where it can start. */
#define MATCH_LIMIT 50000000
#define HEAP_LIMIT_KB (32 * 1024)
#define JIT_STACK_START (32 * 1024)
#define JIT_STACK_LIMIT (32 * 1024 * 1024)

/* Groups in groups: ours are limited by the parser. */
#define PCRE2_NESTING_LIMIT 2000

struct SeRegex
{
	dlist_node	link;			/* in the cache; the last used one is first */
	MemoryContext context;		/* has this struct and all it points to */
	char	   *pattern;		/* in UTF-8 */
	size_t		len;
	char	  **names;			/* of the groups, in UTF-8 */
	int			group_count;
	bool		matches_anything;	/* whatever is searched */
	pcre2_code *code;
	int			references;
};

/* A use of a regex, until a memory context is reset. */
typedef struct Reference
{
	MemoryContextCallback callback;
	SeRegex    *regex;
} Reference;

/* What the callouts tell the caller of a match. */
typedef struct MatchState
{
	PCRE2_SIZE	resume;			/* where the match had got to */
} MatchState;

static MemoryContext cache_context = NULL;
static dlist_head cache = DLIST_STATIC_INIT(cache);
static int	unused_count = 0;

/* What all matches share, made when it is first needed. */
static pcre2_general_context *general_context = NULL;
static pcre2_match_context *match_context = NULL;
static pcre2_match_data *match_data = NULL;
static int	match_data_pairs = 0;

/* ------------------------------------------------------------- PCRE2's memory */

/* Allocate for PCRE2, in the memory context given; NULL if that fails. */
static void *
allocate(PCRE2_SIZE size, void *context)
{
	return MemoryContextAllocExtended((MemoryContext) context, size,
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

static void
release(void *pointer, void *context)
{
	if (pointer != NULL)
		pfree(pointer);
}

/* Raise what PCRE2 lacks. */
static void
report_out_of_memory(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of memory"),
			 errdetail("PCRE2 could not allocate memory.")));
}

/*
 * Tell a match to stop for an interrupt.  Where a search starts anew at
 * another place, any interrupt will do, since nothing is lost by resuming
 * there.  In the midst of it only those are heeded that will raise an error.
 */
static int
check_interrupts(pcre2_callout_block *block, void *state)
{
	bool		stop;

	stop = block->callout_number == SE_CALLOUT_START
		? InterruptPending : (QueryCancelPending || ProcDiePending);
	if (likely(!stop) || !INTERRUPTS_CAN_BE_PROCESSED())
		return 0;
	((MatchState *) state)->resume = block->start_match;
	return PCRE2_ERROR_CALLOUT;
}

/* Make what all matches share. */
static void
prepare_matching(void)
{
	pcre2_match_context *settings;
	pcre2_jit_stack *stack;

	if (match_context != NULL)
		return;
	if (cache_context == NULL)
		cache_context = AllocSetContextCreate(TopMemoryContext, "storeengine regexes",
											  ALLOCSET_DEFAULT_SIZES);
	if (general_context == NULL)
		general_context = pcre2_general_context_create(allocate, release, cache_context);
	if (general_context == NULL)
		report_out_of_memory();
	settings = pcre2_match_context_create(general_context);
	if (settings == NULL)
		report_out_of_memory();
	pcre2_set_match_limit(settings, MATCH_LIMIT);
	pcre2_set_heap_limit(settings, HEAP_LIMIT_KB);
	/* without one, matches get by with a small part of the process's stack */
	stack = pcre2_jit_stack_create(JIT_STACK_START, JIT_STACK_LIMIT, general_context);
	if (stack != NULL)
		pcre2_jit_stack_assign(settings, NULL, stack);
	match_context = settings;
}

/* Provide room for the spans of a regex and its groups. */
static void
prepare_match_data(const SeRegex * regex)
{
	int			pairs = regex->group_count + 1;

	if (pairs <= match_data_pairs)
		return;
	pcre2_match_data_free(match_data);
	match_data_pairs = 0;
	match_data = pcre2_match_data_create(pairs, general_context);
	if (match_data == NULL)
		report_out_of_memory();
	match_data_pairs = pairs;
}

/* ------------------------------------------------------------------- cache */

/* Drop a compiled pattern that nobody uses. */
static void
forget(SeRegex * regex)
{
	dlist_delete(&regex->link);
	pcre2_code_free(regex->code);
	MemoryContextDelete(regex->context);
	unused_count--;
}

/* End a use of a regex: the callback of a memory context.  Must not fail. */
static void
drop_reference(void *arg)
{
	SeRegex    *regex = ((Reference *) arg)->regex;
	dlist_node *last;

	if (--regex->references > 0)
		return;
	dlist_move_head(&cache, &regex->link);
	if (++unused_count <= MAX_UNUSED)
		return;
	last = dlist_tail_node(&cache);
	while (dlist_container(SeRegex, link, last)->references > 0)
		last = dlist_prev_node(&cache, last);
	forget(dlist_container(SeRegex, link, last));
}

/* Keep a regex as long as the current memory context. */
static void
add_reference(SeRegex * regex)
{
	Reference  *reference = palloc(sizeof(Reference));

	reference->regex = regex;
	reference->callback.func = drop_reference;
	reference->callback.arg = reference;
	if (regex->references++ == 0)
		unused_count--;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &reference->callback);
}

/* Find a pattern that has been compiled before. */
static SeRegex *
find_cached(const char *pattern, size_t len)
{
	dlist_iter	iter;

	dlist_foreach(iter, &cache)
	{
		SeRegex    *regex = dlist_container(SeRegex, link, iter.cur);

		if (regex->len == len && memcmp(regex->pattern, pattern, len) == 0)
			return regex;
	}
	return NULL;
}

/* ----------------------------------------------------------------- compile */

/* Raise what is wrong with a pattern. */
static void
report_refused(const char *pattern, const SePattern *refused, const char *what)
{
	int			character = 1;

	for (int i = 0; i < refused->position; i++)
		character += (pattern[i] & 0xC0) != 0x80;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_REGULAR_EXPRESSION),
			 errmsg("%s is not a valid regular expression", what),
			 errdetail("At character %d: %s.", character, refused->problem)));
}

/* Raise that a regex is too large. */
static void
report_too_large(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("%s is too large", what),
			 errdetail("Compiled, the regular expression takes more than 64 kB."),
			 errhint("Use lower counts in repetitions, or switch Unicode off with (?-u).")));
}

/* Raise what PCRE2 has against a translation: it is too large, or we erred. */
static void
report_compile_error(int error, const char *what)
{
	PCRE2_UCHAR message[256];

	if (error == PCRE2_ERROR_NOMEMORY || error == PCRE2_ERROR_HEAP_FAILED)
		report_out_of_memory();
	if (error == PCRE2_ERROR_PATTERN_TOO_LARGE ||
		error == PCRE2_ERROR_PATTERN_TOO_COMPLICATED)
		report_too_large(what);
	pcre2_get_error_message(error, message, lengthof(message));
	elog(ERROR, "could not compile the translation of %s: %s", what, (char *) message);
}

/* Keep the names of the groups of a pattern. */
static void
copy_names(SeRegex * regex, const SePattern *parsed)
{
	regex->group_count = parsed->group_count;
	regex->names = palloc(Max(parsed->group_count, 1) * sizeof(char *));
	for (int i = 0; i < parsed->group_count; i++)
		regex->names[i] = pstrdup(parsed->names[i]);
}

/* Compile a translation for PCRE2. */
static pcre2_code *
compile_translation(const char *translation, size_t len, const char *what)
{
	pcre2_general_context *general;
	pcre2_compile_context *settings;
	pcre2_code *code;
	int			error;
	PCRE2_SIZE	offset;

	/* the code remembers the current memory context and frees itself there */
	general = pcre2_general_context_create(allocate, release, CurrentMemoryContext);
	settings = general == NULL ? NULL : pcre2_compile_context_create(general);
	if (settings == NULL)
		report_out_of_memory();
	pcre2_set_newline(settings, PCRE2_NEWLINE_LF);
	pcre2_set_parens_nest_limit(settings, PCRE2_NESTING_LIMIT);
	code = pcre2_compile((PCRE2_SPTR) translation, len,
						 PCRE2_DOTALL | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C,
						 &error, &offset, settings);
	if (code == NULL)
		report_compile_error(error, what);
	pcre2_compile_context_free(settings);
	pcre2_general_context_free(general);
	return code;
}

/* Make a regex in the current memory context, which becomes its own. */
static SeRegex *
make_regex(const char *pattern, size_t len, const char *what)
{
	SeRegex    *regex = palloc0(sizeof(SeRegex));
	MemoryContext scratch;
	SePattern  *parsed;
	char	   *translation;
	size_t		translation_len;

	regex->context = CurrentMemoryContext;
	regex->pattern = pnstrdup(pattern, len);
	regex->len = len;

	scratch = AllocSetContextCreate(regex->context, "storeengine translation",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(scratch);
	parsed = se_regex_parse(pattern, len);
	if (parsed->root == NULL)
		report_refused(pattern, parsed, what);
	translation = se_regex_translate(parsed, &translation_len);
	if (translation == NULL)
		report_too_large(what);
	MemoryContextSwitchTo(regex->context);

	copy_names(regex, parsed);
	regex->matches_anything = se_regex_matches_anything(parsed);
	regex->code = compile_translation(translation, translation_len, what);
	MemoryContextDelete(scratch);
	return regex;
}

/* Make a regex and put it into the cache, not used by anybody yet. */
static SeRegex *
add_to_cache(const char *pattern, size_t len, const char *what)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "storeengine regex",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SeRegex    *regex = make_regex(pattern, len, what);

	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, cache_context);

	/*
	 * machine code is not in the memory context, so it comes last; without it
	 * matches are slower, that is all
	 */
	(void) pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
	dlist_push_head(&cache, &regex->link);
	unused_count++;
	return regex;
}

/*
 * Compile a pattern given in UTF-8.  The result is good until the current
 * memory context is reset.  Raises 2201B for a pattern that is malformed or
 * not supported, and 54000 for one that is too large; what names it.
 */
const		SeRegex *
se_regex_compile_utf8(const char *pattern, size_t len, const char *what)
{
	SeRegex    *regex;

	if (!pg_verify_mbstr(PG_UTF8, pattern, len, true))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_REGULAR_EXPRESSION),
				 errmsg("%s is not a valid regular expression", what),
				 errdetail("It is not valid UTF-8, or contains a zero byte.")));
	prepare_matching();
	regex = find_cached(pattern, len);
	if (regex == NULL)
		regex = add_to_cache(pattern, len, what);
	add_reference(regex);
	return regex;
}

/*
 * Compile a pattern given in the server's encoding.  As
 * se_regex_compile_utf8().
 */
const		SeRegex *
se_regex_compile(text *pattern, const char *what)
{
	const char *bytes = VARDATA_ANY(pattern);
	int			len = VARSIZE_ANY_EXHDR(pattern);
	const char *utf8 = bytes;

	if (GetDatabaseEncoding() != PG_SQL_ASCII)
		utf8 = pg_server_to_any(bytes, len, PG_UTF8);
	return se_regex_compile_utf8(utf8, utf8 == bytes ? (size_t) len : strlen(utf8), what);
}

/* ------------------------------------------------------------------ search */

/*
 * Return the number of the group with a name, given in the server's encoding;
 * -1 if there is none.
 */
int
se_regex_group(const SeRegex * regex, const char *name)
{
	const char *utf8 = pg_server_to_any(name, strlen(name), PG_UTF8);

	for (int i = 0; i < regex->group_count; i++)
	{
		if (strcmp(regex->names[i], utf8) == 0)
			return i + 1;
	}
	return -1;
}

/* Return how many named groups there are; others do not count. */
int
se_regex_group_count(const SeRegex * regex)
{
	return regex->group_count;
}

/* Raise why a match was given up. */
static void
report_match_error(int error, size_t len)
{
	PCRE2_UCHAR message[256];

	switch (error)
	{
		case PCRE2_ERROR_MATCHLIMIT:
		case PCRE2_ERROR_DEPTHLIMIT:
		case PCRE2_ERROR_HEAPLIMIT:
		case PCRE2_ERROR_JIT_STACKLIMIT:
			ereport(ERROR,
					(errcode(ERRCODE_STATEMENT_TOO_COMPLEX),
					 errmsg("regular expression is too expensive"),
					 error == PCRE2_ERROR_MATCHLIMIT
					 ? errdetail("It takes more than %d steps at one place in %zu bytes.",
								 MATCH_LIMIT, len)
					 : errdetail("It takes more than %d MB of memory for %zu bytes.",
								 HEAP_LIMIT_KB / 1024, len),
					 errhint("Avoid repetitions in repetitions, begin with ^ rather than .*, or switch Unicode off with (?-u).")));
			break;
		case PCRE2_ERROR_NOMEMORY:
			report_out_of_memory();
			break;
		default:
			pcre2_get_error_message(error, message, lengthof(message));
			elog(ERROR, "could not match regular expression: %s", (char *) message);
	}
}

/*
 * Run a match until it is decided: PCRE2's result.  Interrupts are served in
 * between.
 */
static int
run_match(const SeRegex * regex, const uint8_t *subject, size_t len)
{
	MatchState	state = {0};
	int			result;

	pcre2_set_callout(match_context, check_interrupts, &state);
	for (;;)
	{
		result = pcre2_match(regex->code, subject, len, state.resume, 0,
							 match_data, match_context);
		if (result != PCRE2_ERROR_CALLOUT)
			return result;
		CHECK_FOR_INTERRUPTS();
	}
}

/* Take the spans of a match and its groups from PCRE2. */
static void
copy_spans(const SeRegex * regex, int found, SeSpan *spans)
{
	PCRE2_SIZE *ends = pcre2_get_ovector_pointer(match_data);

	for (int i = 0; i <= regex->group_count; i++)
	{
		bool		took_part = i < found && ends[2 * i] != PCRE2_UNSET;

		spans[i].start = took_part ? (ptrdiff_t) ends[2 * i] : -1;
		spans[i].end = took_part ? (ptrdiff_t) ends[2 * i + 1] : -1;
	}
}

/*
 * Search bytes for the first match, and return whether there is one.  Its
 * span, and those of the groups, go to spans, unless that is NULL.  Raises
 * 54001 if that cannot be found out with reasonable effort.
 */
bool
se_regex_search(const SeRegex * regex, const uint8_t *subject, size_t len, SeSpan *spans)
{
	int			result;

	if (spans == NULL && regex->matches_anything)
		return true;
	prepare_match_data(regex);
	result = run_match(regex, subject == NULL ? (const uint8_t *) "" : subject, len);
	if (result == PCRE2_ERROR_NOMATCH)
		return false;
	if (result < 0)
		report_match_error(result, len);
	if (spans != NULL)
		copy_spans(regex, result, spans);
	return true;
}
