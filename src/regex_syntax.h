/*
 * regex_syntax.h
 *		The dialect of regular expressions, and its translation to PCRE2's.
 *
 * Pure code over UTF-8 text: no tables, no catalogs, nothing is raised but
 * out of memory.  All results are allocated in the current memory context.
 */
#ifndef SE_REGEX_SYNTAX_H
#define SE_REGEX_SYNTAX_H

#include "charset.h"

/* The longest pattern, in bytes, and the deepest nesting. */
#define SE_MAX_PATTERN_LEN 8192
#define SE_MAX_PATTERN_NESTING 100

/* The largest count in a repetition. */
#define SE_MAX_REPETITION 65535

/* A repetition without a largest count. */
#define SE_UNBOUNDED UINT32_MAX

/* The callouts in a translation. */
#define SE_CALLOUT_START 1		/* a start that takes more than a glance */
#define SE_CALLOUT_REPEAT 2		/* an unbounded repetition starts */

typedef enum SeNodeKind
{
	SE_NODE_LITERAL,
	SE_NODE_SET,
	SE_NODE_ASSERTION,
	SE_NODE_CONCATENATION,
	SE_NODE_ALTERNATION,
	SE_NODE_REPETITION,
	SE_NODE_GROUP				/* a named one; others leave no trace */
} SeNodeKind;

typedef enum SeAssertion
{
	SE_TEXT_START,
	SE_TEXT_END,
	SE_LINE_START,
	SE_LINE_END,
	SE_WORD_BOUNDARY,
	SE_NOT_WORD_BOUNDARY,
	SE_WORD_START,
	SE_WORD_END,
	SE_WORD_START_HALF,
	SE_WORD_END_HALF
} SeAssertion;

/* A pattern, or a part of one. */
typedef struct SeNode
{
	SeNodeKind	kind;
	struct SeNode *children;
	struct SeNode *next;		/* the next one of the same parent */

	uint8_t		bytes[4];		/* of a literal */
	int			len;
	SeCharSet  *set;
	bool		unicode;		/* sets: of characters, not of bytes;
								 * assertions: look at characters */
	SeAssertion assertion;
	uint32_t	min;			/* of a repetition */
	uint32_t	max;
	bool		greedy;
	int			group;			/* its number */

	bool		can_be_empty;	/* may match nothing, if assertions allow */
	bool		more_after_empty;	/* having matched nothing, it may try to
									 * match something */
	bool		has_groups;
} SeNode;

/* A pattern that has been read. */
typedef struct SePattern
{
	SeNode	   *root;			/* NULL if there is a problem */
	char	  **names;			/* of the groups; the first one has number 1 */
	int			group_count;

	const char *problem;
	int			position;		/* of the problem, in bytes from the start */
} SePattern;

extern SePattern *se_regex_parse(const char *pattern, size_t len);
extern char *se_regex_translate(const SePattern *pattern, size_t *len);
extern bool se_regex_matches_anything(const SePattern *pattern);
extern int	se_utf8_encode(uint32_t character, uint8_t *bytes);

#endif							/* SE_REGEX_SYNTAX_H */
