/*
 * encode.h - pairs as parameters of statements
 */
#ifndef ENCODE_H
#define ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load.h"

#define BYTEA_OID	17

/* Bytes that one function after another writes anew.  Zeroes are an empty one. */
typedef struct Buffer
{
	char	   *bytes;
	size_t		len;
	size_t		room;
} Buffer;

extern void encode_array(Buffer *buffer, const Pair *pairs, int count, bool values);
extern void encode_message(Buffer *buffer, const Pair *pairs, int count);
extern void encode_copy(Buffer *buffer, const Pair *pairs, int count);
extern void encode_integer(Buffer *buffer, int64_t number);
extern void encode_bytes(Buffer *buffer, const void *bytes, size_t len);

#endif							/* ENCODE_H */
