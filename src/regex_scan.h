/*
 * regex_scan.h
 *		What the parts of the parser of patterns share.
 */
#ifndef SE_REGEX_SCAN_H
#define SE_REGEX_SCAN_H

#include "regex_syntax.h"

/* No character: the pattern is at its end. */
#define SE_NO_CHAR UINT32_MAX

typedef struct SeFlags
{
	bool		ignore_case;	/* i */
	bool		multi_line;		/* m */
	bool		dot_all;		/* s */
	bool		swap_greed;		/* U */
	bool		unicode;		/* u */
	bool		ignore_space;	/* x */
} SeFlags;

typedef struct SeParser
{
	const char *text;
	size_t		len;
	size_t		pos;
	SeFlags		flags;
	int			depth;			/* of groups, repetitions and classes */
	SePattern  *pattern;
	int			names_room;
	SeCharSet  *classes[2][3][2];	/* \d, \s, \w and \D, \S, \W in both
									 * modes, when they have been met */
} SeParser;

/* What stands for one character, or for a set of them. */
typedef struct SeItem
{
	bool		is_set;
	uint32_t	character;
	bool		is_byte;		/* written \xNN */
	SeCharSet  *set;
} SeItem;

extern void se_scan_fail_at(SeParser *parser, size_t position, const char *problem);
extern void se_scan_fail(SeParser *parser, const char *problem);
extern bool se_scan_failed(const SeParser *parser);
extern uint32_t se_scan_next(const SeParser *parser);
extern uint32_t se_scan_second(const SeParser *parser);
extern uint32_t se_scan_second_past_space(const SeParser *parser);
extern uint32_t se_scan_take(SeParser *parser);
extern bool se_scan_take_text(SeParser *parser, const char *text);
extern bool se_scan_is_space(uint32_t c);
extern void se_scan_skip_space(SeParser *parser);
extern void se_scan_take_and_skip(SeParser *parser);
extern void se_scan_descend(SeParser *parser);
extern void se_scan_fold(const SeParser *parser, SeCharSet *set);
extern uint32_t se_scan_last_member(const SeParser *parser);

extern void se_regex_parse_escape(SeParser *parser, SeItem *item);
extern SeCharSet *se_regex_parse_class(SeParser *parser);

#endif							/* SE_REGEX_SCAN_H */
