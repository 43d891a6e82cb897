/*
 * fuzz.h
 *		What the fuzz targets and their harness share.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "compat.h"
#include "wire.h"

/* Bytes that are read from the front, by targets that make values of them. */
typedef struct FuzzInput
{
	const uint8_t *data;
	size_t		size;
} FuzzInput;

/* A property that must hold, whatever the input is. */
#define FUZZ_CHECK(condition) \
	((condition) ? (void) 0 : fuzz_fail(__FILE__, __LINE__, #condition))

/* A call that may raise an error. */
typedef void (*FuzzCall) (void *arg);

/* Targets.  Each runs in a memory context that is reset afterwards. */
extern void fuzz_wire(const uint8_t *data, size_t size);
extern void fuzz_regex(const uint8_t *data, size_t size);
extern void fuzz_policy(const uint8_t *data, size_t size);
extern void fuzz_arguments(const uint8_t *data, size_t size);

pg_noreturn extern void fuzz_fail(const char *file, int line, const char *condition);
extern int	fuzz_attempt(FuzzCall call, void *arg);
extern bool fuzz_is_text(const uint8_t *data, size_t size);
extern bool fuzz_same_entry(const SeEntry *left, const SeEntry *right);
extern void fuzz_check_stored(bytea *stored, const SeEntry *entries, int count);

#endif							/* FUZZ_H */
