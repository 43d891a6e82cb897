/*
 * regex_parse.c
 *		Read a pattern in the dialect of Rust's regex::bytes.
 *
 * A parser by recursive descent.  It accepts what Rust does, with few
 * exceptions, and nothing else.  Flags are resolved as they are met, so that
 * the tree says what is to be matched and nothing depends on a mode.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "regex_scan.h"

static SeNode *parse_alternation(SeParser *parser);

/* ------------------------------------------------------------------ nodes */

static SeNode *
make_node(SeNodeKind kind)
{
	SeNode	   *node = palloc0(sizeof(SeNode));

	node->kind = kind;
	node->can_be_empty = (kind == SE_NODE_ASSERTION);
	return node;
}

static SeNode *
make_set(SeCharSet *set, bool unicode)
{
	SeNode	   *node = make_node(SE_NODE_SET);

	node->set = set;
	node->unicode = unicode;
	return node;
}

static SeNode *
make_assertion(const SeParser *parser, SeAssertion assertion)
{
	SeNode	   *node = make_node(SE_NODE_ASSERTION);

	node->assertion = assertion;
	node->unicode = parser->flags.unicode;
	return node;
}

/* Make the node of a character or a byte that is to be matched. */
static SeNode *
make_literal(const SeParser *parser, const SeItem *item)
{
	SeNode	   *node = make_node(SE_NODE_LITERAL);
	bool		may_fold = parser->flags.unicode || item->character < 0x80;

	if (parser->flags.ignore_case && may_fold)
	{
		SeCharSet  *set = se_charset_of_range(item->character, item->character);

		se_scan_fold(parser, set);
		if (set->count > 1 || set->ranges[0].first != set->ranges[0].last)
			return make_set(set, parser->flags.unicode);
	}
	if (item->is_byte && !parser->flags.unicode)
	{
		node->bytes[0] = (uint8_t) item->character;
		node->len = 1;
	}
	else
		node->len = se_utf8_encode(item->character, node->bytes);
	return node;
}

/* Encode a character, and return how many bytes it takes. */
int
se_utf8_encode(uint32_t c, uint8_t *bytes)
{
	if (c < 0x80)
	{
		bytes[0] = c;
		return 1;
	}
	if (c < 0x800)
	{
		bytes[0] = 0xC0 | c >> 6;
		bytes[1] = 0x80 | (c & 0x3F);
		return 2;
	}
	if (c < 0x10000)
	{
		bytes[0] = 0xE0 | c >> 12;
		bytes[1] = 0x80 | (c >> 6 & 0x3F);
		bytes[2] = 0x80 | (c & 0x3F);
		return 3;
	}
	bytes[0] = 0xF0 | c >> 18;
	bytes[1] = 0x80 | (c >> 12 & 0x3F);
	bytes[2] = 0x80 | (c >> 6 & 0x3F);
	bytes[3] = 0x80 | (c & 0x3F);
	return 4;
}

/* Make the node of what . matches. */
static SeNode *
make_dot(const SeParser *parser)
{
	SeCharSet  *set = se_charset_create();

	if (!parser->flags.dot_all)
		se_charset_add(set, '\n', '\n');
	se_charset_negate(set, se_scan_last_member(parser));
	return make_set(set, parser->flags.unicode);
}

/* Read what can follow \b: {start}, {end} and their halves. */
static SeAssertion
parse_word_boundary(SeParser *parser)
{
	static const struct
	{
		const char *name;
		SeAssertion assertion;
	}			kinds[] =
	{
		{"start", SE_WORD_START},
		{"end", SE_WORD_END},
		{"start-half", SE_WORD_START_HALF},
		{"end-half", SE_WORD_END_HALF},
	};
	size_t		start = parser->pos;
	char		name[16];
	size_t		len = 0;

	if (se_scan_next(parser) != '{')
		return SE_WORD_BOUNDARY;
	se_scan_take_and_skip(parser);
	while ((se_scan_next(parser) | 0x20) - 'a' < 26 || se_scan_next(parser) == '-')
	{
		if (len < sizeof(name) - 1)
			name[len++] = (char) se_scan_next(parser);
		se_scan_take_and_skip(parser);
	}
	if (len == 0)
	{
		parser->pos = start;	/* a repetition, then */
		return SE_WORD_BOUNDARY;
	}
	if (se_scan_take(parser) == '}')
	{
		for (int i = 0; i < lengthof(kinds); i++)
		{
			if (strlen(kinds[i].name) == len && memcmp(kinds[i].name, name, len) == 0)
				return kinds[i].assertion;
		}
	}
	se_scan_fail_at(parser, start, "kind of word boundary is not known");
	return SE_WORD_BOUNDARY;
}

/* Read an escape outside of a class; \ has been read. */
static SeNode *
parse_escape_node(SeParser *parser)
{
	SeItem		item = {0};

	switch (se_scan_next(parser))
	{
		case 'A':
			(void) se_scan_take(parser);
			return make_assertion(parser, SE_TEXT_START);
		case 'z':
			(void) se_scan_take(parser);
			return make_assertion(parser, SE_TEXT_END);
		case 'b':
			(void) se_scan_take(parser);
			return make_assertion(parser, parse_word_boundary(parser));
		case 'B':
			(void) se_scan_take(parser);
			return make_assertion(parser, SE_NOT_WORD_BOUNDARY);
		case '<':
			(void) se_scan_take(parser);
			return make_assertion(parser, SE_WORD_START);
		case '>':
			(void) se_scan_take(parser);
			return make_assertion(parser, SE_WORD_END);
		default:
			se_regex_parse_escape(parser, &item);
			return item.is_set
				? make_set(item.set, parser->flags.unicode)
				: make_literal(parser, &item);
	}
}

/* ----------------------------------------------------------------- groups */

/* Find the flag that a letter stands for; NULL if there is none. */
static bool *
find_flag(SeFlags *flags, uint32_t letter)
{
	switch (letter)
	{
		case 'i':
			return &flags->ignore_case;
		case 'm':
			return &flags->multi_line;
		case 's':
			return &flags->dot_all;
		case 'U':
			return &flags->swap_greed;
		case 'u':
			return &flags->unicode;
		case 'x':
			return &flags->ignore_space;
		default:
			return NULL;
	}
}

/* Read flags up to : or ), and return which it was. */
static uint32_t
parse_flags(SeParser *parser, SeFlags *flags)
{
	SeFlags		seen = {0};
	bool		value = true;
	bool		dangling = false;

	for (;;)
	{
		size_t		start = parser->pos;
		uint32_t	c = se_scan_take(parser);

		if (c == ':' || c == ')')
		{
			if (dangling)
				se_scan_fail_at(parser, start, "flag expected");
			return c;
		}
		dangling = (c == '-');
		if (dangling && value)
			value = false;
		else if (find_flag(flags, c) == NULL)
		{
			se_scan_fail_at(parser, start, c == 'R' ? "flag R is not supported" : "flag is not known");
			return ')';
		}
		else if (*find_flag(&seen, c))
			se_scan_fail_at(parser, start, "flag is given twice");
		else
		{
			*find_flag(&seen, c) = true;
			*find_flag(flags, c) = value;
		}
	}
}

/* Tell whether a name can have a character. */
static bool
is_name_char(uint32_t c, bool first)
{
	if (c == '_' || (!first && (c == '.' || c == '[' || c == ']')))
		return true;
	if (c < 0x80)
		return (c | 0x20) - 'a' < 26 || (!first && c - '0' < 10);
	return c != SE_NO_CHAR &&
		(se_charset_has_any(se_charset_property("Alphabetic", 10), c, c) ||
		 (!first && se_charset_has_any(se_charset_property("N", 1), c, c)));
}

/* Give a group the next number, and keep its name; the same twice is a problem. */
static int
add_name(SeParser *parser, size_t start, size_t len)
{
	SePattern  *pattern = parser->pattern;
	char	   *name = pnstrdup(parser->text +start, len);

	for (int i = 0; i < pattern->group_count; i++)
	{
		if (strcmp(pattern->names[i], name) == 0)
			se_scan_fail_at(parser, start, "name of a group is given twice");
	}
	if (pattern->group_count == parser->names_room)
	{
		parser->names_room = Max(2 * parser->names_room, 4);
		pattern->names = pattern->names == NULL
			? palloc(parser->names_room * sizeof(char *))
			: repalloc(pattern->names, parser->names_room * sizeof(char *));
	}
	pattern->names[pattern->group_count++] = name;
	return pattern->group_count;
}

/* Read a group's name and >, and return its number. */
static int
parse_name(SeParser *parser)
{
	size_t		start = parser->pos;

	while (se_scan_next(parser) != '>')
	{
		if (!is_name_char(se_scan_next(parser), parser->pos == start))
		{
			se_scan_fail(parser, "name of a group is malformed");
			return 0;
		}
		(void) se_scan_take(parser);
	}
	(void) se_scan_take(parser);
	if (parser->pos - 1 == start)
		se_scan_fail_at(parser, start, "name of a group is empty");
	return add_name(parser, start, parser->pos - 1 - start);
}

/* Read a group up to its end; its flags are in force. */
static SeNode *
parse_group_body(SeParser *parser, size_t start, int number)
{
	SeNode	   *body = parse_alternation(parser);
	SeNode	   *group;

	if (se_scan_take(parser) != ')')
		se_scan_fail_at(parser, start, "group has no end");
	if (number == 0)
		return body;
	group = make_node(SE_NODE_GROUP);
	group->group = number;
	group->children = body;
	group->can_be_empty = body->can_be_empty;
	group->more_after_empty = body->more_after_empty;
	group->has_groups = true;
	return group;
}

/*
 * Read a group; ( is next.  NULL if it is no group but sets flags for what
 * follows.
 */
static SeNode *
parse_group(SeParser *parser)
{
	size_t		start = parser->pos;
	SeFlags		outer = parser->flags;
	int			number = 0;
	SeNode	   *node;

	se_scan_descend(parser);
	se_scan_take_and_skip(parser);
	if (se_scan_take_text(parser, "?=") || se_scan_take_text(parser, "?!") ||
		se_scan_take_text(parser, "?<=") || se_scan_take_text(parser, "?<!"))
		se_scan_fail_at(parser, start, "look-around is not supported");
	else if (se_scan_take_text(parser, "?P<") || se_scan_take_text(parser, "?<"))
		number = parse_name(parser);
	else if (se_scan_take_text(parser, "?"))
	{
		size_t		first = parser->pos;

		if (parse_flags(parser, &parser->flags) == ')')
		{
			if (parser->pos - first < 2)
				se_scan_fail_at(parser, start, "repetition of nothing");
			parser->depth--;
			return NULL;
		}
	}
	node = parse_group_body(parser, start, number);
	parser->flags = outer;
	parser->depth--;
	return node;
}

/* ------------------------------------------------------------ repetitions */

/* Read a decimal number; false if there is none. */
static bool
take_number(SeParser *parser, uint32_t *number)
{
	bool		found = false;

	while (se_scan_is_space(se_scan_next(parser)))
		(void) se_scan_take(parser);
	*number = 0;
	while (se_scan_next(parser) - '0' < 10)
	{
		found = true;
		if (*number <= SE_MAX_REPETITION)
			*number = *number * 10 + se_scan_next(parser) - '0';
		se_scan_take_and_skip(parser);
	}
	while (se_scan_is_space(se_scan_next(parser)))
		se_scan_take_and_skip(parser);
	return found;
}

/* Read {n}, {n,} or {n,m}; { is next. */
static void
parse_counts(SeParser *parser, SeNode *repetition)
{
	size_t		start = parser->pos;
	bool		has_min;
	bool		has_max = true;

	se_scan_take_and_skip(parser);
	has_min = take_number(parser, &repetition->min);
	repetition->max = repetition->min;
	if (se_scan_next(parser) == ',')
	{
		se_scan_take_and_skip(parser);
		has_max = se_scan_next(parser) != '}';
		if (!has_max)
			repetition->max = SE_UNBOUNDED;
		else if (!take_number(parser, &repetition->max))
			se_scan_fail(parser, "number expected");
	}
	if (!has_min)
		se_scan_fail(parser, "number expected");
	if (se_scan_next(parser) != '}')
		se_scan_fail_at(parser, start, "count of a repetition has no end");
	se_scan_take_and_skip(parser);
	if (repetition->max < repetition->min)
		se_scan_fail_at(parser, start, "count of a repetition ends before it starts");
	if (repetition->min > SE_MAX_REPETITION ||
		(has_max && repetition->max > SE_MAX_REPETITION))
		se_scan_fail_at(parser, start, "count of a repetition is above 65535");
}

/*
 * Refuse repetitions that would not come out as in Rust.  After a round that
 * matched nothing, PCRE2 goes on behind the repetition; Rust takes back the
 * round and tries what else there could be in it.  The same comes of both if
 * all else has been tried before.  Even then they may disagree on what the
 * last round was, and so on where a group in it was.
 */
static void
check_rounds(SeParser *parser, size_t start, const SeNode *repetition)
{
	const SeNode *body = repetition->children;

	if (repetition->has_groups && repetition->max == 0)
		se_scan_fail_at(parser, start, "named group is never matched");
	if (!body->can_be_empty || repetition->max != SE_UNBOUNDED)
		return;
	if (repetition->has_groups)
		se_scan_fail_at(parser, start, "named group in a repetition of what can be empty");
	if (body->more_after_empty)
		se_scan_fail_at(parser, start, "repetition of what can be empty and, failing that, more");
}

/*
 * Tell whether a repetition can match nothing and try, after that, to match
 * something.
 */
static bool
has_more_after_empty(const SeNode *repetition)
{
	if (!repetition->can_be_empty)
		return false;
	return (!repetition->greedy && repetition->max > repetition->min) ||
		repetition->children->more_after_empty;
}

/* Read a repetition operator and make the node of it and its operand. */
static SeNode *
parse_repetition(SeParser *parser, SeNode *operand)
{
	SeNode	   *node = make_node(SE_NODE_REPETITION);
	size_t		start = parser->pos;
	uint32_t	c = se_scan_next(parser);

	if (c == '{')
		parse_counts(parser, node);
	else
	{
		(void) se_scan_take(parser);
		node->min = (c == '+') ? 1 : 0;
		node->max = (c == '?') ? 1 : SE_UNBOUNDED;
	}
	node->greedy = !se_scan_take_text(parser, "?");
	if (parser->flags.swap_greed)
		node->greedy = !node->greedy;
	node->children = operand;
	node->can_be_empty = operand->can_be_empty || node->min == 0;
	node->has_groups = operand->has_groups;
	node->more_after_empty = has_more_after_empty(node);
	check_rounds(parser, start, node);
	return node;
}

/* Tell whether a repetition operator is next. */
static bool
at_repetition(const SeParser *parser)
{
	uint32_t	c = se_scan_next(parser);

	return c == '*' || c == '+' || c == '?' || c == '{';
}

/* ------------------------------------------------------------------ rules */

/* Read one atom, without repetitions; NULL if it only sets flags. */
static SeNode *
parse_atom(SeParser *parser)
{
	SeItem		item = {0};
	uint32_t	c = se_scan_next(parser);

	if (c == '(')
		return parse_group(parser);
	if (c == '[')
		return make_set(se_regex_parse_class(parser), parser->flags.unicode);
	(void) se_scan_take(parser);
	switch (c)
	{
		case '.':
			return make_dot(parser);
		case '^':
			return make_assertion(parser, parser->flags.multi_line ? SE_LINE_START : SE_TEXT_START);
		case '$':
			return make_assertion(parser, parser->flags.multi_line ? SE_LINE_END : SE_TEXT_END);
		case '\\':
			return parse_escape_node(parser);
		default:
			item.character = c;
			return make_literal(parser, &item);
	}
}

/* Read what stands between two |. */
static SeNode *
parse_concatenation(SeParser *parser)
{
	SeNode	   *node = make_node(SE_NODE_CONCATENATION);
	SeNode	  **end = &node->children;
	int			depth = parser->depth;

	node->can_be_empty = true;
	for (;;)
	{
		SeNode	   *child;

		se_scan_skip_space(parser);
		if (se_scan_next(parser) == SE_NO_CHAR || se_scan_next(parser) == '|' ||
			se_scan_next(parser) == ')')
			return node;
		child = at_repetition(parser) ? NULL : parse_atom(parser);
		se_scan_skip_space(parser);
		if (child == NULL)
		{
			if (at_repetition(parser))
				se_scan_fail(parser, "repetition of nothing");
			continue;
		}
		while (at_repetition(parser))
		{
			se_scan_descend(parser);
			child = parse_repetition(parser, child);
			se_scan_skip_space(parser);
		}
		parser->depth = depth;
		*end = child;
		end = &child->next;
		node->can_be_empty = node->can_be_empty && child->can_be_empty;
		node->more_after_empty = node->more_after_empty || child->more_after_empty;
		node->has_groups = node->has_groups || child->has_groups;
	}
}

/* Read alternatives up to the end of a group or of the pattern. */
static SeNode *
parse_alternation(SeParser *parser)
{
	SeNode	   *first = parse_concatenation(parser);
	SeNode	   *node;
	SeNode	   *last = first;

	if (se_scan_next(parser) != '|')
		return first;
	node = make_node(SE_NODE_ALTERNATION);
	node->children = first;
	node->can_be_empty = first->can_be_empty;
	node->more_after_empty = first->more_after_empty;
	node->has_groups = first->has_groups;
	while (se_scan_next(parser) == '|')
	{
		(void) se_scan_take(parser);
		last->next = parse_concatenation(parser);
		last = last->next;
		node->more_after_empty = node->more_after_empty || node->can_be_empty ||
			last->more_after_empty;
		node->can_be_empty = node->can_be_empty || last->can_be_empty;
		node->has_groups = node->has_groups || last->has_groups;
	}
	return node;
}

/* Tell whether a pattern is nothing but white space. */
static bool
is_blank(SeParser *parser)
{
	while (se_scan_is_space(se_scan_next(parser)))
		(void) se_scan_take(parser);
	return se_scan_next(parser) == SE_NO_CHAR;
}

/*
 * Read a pattern, which must be valid UTF-8.  If it is refused the result
 * says why, and has no tree.
 */
SePattern *
se_regex_parse(const char *text, size_t len)
{
	SeParser	parser = {0};
	SeNode	   *root;

	parser.text = text;

	parser.len = len;
	parser.flags.unicode = true;
	parser.pattern = palloc0(sizeof(SePattern));
	if (len > SE_MAX_PATTERN_LEN)
		se_scan_fail_at(&parser, 0, "pattern is longer than 8192 bytes");
	if (is_blank(&parser))
		se_scan_fail_at(&parser, 0, "pattern is blank");
	parser.pos = 0;

	root = parse_alternation(&parser);
	if (se_scan_next(&parser) == ')')
		se_scan_fail(&parser, "end of a group that was not started");
	if (!se_scan_failed(&parser))
		parser.pattern->root = root;
	return parser.pattern;
}
