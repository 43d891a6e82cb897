/*
 * preload.c
 *		What has to be loaded before the server, besides the sanitizer.
 *
 * The sanitizer's library looks this function up when it starts, which is at
 * the first allocation.  If it is not there, the message of that is looked up
 * in the user's language.  Where the first allocation is one of the C
 * library's own, for messages, that waits forever for a lock.
 */
#include <stddef.h>

extern char *swift_demangle(const char *name, size_t len, char *to, size_t *to_len, unsigned flags);

/* Demangle nothing. */
char *
swift_demangle(const char *name, size_t len, char *to, size_t *to_len, unsigned flags)
{
	return NULL;
}
