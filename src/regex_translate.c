/*
 * regex_translate.c
 *		Write a pattern down for PCRE2.
 *
 * PCRE2 is made to match bytes.  A set of characters becomes alternatives of
 * sequences of bytes, those of their encodings, as in Rust, so that nothing
 * depends on what PCRE2 knows of Unicode or does about malformed UTF-8.  All
 * that a translation has is: bytes, classes of bytes, groups, alternatives,
 * repetitions, \A, \z, look-around over a character, and callouts.
 *
 * Long alternatives that occur more than once are written once, behind the
 * pattern, and called.  That cannot change what matches: no encoding is a
 * prefix of another, so there is never a second way to match them.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "lib/stringinfo.h"

#include "regex_encode.h"
#include "regex_syntax.h"

/* So many cheap nodes at a pattern's start do without a callout. */
#define MAX_CHEAP 16

/* A set of more ranges than this is worth being remembered. */
#define LARGE_SET 16

/* How much an expression may take, all copies counted, before it is called. */
#define MAX_INLINE 2000
/* No translation of this length compiles to what PCRE2 takes. */
#define MAX_TRANSLATION (256 * 1024)

/* From this length of the translation on, anything longer than this is. */
#define LONG_TRANSLATION 16000
#define SHORT_EXPRESSION 16

/* A set of characters whose encodings have been written before. */
typedef struct KnownSet
{
	const SeCharSet *set;
	char	   *encodings[4];	/* one for each length, NULL if there are none */
} KnownSet;

typedef struct Writer
{
	StringInfoData out;
	int			group_count;
	int			callout_end;	/* where the last callout has been written */
	KnownSet   *known;
	int			known_count;
	int			known_room;
	char	   *assertions[SE_WORD_END_HALF + 1][2];	/* those written before */
	size_t		sets_len;		/* of all that was written for sets */
	char	  **bodies;			/* expressions that are called */
	int			body_count;
	int			body_room;
} Writer;

static void write_node(Writer *writer, const SeNode *node, uint64 copies);

/* Make room for another element in an array that grows. */
static void *
grow_array(void *array, int count, int *room, size_t size)
{
	if (count < *room)
		return array;
	*room = Max(2 * *room, 8);
	return array == NULL ? palloc(*room * size) : repalloc(array, *room * size);
}

/*
 * Return an expression itself, or a call of it if it is long.  There will be
 * so many copies of it.
 */
static const char *
inline_or_call(Writer *writer, const char *expression, uint64 copies)
{
	size_t		len = strlen(expression);
	int			i = 0;

	if (len <= SHORT_EXPRESSION ||
		(len * copies <= MAX_INLINE && writer->out.len < LONG_TRANSLATION))
		return expression;
	while (i < writer->body_count && strcmp(writer->bodies[i], expression) != 0)
		i++;
	if (i == writer->body_count)
	{
		writer->bodies = grow_array(writer->bodies, i, &writer->body_room, sizeof(char *));
		writer->bodies[writer->body_count++] = pstrdup(expression);
	}
	return psprintf("(?%d)", writer->group_count + 1 + i);
}

/* Make the expressions of a set of characters, for each length of encodings. */
static KnownSet
find_encodings(Writer *writer, const SeCharSet *set)
{
	KnownSet	known = {.set = set};

	for (int i = 0; i < writer->known_count; i++)
	{
		if (se_charset_equal(set, writer->known[i].set))
			return writer->known[i];
	}
	for (int i = 0; i < SE_ENCODING_LENGTHS; i++)
	{
		known.encodings[i] = se_encode_characters(set, &se_encoding_lengths[i]);
		if (known.encodings[i] != NULL)
			writer->sets_len += strlen(known.encodings[i]);
	}
	if (set->count > LARGE_SET)
	{
		writer->known = grow_array(writer->known, writer->known_count,
								   &writer->known_room, sizeof(KnownSet));
		writer->known[writer->known_count++] = known;
	}
	return known;
}

/*
 * Make an expression for a set of characters.  What is called is preceded by
 * a look at the first byte, for PCRE2 does not look into calls to find out
 * where a match can start.
 */
static char *
characters_expression(Writer *writer, const SeCharSet *set, uint64 copies)
{
	KnownSet	known = find_encodings(writer, set);
	StringInfoData out;
	int			alternatives = 0;

	initStringInfo(&out);
	for (int i = 0; i < SE_ENCODING_LENGTHS; i++)
	{
		const char *expression;

		if (known.encodings[i] == NULL)
			continue;
		if (alternatives++ > 0)
			appendStringInfoChar(&out, '|');
		expression = inline_or_call(writer, known.encodings[i], copies);
		if (expression != known.encodings[i])
			appendStringInfo(&out, "(?=%s)", se_encode_leads(set, &se_encoding_lengths[i]));
		appendStringInfoString(&out, expression);
	}
	return alternatives > 1 ? psprintf("(?:%s)", out.data)
		: alternatives == 1 ? out.data : pstrdup("(?!)");
}

/* ------------------------------------------------------------- assertions */

/* Make the set of all characters. */
static SeCharSet *
all_characters(void)
{
	return se_charset_of_range(0, SE_LAST_CHAR);
}

/* Make the look-ahead for a character of a set. */
static char *
ahead(Writer *writer, const SeCharSet *set, bool negative)
{
	return psprintf("(?%c%s)", negative ? '!' : '=',
					characters_expression(writer, set, 1));
}

/*
 * Make the look-behind for a character of a set.  As in Rust, a character's
 * encoding may be followed by stray bytes that only occur inside of others,
 * as long as there are no more than four bytes in all.
 */
static char *
behind(Writer *writer, const SeCharSet *set, bool negative)
{
	KnownSet	known = find_encodings(writer, set);
	StringInfoData out;
	int			alternatives = 0;

	initStringInfo(&out);
	appendStringInfo(&out, "(?<%c", negative ? '!' : '=');
	for (int i = 0; i < SE_ENCODING_LENGTHS; i++)
	{
		if (known.encodings[i] == NULL)
			continue;
		for (int stray = 0; stray + se_encoding_lengths[i].tail < 4; stray++)
		{
			appendStringInfo(&out, "%s%s", alternatives++ > 0 ? "|" : "",
							 inline_or_call(writer, known.encodings[i], 4));
			for (int j = 0; j < stray; j++)
				appendStringInfoString(&out, "[\\x80-\\xBF]");
		}
	}
	appendStringInfoChar(&out, ')');
	return out.data;
}

/* Make the assertion that there is, or is not, a word before. */
static char *
word_before(Writer *writer, bool unicode, bool negative)
{
	if (unicode)
		return behind(writer, se_charset_words(), negative);
	return psprintf("(?<%c%s)", negative ? '!' : '=',
					se_encode_bytes(se_charset_ascii_class("word", 4)));
}

/* Make the assertion that there is, or is not, a word after. */
static char *
word_after(Writer *writer, bool unicode, bool negative)
{
	return ahead(writer, unicode ? se_charset_words() : se_charset_ascii_class("word", 4),
				 negative);
}

/*
 * Make the assertion that text is well-formed before; needed where Unicode
 * assertions could otherwise hold inside of a character.
 */
static char *
well_formed_before(Writer *writer, bool unicode)
{
	return unicode ? psprintf("(?:\\A|%s)", behind(writer, all_characters(), false)) : "";
}

/* Make the assertion that text is well-formed after. */
static char *
well_formed_after(Writer *writer, bool unicode)
{
	return unicode ? psprintf("(?:\\z|%s)", ahead(writer, all_characters(), false)) : "";
}

/* Make an assertion. */
static char *
make_assertion(Writer *writer, SeAssertion assertion, bool unicode)
{
	switch (assertion)
	{
		case SE_TEXT_START:
			return "\\A";
		case SE_TEXT_END:
			return "\\z";
		case SE_LINE_START:
			return "(?<!\\N)";
		case SE_LINE_END:
			return "(?!\\N)";
		case SE_WORD_BOUNDARY:
			return psprintf("(?:%s%s|%s%s)",
							word_before(writer, unicode, false), word_after(writer, unicode, true),
							word_before(writer, unicode, true), word_after(writer, unicode, false));
		case SE_NOT_WORD_BOUNDARY:
			return psprintf("%s%s(?:%s%s|%s%s)",
							well_formed_before(writer, unicode), well_formed_after(writer, unicode),
							word_before(writer, unicode, false), word_after(writer, unicode, false),
							word_before(writer, unicode, true), word_after(writer, unicode, true));
		case SE_WORD_START:
			return psprintf("%s%s", word_before(writer, unicode, true),
							word_after(writer, unicode, false));
		case SE_WORD_END:
			return psprintf("%s%s", word_before(writer, unicode, false),
							word_after(writer, unicode, true));
		case SE_WORD_START_HALF:
			return psprintf("%s%s", well_formed_before(writer, unicode),
							word_before(writer, unicode, true));
		case SE_WORD_END_HALF:
			return psprintf("%s%s", well_formed_after(writer, unicode),
							word_after(writer, unicode, true));
	}
	return NULL;				/* keep compiler quiet */
}

/* Write an assertion. */
static void
write_assertion(Writer *writer, SeAssertion assertion, bool unicode)
{
	char	  **made = &writer->assertions[assertion][unicode];

	if (*made == NULL)
		*made = make_assertion(writer, assertion, unicode);
	appendStringInfoString(&writer->out, inline_or_call(writer, *made, 1));
}

/* ------------------------------------------------------------------ nodes */

/* Write a set. */
static void
write_set(Writer *writer, const SeNode *node, uint64 copies)
{
	char	   *expression = node->unicode
		? characters_expression(writer, node->set, copies) : se_encode_bytes(node->set);

	appendStringInfoString(&writer->out, expression);
}

/* Write the counts of a repetition. */
static void
write_counts(StringInfo out, const SeNode *node)
{
	if (node->min == 0 && node->max == SE_UNBOUNDED)
		appendStringInfoChar(out, '*');
	else if (node->min == 1 && node->max == SE_UNBOUNDED)
		appendStringInfoChar(out, '+');
	else if (node->min == 0 && node->max == 1)
		appendStringInfoChar(out, '?');
	else if (node->max == SE_UNBOUNDED)
		appendStringInfo(out, "{%u,}", node->min);
	else
		appendStringInfo(out, "{%u,%u}", node->min, node->max);
	if (!node->greedy)
		appendStringInfoChar(out, '?');
}

/* Write a callout, unless there is one just before. */
static void
write_callout(Writer *writer, int number)
{
	if (writer->out.len > 0 && writer->out.len == writer->callout_end)
		return;
	appendStringInfo(&writer->out, "(?C%d)", number);
	writer->callout_end = writer->out.len;
}

/* Tell whether a node always matches one byte. */
static bool
is_one_byte(const SeNode *node)
{
	if (node->kind == SE_NODE_LITERAL)
		return node->len == 1;
	return node->kind == SE_NODE_SET && node->set->count > 0 &&
		!(node->unicode && se_charset_has_any(node->set, 0x80, SE_LAST_CHAR));
}

/* Tell whether a node matches characters of one byte as well as longer ones. */
static bool
is_mixed_set(const SeNode *node)
{
	return node->kind == SE_NODE_SET && node->unicode &&
		se_charset_has_any(node->set, 0, 0x7F) &&
		se_charset_has_any(node->set, 0x80, SE_LAST_CHAR);
}

/*
 * Write an unbounded repetition of a set of characters, some of one byte and
 * some longer, as a*(?:ba*)*, which comes to the same as (?:a|b)*: it stops
 * at the same places in the same order.  But PCRE2 runs through the single
 * bytes without remembering each of them.
 */
static void
write_mixed_repetition(Writer *writer, const SeNode *node, uint64 copies)
{
	StringInfo	out = &writer->out;
	const SeNode *body = node->children;
	const char *lazy = node->greedy ? "" : "?";
	KnownSet	known = find_encodings(writer, body->set);
	SeCharSet  *longer = se_charset_combine(SE_INTERSECTION, body->set,
											se_charset_of_range(0x80, SE_LAST_CHAR), SE_LAST_CHAR);

	appendStringInfoString(out, "(?:");
	if (node->min > 0)
	{
		write_set(writer, body, Min(copies * node->min, MAX_INLINE + 1));
		appendStringInfo(out, "{%u}", node->min);
	}
	appendStringInfo(out, "%s*%s(?:%s%s*%s)*%s)", known.encodings[0], lazy,
					 characters_expression(writer, longer, copies),
					 known.encodings[0], lazy, lazy);
}

/* Write a repetition of anything; PCRE2 has fast ones of single bytes. */
static void
write_plain_repetition(Writer *writer, const SeNode *node, uint64 copies)
{
	StringInfo	out = &writer->out;
	uint32_t	rounds = node->max == SE_UNBOUNDED ? node->min : node->max;

	if (is_one_byte(node->children))
		write_node(writer, node->children, 1);
	else
	{
		appendStringInfoString(out, "(?:");
		write_node(writer, node->children,
				   Min(copies * Max(rounds, 1), MAX_INLINE + 1));
		appendStringInfoChar(out, ')');
	}
	write_counts(out, node);
}

/* Write a repetition. */
static void
write_repetition(Writer *writer, const SeNode *node, uint64 copies)
{
	if (node->max == 0)
		return;
	if (node->max == SE_UNBOUNDED)
		write_callout(writer, SE_CALLOUT_REPEAT);
	if (node->max == SE_UNBOUNDED && is_mixed_set(node->children))
		write_mixed_repetition(writer, node, copies);
	else
		write_plain_repetition(writer, node, copies);
}

/* Write nodes that follow one another, or are alternatives. */
static void
write_children(Writer *writer, const SeNode *node, uint64 copies, const char *separator)
{
	for (const SeNode *child = node->children; child != NULL; child = child->next)
	{
		write_node(writer, child, copies);
		if (child->next != NULL)
			appendStringInfoString(&writer->out, separator);
	}
}

/* Is it clear by now that the translation will be too long? */
static bool
is_too_long(const Writer *writer)
{
	return writer->out.len + writer->sets_len > MAX_TRANSLATION;
}

/* Write a node, of which there will be so many copies. */
static void
write_node(Writer *writer, const SeNode *node, uint64 copies)
{
	StringInfo	out = &writer->out;

	se_check_for_interrupts();
	if (is_too_long(writer))
		return;
	switch (node->kind)
	{
		case SE_NODE_LITERAL:
			for (int i = 0; i < node->len; i++)
				se_encode_byte(out, node->bytes[i]);
			break;
		case SE_NODE_SET:
			write_set(writer, node, copies);
			break;
		case SE_NODE_ASSERTION:
			write_assertion(writer, node->assertion, node->unicode);
			break;
		case SE_NODE_CONCATENATION:
			write_children(writer, node, copies, "");
			break;
		case SE_NODE_ALTERNATION:
			appendStringInfoString(out, "(?:");
			write_children(writer, node, copies, "|");
			appendStringInfoChar(out, ')');
			break;
		case SE_NODE_REPETITION:
			write_repetition(writer, node, copies);
			break;
		case SE_NODE_GROUP:
			appendStringInfoChar(out, '(');
			write_children(writer, node, copies, "");
			appendStringInfoChar(out, ')');
			break;
	}
}

/*
 * Tell whether it takes little to find out that a node does not match: not if
 * it looks at characters that are encodings of several bytes.
 */
static bool
is_cheap(const SeNode *node)
{
	return node->kind == SE_NODE_LITERAL || is_one_byte(node) ||
		(node->kind == SE_NODE_ASSERTION && !node->unicode);
}

/*
 * Write a pattern.  The callout for starts comes behind what it begins with,
 * if that is cheap: PCRE2 is much faster to find literals without it.
 */
static void
write_root(Writer *writer, const SeNode *root)
{
	const SeNode *child;
	int			left = MAX_CHEAP;

	if (root->kind != SE_NODE_CONCATENATION)
	{
		write_callout(writer, SE_CALLOUT_START);
		write_node(writer, root, 1);
		return;
	}
	for (child = root->children; child != NULL && is_cheap(child) && left > 0; child = child->next)
	{
		write_node(writer, child, 1);
		left--;
	}
	if (child != NULL)
		write_callout(writer, SE_CALLOUT_START);
	for (; child != NULL; child = child->next)
		write_node(writer, child, 1);
}

/*
 * Translate a pattern that has been read.  The translation is for PCRE2 in
 * its byte mode, with PCRE2_DOTALL and \n for the only newline.  NULL if it is
 * longer than PCRE2 can take.
 */
char *
se_regex_translate(const SePattern *pattern, size_t *len)
{
	Writer		writer = {0};

	initStringInfo(&writer.out);
	writer.group_count = pattern->group_count;
	write_root(&writer, pattern->root);
	if (is_too_long(&writer))
		return NULL;
	if (writer.body_count > 0)
	{
		appendStringInfoString(&writer.out, "(?(DEFINE)");
		for (int i = 0; i < writer.body_count; i++)
			appendStringInfo(&writer.out, "(%s)", writer.bodies[i]);
		appendStringInfoChar(&writer.out, ')');
	}
	*len = writer.out.len;
	return writer.out.data;
}

/* Tell whether a node matches nothing, whatever is before and after. */
static bool
is_always_empty(const SeNode *node)
{
	switch (node->kind)
	{
		case SE_NODE_CONCATENATION:
		case SE_NODE_GROUP:
			for (const SeNode *child = node->children; child != NULL; child = child->next)
			{
				if (!is_always_empty(child))
					return false;
			}
			return true;
		case SE_NODE_ALTERNATION:
			for (const SeNode *child = node->children; child != NULL; child = child->next)
			{
				if (is_always_empty(child))
					return true;
			}
			return false;
		case SE_NODE_REPETITION:
			return node->min == 0 || is_always_empty(node->children);
		default:
			return false;
	}
}

/*
 * Tell whether a search succeeds in any text, because the pattern can match
 * nothing anywhere.
 */
bool
se_regex_matches_anything(const SePattern *pattern)
{
	return is_always_empty(pattern->root);
}
