/*
 * charset.h
 *		Sets of characters, or of bytes: what a character class stands for.
 *
 * Pure code, but that it lets itself be interrupted in the server.  Sets are allocated in the current memory context and never
 * freed one by one.
 */
#ifndef SE_CHARSET_H
#define SE_CHARSET_H

#include "unicode_data.h"

#ifdef FRONTEND
#define se_check_for_interrupts() ((void) 0)
#else
#include "miscadmin.h"
#define se_check_for_interrupts() CHECK_FOR_INTERRUPTS()
#endif

#define SE_LAST_CHAR 0x10FFFF
#define SE_LAST_BYTE 0xFF

/*
 * A set: ascending ranges that neither overlap nor touch, except between
 * se_charset_add() and se_charset_tidy().
 */
typedef struct SeCharSet
{
	SeCharRange *ranges;
	int			count;
	int			room;
} SeCharSet;

typedef enum SeSetOperator
{
	SE_INTERSECTION,
	SE_DIFFERENCE,
	SE_SYMMETRIC_DIFFERENCE
} SeSetOperator;

extern SeCharSet *se_charset_create(void);
extern SeCharSet *se_charset_of_range(uint32_t first, uint32_t last);
extern void se_charset_add(SeCharSet *set, uint32_t first, uint32_t last);
extern void se_charset_add_set(SeCharSet *set, const SeCharSet *other);
extern void se_charset_tidy(SeCharSet *set);

extern void se_charset_negate(SeCharSet *set, uint32_t last);
extern void se_charset_fold(SeCharSet *set);
extern void se_charset_fold_ascii(SeCharSet *set);
extern SeCharSet *se_charset_combine(SeSetOperator operator, const SeCharSet *left,
									 const SeCharSet *right, uint32_t last);
extern bool se_charset_equal(const SeCharSet *left, const SeCharSet *right);
extern bool se_charset_has_all(const SeCharSet *set, uint32_t first, uint32_t last);
extern bool se_charset_has_any(const SeCharSet *set, uint32_t first, uint32_t last);

extern SeCharSet *se_charset_digits(void);
extern SeCharSet *se_charset_spaces(void);
extern SeCharSet *se_charset_words(void);
extern SeCharSet *se_charset_ascii_class(const char *name, size_t len);
extern SeCharSet *se_charset_property(const char *name, size_t len);

#endif							/* SE_CHARSET_H */
