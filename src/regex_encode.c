/*
 * regex_encode.c
 *		Write sets of bytes and of characters down for PCRE2's byte mode.
 *
 * A set of characters becomes alternatives of sequences of bytes: those of
 * their encodings in UTF-8.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "regex_encode.h"

const SeEncodingLength se_encoding_lengths[SE_ENCODING_LENGTHS] =
{
	{0, 0x00, 0x80, {{0, 0x7F}, {1, 0}}},
	{1, 0xC0, 0x20, {{0x80, 0x7FF}, {1, 0}}},
	{2, 0xE0, 0x10, {{0x800, 0xD7FF}, {0xE000, 0xFFFF}}},
	{3, 0xF0, 0x05, {{0x10000, SE_LAST_CHAR}, {1, 0}}},
};

/*
 * Write a byte so that it means itself everywhere.
 */
void
se_encode_byte(StringInfo out, int byte)
{
	if ((byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
		(byte >= 'a' && byte <= 'z'))
		appendStringInfoChar(out, byte);
	else
		appendStringInfo(out, "\\x%02X", byte);
}

/* Write the ranges of bytes that are, or are not, in a class. */
static void
write_ranges(StringInfo out, const bool *members, bool wanted)
{
	int			byte = 0;

	while (byte < 256)
	{
		int			first = byte;

		while (byte < 256 && members[byte] == wanted)
			byte++;
		if (byte > first)
			se_encode_byte(out, first);
		if (byte > first + 1)
		{
			if (byte > first + 2)
				appendStringInfoChar(out, '-');
			se_encode_byte(out, byte - 1);
		}
		if (byte == first)
			byte++;
	}
}

/* Write a class of bytes, in the form that PCRE2 is fastest with. */
static void
write_byte_class(StringInfo out, const bool *members)
{
	int			count = 0;

	for (int i = 0; i < 256; i++)
		count += members[i];
	if (count == 0)
		appendStringInfoString(out, "(?!)");
	else if (count == 256)
		appendStringInfoChar(out, '.');
	else if (count == 255 && !members['\n'])
		appendStringInfoString(out, "\\N");
	else if (count == 1)
		write_ranges(out, members, true);
	else
	{
		appendStringInfoString(out, count > 128 ? "[^" : "[");
		write_ranges(out, members, count <= 128);
		appendStringInfoChar(out, ']');
	}
}

static char *tail_expression(const SeCharSet *set, uint32_t first, int tail);

/*
 * Write alternatives for bytes that are followed by tails: one for all bytes
 * whose tails are the same.  The byte lead + i is followed by tails[i], or is
 * not matched if that is NULL.  Returns how many alternatives there are.
 */
static int
write_alternatives(StringInfo out, char **tails, int count, int lead)
{
	int			alternatives = 0;

	for (int i = 0; i < count; i++)
	{
		bool		members[256] = {false};

		if (tails[i] == NULL)
			continue;
		for (int j = count - 1; j >= i; j--)
		{
			if (tails[j] == NULL || strcmp(tails[j], tails[i]) != 0)
				continue;
			members[lead + j] = true;
			if (j > i)
				tails[j] = NULL;
		}
		if (alternatives++ > 0)
			appendStringInfoChar(out, '|');
		write_byte_class(out, members);
		appendStringInfoString(out, tails[i]);
	}
	return alternatives;
}

/* Make the expressions of the blocks of characters that bytes stand for. */
static void
make_tails(const SeCharSet *set, uint32_t first, int tail, char **tails, int count)
{
	for (int i = 0; i < count; i++)
		tails[i] = tail_expression(set, first + ((uint32_t) i << (6 * tail)), tail);
}

/*
 * Make the expression for the last bytes of the encodings of those characters
 * in a block that are in a set; NULL if there are none.
 */
static char *
tail_expression(const SeCharSet *set, uint32_t first, int tail)
{
	static const char *const anything[] =
	{
		"", "[\\x80-\\xBF]", "[\\x80-\\xBF]{2}", "[\\x80-\\xBF]{3}"
	};
	uint32_t	last = first + ((uint32_t) 1 << (6 * tail)) - 1;
	char	   *tails[64];
	StringInfoData out;

	se_check_for_interrupts();
	if (!se_charset_has_any(set, first, last))
		return NULL;
	if (se_charset_has_all(set, first, last))
		return pstrdup(anything[tail]);
	initStringInfo(&out);
	make_tails(set, first, tail - 1, tails, 64);
	if (write_alternatives(&out, tails, 64, 0x80) > 1)
		return psprintf("(?:%s)", out.data);
	return out.data;
}

/*
 * Write the alternatives for the encodings of some length of a set's
 * characters, and return how many there are.
 */
static int
write_encodings(StringInfo out, const SeCharSet *set, const SeEncodingLength *length)
{
	SeCharSet	limits = {0};
	char	   *tails[0x80];

	for (int i = 0; i < 2 && length->ranges[i].first <= length->ranges[i].last; i++)
		se_charset_add(&limits, length->ranges[i].first, length->ranges[i].last);
	make_tails(se_charset_combine(SE_INTERSECTION, set, &limits, SE_LAST_CHAR),
			   0, length->tail, tails, length->leads);
	return write_alternatives(out, tails, length->leads, length->lead);
}

/*
 * Make an expression of the encodings of one length, NULL if there are none.
 */
char *
se_encode_characters(const SeCharSet *set, const SeEncodingLength *length)
{
	StringInfoData out;
	int			alternatives;

	initStringInfo(&out);
	alternatives = write_encodings(&out, set, length);
	return alternatives > 1 ? psprintf("(?:%s)", out.data)
		: alternatives == 1 ? out.data : NULL;
}

/*
 * Make an expression for a set of bytes.
 */
char *
se_encode_bytes(const SeCharSet *set)
{
	bool		members[256];
	StringInfoData out;

	for (int i = 0; i < 256; i++)
		members[i] = se_charset_has_any(set, i, i);
	initStringInfo(&out);
	write_byte_class(&out, members);
	return out.data;
}

/*
 * Make the class of the bytes that encodings of some length start with.
 */
char *
se_encode_leads(const SeCharSet *set, const SeEncodingLength *length)
{
	bool		members[256] = {false};
	uint32_t	block = (uint32_t) 1 << (6 * length->tail);
	StringInfoData out;

	for (int i = 0; i < length->leads; i++)
		members[length->lead + i] = se_charset_has_any(set, i * block, (i + 1) * block - 1);
	initStringInfo(&out);
	write_byte_class(&out, members);
	return out.data;
}
