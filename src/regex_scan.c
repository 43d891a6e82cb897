/*
 * regex_scan.c
 *		Go through the text of a pattern, for the parser.
 *
 * The first problem that is found stays.  From then on there seem to be no
 * more characters, so that parsing runs to its end quickly.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "regex_scan.h"

/* Remember a problem, unless there is one already. */
void
se_scan_fail_at(SeParser *parser, size_t position, const char *problem)
{
	if (parser->pattern->problem != NULL)
		return;
	parser->pattern->problem = problem;
	parser->pattern->position = (int) position;
}

void
se_scan_fail(SeParser *parser, const char *problem)
{
	se_scan_fail_at(parser, parser->pos, problem);
}

/* Tell whether there is a problem. */
bool
se_scan_failed(const SeParser *parser)
{
	return parser->pattern->problem != NULL;
}

/* Read the character at a position; its length goes to len. */
static uint32_t
char_at(const SeParser *parser, size_t pos, int *len)
{
	const uint8_t *bytes = (const uint8_t *) parser->text +pos;

	*len = 0;
	if (pos >= parser->len || se_scan_failed(parser))
		return SE_NO_CHAR;
	*len = bytes[0] < 0x80 ? 1 : bytes[0] < 0xE0 ? 2 : bytes[0] < 0xF0 ? 3 : 4;
	switch (*len)
	{
		case 1:
			return bytes[0];
		case 2:
			return (bytes[0] & 0x1F) << 6 | (bytes[1] & 0x3F);
		case 3:
			return (bytes[0] & 0x0F) << 12 | (bytes[1] & 0x3F) << 6 | (bytes[2] & 0x3F);
		default:
			return (bytes[0] & 0x07) << 18 | (bytes[1] & 0x3F) << 12 |
				(bytes[2] & 0x3F) << 6 | (bytes[3] & 0x3F);
	}
}

/* Look at the next character. */
uint32_t
se_scan_next(const SeParser *parser)
{
	int			len;

	return char_at(parser, parser->pos, &len);
}

/* Look at the one after the next. */
uint32_t
se_scan_second(const SeParser *parser)
{
	int			len;

	(void) char_at(parser, parser->pos, &len);
	return char_at(parser, parser->pos + len, &len);
}

/* Go past the next character, and return it. */
uint32_t
se_scan_take(SeParser *parser)
{
	int			len;
	uint32_t	c = char_at(parser, parser->pos, &len);

	parser->pos += len;
	return c;
}

/* Go past a text if it is next. */
bool
se_scan_take_text(SeParser *parser, const char *text)
{
	size_t		len = strlen(text);

	if (se_scan_failed(parser) || parser->len - parser->pos < len ||
		memcmp(parser->text +parser->pos, text, len) != 0)
		return false;
	parser->pos += len;
	return true;
}

/* Tell whether a character is white space. */
bool
se_scan_is_space(uint32_t c)
{
	for (int i = 0; i < se_white_space_count; i++)
	{
		if (c >= se_white_space[i].first && c <= se_white_space[i].last)
			return true;
	}
	return false;
}

/* Go past white space and comments, if they do not count. */
void
se_scan_skip_space(SeParser *parser)
{
	if (!parser->flags.ignore_space)
		return;
	for (;;)
	{
		if (se_scan_is_space(se_scan_next(parser)))
			(void) se_scan_take(parser);
		else if (se_scan_next(parser) == '#')
		{
			while (se_scan_next(parser) != SE_NO_CHAR && se_scan_take(parser) != '\n')
				;
		}
		else
			break;
	}
}

/* Go past the next character and what does not count after it. */
void
se_scan_take_and_skip(SeParser *parser)
{
	(void) se_scan_take(parser);
	se_scan_skip_space(parser);
}

/*
 * Look at the one after the next, past what does not count.  A comment ends
 * at its first word here, as it does in Rust.
 */
uint32_t
se_scan_second_past_space(const SeParser *parser)
{
	size_t		pos = parser->pos;
	bool		in_comment = false;
	uint32_t	c;
	int			len;

	if (!parser->flags.ignore_space)
		return se_scan_second(parser);
	(void) char_at(parser, pos, &len);
	for (;;)
	{
		pos += len;
		c = char_at(parser, pos, &len);
		if (c == '#' && !in_comment)
			in_comment = true;
		else if (!se_scan_is_space(c))
			return c;
	}
}

/* Go one level down; too deep is a problem. */
void
se_scan_descend(SeParser *parser)
{
	if (++parser->depth > SE_MAX_PATTERN_NESTING)
		se_scan_fail(parser, "pattern is nested too deeply");
}

/* Add all that differs by case only, if case does not count. */
void
se_scan_fold(const SeParser *parser, SeCharSet *set)
{
	se_charset_tidy(set);
	if (!parser->flags.ignore_case)
		return;
	if (parser->flags.unicode)
		se_charset_fold(set);
	else
		se_charset_fold_ascii(set);
}

/* The last member that a set can have. */
uint32_t
se_scan_last_member(const SeParser *parser)
{
	return parser->flags.unicode ? SE_LAST_CHAR : SE_LAST_BYTE;
}
