/*
 * regex_class.c
 *		Read those parts of a pattern that stand for characters: escapes, and
 *		classes in brackets.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "regex_scan.h"

/* Tell whether a number is one of a character. */
static bool
is_character(uint32_t c)
{
	return c <= SE_LAST_CHAR && (c < 0xD800 || c > 0xDFFF);
}

/* The value of a hexadecimal digit, or -1. */
static int
hex_value(uint32_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Read a hexadecimal digit into a number; false if there is none. */
static bool
take_hex_digit(SeParser *parser, uint32_t *number)
{
	int			value = hex_value(se_scan_next(parser));

	if (value < 0)
	{
		se_scan_fail(parser, "hexadecimal digit expected");
		return false;
	}
	if (*number <= SE_LAST_CHAR)
		*number = *number << 4 | value;
	return true;
}

/* Read what follows \x, \u or \U: so many digits, or some in braces. */
static void
parse_hex(SeParser *parser, SeItem *item, int digits)
{
	size_t		start = parser->pos;
	uint32_t	number = 0;

	se_scan_take_and_skip(parser);	/* the letter */
	if (se_scan_next(parser) == '{')
	{
		se_scan_take_and_skip(parser);
		do
		{
			if (!take_hex_digit(parser, &number))
				return;
			se_scan_take_and_skip(parser);
		} while (se_scan_next(parser) != '}');
		se_scan_take_and_skip(parser);
	}
	else
	{
		for (int i = 0; i < digits; i++)
		{
			if (!take_hex_digit(parser, &number))
				return;
			se_scan_take_and_skip(parser);
		}
		item->is_byte = (digits == 2);
	}
	if (!is_character(number))
		se_scan_fail_at(parser, start, "number is not that of a character");
	item->character = number;
}

/* Read what follows \p or \P: a letter, or a name in braces. */
static void
parse_property(SeParser *parser, SeItem *item)
{
	size_t		start = parser->pos;
	bool		negated = (se_scan_take(parser) == 'P');
	char		name[64];
	size_t		len = 0;

	se_scan_skip_space(parser);
	if (se_scan_next(parser) != '{')
	{
		if (se_scan_next(parser) == '\\' || se_scan_next(parser) >= 0x80)
			se_scan_fail(parser, "name of a Unicode property expected");
		name[len++] = (char) se_scan_next(parser);
		se_scan_take_and_skip(parser);
	}
	else
	{
		se_scan_take_and_skip(parser);
		while (se_scan_next(parser) != '}' && se_scan_next(parser) != SE_NO_CHAR)
		{
			if (len < sizeof(name))
				name[len++] = se_scan_next(parser) < 0x80 ? (char) se_scan_next(parser) : '?';
			se_scan_take_and_skip(parser);
		}
		if (se_scan_take(parser) == SE_NO_CHAR)
			se_scan_fail_at(parser, start, "name of a Unicode property has no end");
	}
	if (!parser->flags.unicode)
		se_scan_fail_at(parser, start, "Unicode property where Unicode is switched off");
	if (se_scan_failed(parser))
		return;

	item->is_set = true;
	item->set = se_charset_property(name, len);
	if (item->set == NULL)
	{
		se_scan_fail_at(parser, start, "Unicode property is not known");
		return;
	}
	se_scan_fold(parser, item->set);
	if (negated)
		se_charset_negate(item->set, SE_LAST_CHAR);
}

/* Make the set that \d, \s or \w stands for. */
static SeCharSet *
make_perl_class(const SeParser *parser, uint32_t letter)
{
	switch (letter)
	{
		case 'd':
			return parser->flags.unicode ? se_charset_digits()
				: se_charset_ascii_class("digit", 5);
		case 's':
			return parser->flags.unicode ? se_charset_spaces()
				: se_charset_ascii_class("space", 5);
		default:
			return parser->flags.unicode ? se_charset_words()
				: se_charset_ascii_class("word", 4);
	}
}

/*
 * Read \d, \s, \w and their opposites.  The sets are large, so each is made
 * once.
 */
static void
parse_perl_class(SeParser *parser, SeItem *item)
{
	uint32_t	c = se_scan_take(parser);
	uint32_t	letter = c | 0x20;
	SeCharSet **made = &parser->classes[parser->flags.unicode][letter == 'd' ? 0 : letter == 's' ? 1 : 2][c != letter];

	if (*made == NULL)
	{
		*made = make_perl_class(parser, letter);
		if (c != letter)
			se_charset_negate(*made, se_scan_last_member(parser));
	}
	item->is_set = true;
	item->set = *made;
}

/* What \ and a letter stands for when it is a control character, or 0. */
static uint32_t
control_character(uint32_t c)
{
	switch (c)
	{
		case 'a':
			return '\a';
		case 'f':
			return '\f';
		case 't':
			return '\t';
		case 'n':
			return '\n';
		case 'r':
			return '\r';
		case 'v':
			return '\v';
		default:
			return 0;
	}
}

/* Remember why an escape is refused. */
static void
refuse_escape(SeParser *parser, size_t start)
{
	uint32_t	c = se_scan_next(parser);

	if (c == SE_NO_CHAR)
		se_scan_fail_at(parser, start, "escape sequence has no end");
	else if (c >= '0' && c <= '9')
		se_scan_fail_at(parser, start, "back-references and octal numbers are not supported");
	else
		se_scan_fail_at(parser, start, "escape sequence is not known");
}

/* Read an escape that stands for a character or a set; \ has been read. */
void
se_regex_parse_escape(SeParser *parser, SeItem *item)
{
	size_t		start = parser->pos - 1;
	uint32_t	c = se_scan_next(parser);

	switch (c)
	{
		case 'x':
			parse_hex(parser, item, 2);
			return;
		case 'u':
			parse_hex(parser, item, 4);
			return;
		case 'U':
			parse_hex(parser, item, 8);
			return;
		case 'p':
		case 'P':
			parse_property(parser, item);
			return;
		case 'd':
		case 'D':
		case 's':
		case 'S':
		case 'w':
		case 'W':
			parse_perl_class(parser, item);
			return;
		default:
			break;
	}
	item->character = control_character(c);
	if (item->character == 0 && c < 0x80 && c != '<' && c != '>' &&
		!(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
		item->character = c;
	if (item->character == 0 && c != 0)
		refuse_escape(parser, start);
	(void) se_scan_take(parser);
}

/* Read [:name:] in a class; NULL if there is none. */
static SeCharSet *
parse_ascii_class(SeParser *parser)
{
	size_t		start = parser->pos;
	size_t		name;
	bool		negated;
	SeCharSet  *set = NULL;

	if (!se_scan_take_text(parser, "[:"))
		return NULL;
	negated = se_scan_take_text(parser, "^");
	name = parser->pos;
	while (se_scan_next(parser) != ':' && se_scan_next(parser) != SE_NO_CHAR)
		(void) se_scan_take(parser);
	if (se_scan_take_text(parser, ":]"))
		set = se_charset_ascii_class(parser->text +name, parser->pos - 2 - name);
	if (set == NULL)
	{
		parser->pos = start;	/* a class in the class, then */
		return NULL;
	}
	se_scan_fold(parser, set);
	if (negated)
		se_charset_negate(set, se_scan_last_member(parser));
	return set;
}

/* Read an item of a class. */
static void
parse_class_item(SeParser *parser, SeItem *item)
{
	size_t		start = parser->pos;

	memset(item, 0, sizeof(*item));
	item->character = se_scan_take(parser);
	if (item->character == '\\')
	{
		item->character = 0;
		se_regex_parse_escape(parser, item);
	}
	if (!item->is_set && !parser->flags.unicode && item->character >= 0x80 &&
		!item->is_byte)
		se_scan_fail_at(parser, start, "character that is not ASCII in a class of bytes");
}

/* Read an item of a class, or a range, and add it to the class. */
static void
parse_class_range(SeParser *parser, SeCharSet *set)
{
	size_t		start = parser->pos;
	SeItem		first;
	SeItem		last;
	uint32_t	after;

	parse_class_item(parser, &first);
	se_scan_skip_space(parser);
	last = first;
	after = se_scan_second_past_space(parser);
	if (se_scan_next(parser) == '-' && after != ']' && after != '-')
	{
		se_scan_take_and_skip(parser);
		parse_class_item(parser, &last);
		if (first.is_set || last.is_set)
			se_scan_fail_at(parser, start, "range has an end that is not a character");
		if (last.character < first.character)
			se_scan_fail_at(parser, start, "range ends before it starts");
	}
	if (se_scan_failed(parser))
		return;
	if (first.is_set)
		se_charset_add_set(set, first.set);
	else
		se_charset_add(set, first.character, last.character);
}

/* Tell whether an operator is next in a class, and go past it. */
static bool
take_set_operator(SeParser *parser, SeSetOperator *operator)
{
	if (se_scan_take_text(parser, "&&"))
		*operator = SE_INTERSECTION;
	else if (se_scan_take_text(parser, "--"))
		*operator = SE_DIFFERENCE;
	else if (se_scan_take_text(parser, "~~"))
		*operator = SE_SYMMETRIC_DIFFERENCE;
	else
		return false;
	return true;
}

/* Read what stands before the items of a class: ^, and - and ] in first place. */
static bool
parse_class_start(SeParser *parser, SeCharSet *set)
{
	bool		negated = false;
	bool		empty = true;

	se_scan_take_and_skip(parser);	/* [ */
	if (se_scan_next(parser) == '^')
	{
		negated = true;
		se_scan_take_and_skip(parser);
	}
	while (se_scan_next(parser) == '-')
	{
		empty = false;
		se_charset_add(set, '-', '-');
		se_scan_take_and_skip(parser);
	}
	if (empty && se_scan_next(parser) == ']')
	{
		se_charset_add(set, ']', ']');
		se_scan_take_and_skip(parser);
	}
	return negated;
}

/* Read what a class has before, between or after operators. */
static void
parse_class_operand(SeParser *parser, SeCharSet *set)
{
	for (;;)
	{
		uint32_t	c;
		SeCharSet  *inner;

		se_check_for_interrupts();
		se_scan_skip_space(parser);
		c = se_scan_next(parser);
		if (c == SE_NO_CHAR || c == ']' ||
			((c == '&' || c == '-' || c == '~') && se_scan_second(parser) == c))
			break;
		if (c == '[')
		{
			inner = parse_ascii_class(parser);
			if (inner == NULL)
				inner = se_regex_parse_class(parser);
			se_charset_add_set(set, inner);
		}
		else
			parse_class_range(parser, set);
	}
	se_charset_tidy(set);
}

/* Read a class; [ is next.  Operators go from left to right. */
SeCharSet *
se_regex_parse_class(SeParser *parser)
{
	size_t		start = parser->pos;
	SeCharSet  *set = se_charset_create();
	SeSetOperator operator;
	bool		negated;

	se_scan_descend(parser);
	negated = parse_class_start(parser, set);
	parse_class_operand(parser, set);
	while (take_set_operator(parser, &operator))
	{
		SeCharSet  *operand = se_charset_create();

		parse_class_operand(parser, operand);
		se_scan_fold(parser, set);
		se_scan_fold(parser, operand);
		set = se_charset_combine(operator, set, operand, se_scan_last_member(parser));
	}
	if (se_scan_take(parser) != ']')
		se_scan_fail_at(parser, start, "class has no end");
	se_scan_fold(parser, set);
	if (negated)
		se_charset_negate(set, se_scan_last_member(parser));
	parser->depth--;
	return set;
}
