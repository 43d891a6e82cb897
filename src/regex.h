/*
 * regex.h
 *		Search bytes for regular expressions of the dialect of Rust's
 *		regex::bytes.
 */
#ifndef SE_REGEX_H
#define SE_REGEX_H

/* A compiled pattern, kept for later calls of the same backend. */
typedef struct SeRegex SeRegex;

/* A part of the bytes searched; start is -1 if the group took no part. */
typedef struct SeSpan
{
	ptrdiff_t	start;
	ptrdiff_t	end;
} SeSpan;

extern const SeRegex *se_regex_compile(text *pattern, const char *what);
extern const SeRegex *se_regex_compile_utf8(const char *pattern, size_t len, const char *what);
extern int	se_regex_group(const SeRegex * regex, const char *name);
extern int	se_regex_group_count(const SeRegex * regex);
extern bool se_regex_search(const SeRegex * regex, const uint8_t *subject, size_t len, SeSpan *spans);

#endif							/* SE_REGEX_H */
