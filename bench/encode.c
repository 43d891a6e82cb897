/*
 * encode.c - pairs as parameters of statements: arrays, protobuf, COPY data
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"

static char *
extend(Buffer *buffer, size_t len)
{
	if (buffer->room - buffer->len < len)
	{
		buffer->room = 2 * (buffer->len + len);
		buffer->bytes = realloc(buffer->bytes, buffer->room);
		if (buffer->bytes == NULL)
		{
			fputs("out of memory\n", stderr);
			exit(1);
		}
	}
	buffer->len += len;
	return buffer->bytes + buffer->len - len;
}

static void
add_bytes(Buffer *buffer, const void *bytes, size_t len)
{
	memcpy(extend(buffer, len), bytes, len);
}

/* Add an integer as PostgreSQL's protocol has it, the highest byte first. */
static void
add_integer(Buffer *buffer, int64_t number, int size)
{
	char	   *bytes = extend(buffer, size);

	for (int i = 0; i < size; i++)
		bytes[i] = (char) ((uint64_t) number >> 8 * (size - 1 - i));
}

static void
add_field(Buffer *buffer, const void *bytes, size_t len)
{
	add_integer(buffer, (int64_t) len, 4);
	add_bytes(buffer, bytes, len);
}

/* Have a bytea[] in a buffer, of keys or values. */
void
encode_array(Buffer *buffer, const Pair *pairs, int count, bool values)
{
	buffer->len = 0;
	add_integer(buffer, 1, 4);	/* dimensions */
	add_integer(buffer, 0, 4);	/* nulls */
	add_integer(buffer, BYTEA_OID, 4);
	add_integer(buffer, count, 4);
	add_integer(buffer, 1, 4);	/* lower bound */
	for (int i = 0; i < count; i++)
	{
		if (values)
			add_field(buffer, pairs[i].value, pairs[i].value_len);
		else
			add_field(buffer, pairs[i].key, pairs[i].key_len);
	}
}

static int
varint_size(size_t number)
{
	int			size = 1;

	while (number >>= 7)
		size++;
	return size;
}

/* Add the head of a protobuf field of bytes. */
static void
add_tag(Buffer *buffer, int field, size_t len)
{
	*extend(buffer, 1) = (char) (field << 3 | 2);
	for (; len >= 0x80; len >>= 7)
		*extend(buffer, 1) = (char) (len | 0x80);
	*extend(buffer, 1) = (char) len;
}

/* Have a message log.ingest.v1.PutRequest in a buffer. */
void
encode_message(Buffer *buffer, const Pair *pairs, int count)
{
	buffer->len = 0;
	for (int i = 0; i < count; i++)
	{
		const Pair *pair = &pairs[i];

		add_tag(buffer, 1, 2 + varint_size(pair->key_len) + pair->key_len + varint_size(pair->value_len) + pair->value_len);
		add_tag(buffer, 1, pair->key_len);
		add_bytes(buffer, pair->key, pair->key_len);
		add_tag(buffer, 2, pair->value_len);
		add_bytes(buffer, pair->value, pair->value_len);
	}
}

/* Have a bigint in a buffer. */
void
encode_integer(Buffer *buffer, int64_t number)
{
	buffer->len = 0;
	add_integer(buffer, number, 8);
}

/* Have bytes as they are in a buffer. */
void
encode_bytes(Buffer *buffer, const void *bytes, size_t len)
{
	buffer->len = 0;
	add_bytes(buffer, bytes, len);
}

/* Have all the data of a COPY in a buffer. */
void
encode_copy(Buffer *buffer, const Pair *pairs, int count)
{
	encode_bytes(buffer, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
	for (int i = 0; i < count; i++)
	{
		add_integer(buffer, 2, 2);	/* columns */
		add_field(buffer, pairs[i].key, pairs[i].key_len);
		add_field(buffer, pairs[i].value, pairs[i].value_len);
	}
	add_integer(buffer, -1, 2); /* no more rows */
}
