/*
 * wire.c
 *		Encoder and decoder of the batch framing.
 *
 * The decoder is strict: a truncated field, an over-long varint, field number
 * zero, an unbalanced group or a known field of the wrong type is malformed.
 * Unknown fields are skipped, as protobuf asks, and of a repeated singular
 * field the last one counts.
 */
#include "wire.h"

#include <string.h>

typedef enum WireType
{
	WIRE_VARINT = 0,
	WIRE_FIXED64 = 1,
	WIRE_BYTES = 2,
	WIRE_START_GROUP = 3,
	WIRE_END_GROUP = 4,
	WIRE_FIXED32 = 5
} WireType;

#define MAX_GROUP_DEPTH 64

#define FIELD_TAG(field, type) (((field) << 3) | (type))
#define ENTRY_KEY 1
#define ENTRY_VALUE 2
#define RESPONSE_SEQUENCE_NUMBER 1

/* Count the bytes of a varint. */
static size_t
varint_size(uint64_t number)
{
	size_t		size = 1;

	while (number >= 0x80)
	{
		number >>= 7;
		size++;
	}
	return size;
}

/* Write a varint, return the byte after it. */
static uint8_t *
put_varint(uint8_t *to, uint64_t number)
{
	while (number >= 0x80)
	{
		*to++ = (uint8_t) (number | 0x80);
		number >>= 7;
	}
	*to++ = (uint8_t) number;
	return to;
}

/* Count the bytes of a bytes field; an empty one is left out. */
static size_t
bytes_field_size(size_t len)
{
	return len == 0 ? 0 : 1 + varint_size(len) + len;
}

/* Write a bytes field, return the byte after it. */
static uint8_t *
put_bytes_field(uint8_t *to, uint32_t field, const uint8_t *bytes, size_t len)
{
	if (len == 0)
		return to;
	*to++ = (uint8_t) FIELD_TAG(field, WIRE_BYTES);
	to = put_varint(to, len);
	memcpy(to, bytes, len);
	return to + len;
}

/* Count the bytes of an entry's fields. */
static size_t
entry_body_size(const SeEntry *entry)
{
	return bytes_field_size(entry->key_len) + bytes_field_size(entry->value_len);
}

/*
 * Count the bytes that se_wire_put_entry() will write.
 */
size_t
se_wire_entry_size(const SeEntry *entry)
{
	size_t		body = entry_body_size(entry);

	return 1 + varint_size(body) + body;
}

/*
 * Write one entry of a GetResponse and return the byte after it.  The caller
 * has made room for se_wire_entry_size() bytes.
 */
uint8_t *
se_wire_put_entry(uint8_t *to, const SeEntry *entry)
{
	*to++ = (uint8_t) FIELD_TAG(SE_WIRE_GET_RESPONSE, WIRE_BYTES);
	to = put_varint(to, entry_body_size(entry));
	to = put_bytes_field(to, ENTRY_KEY, entry->key, entry->key_len);
	return put_bytes_field(to, ENTRY_VALUE, entry->value, entry->value_len);
}

/*
 * Write the sequence number of a GetResponse and return the byte after it.
 * The caller has made room for SE_WIRE_MAX_PREFIX bytes.
 */
uint8_t *
se_wire_put_sequence_number(uint8_t *to, uint64_t number)
{
	*to++ = (uint8_t) FIELD_TAG(RESPONSE_SEQUENCE_NUMBER, WIRE_VARINT);
	return put_varint(to, number);
}

/* Note what is wrong and where; always false. */
static bool
malformed(SeWireReader *reader, const char *problem)
{
	reader->problem = problem;
	return false;
}

/* Read a varint. */
static bool
read_varint(SeWireReader *reader, uint64_t *number)
{
	uint64_t	result = 0;

	for (int shift = 0;; shift += 7)
	{
		uint8_t		byte;

		if (reader->next >= reader->end)
			return malformed(reader, "truncated varint");
		byte = *reader->next++;
		if (shift == 63 && byte > 1)
			return malformed(reader, "varint exceeds 64 bits");
		result |= (uint64_t) (byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
		{
			*number = result;
			return true;
		}
	}
}

/* Read a field's number and type. */
static bool
read_tag(SeWireReader *reader, uint32_t *field, WireType *type)
{
	uint64_t	tag;

	if (!read_varint(reader, &tag))
		return false;
	if (tag > UINT32_MAX)
		return malformed(reader, "field number out of range");
	if (tag >> 3 == 0)
		return malformed(reader, "field number zero");
	if ((tag & 7) > WIRE_FIXED32)
		return malformed(reader, "unknown wire type");
	*field = (uint32_t) (tag >> 3);
	*type = (WireType) (tag & 7);
	return true;
}

/* Step over a number of bytes. */
static bool
skip_bytes(SeWireReader *reader, uint64_t count)
{
	if (count > (uint64_t) (reader->end - reader->next))
		return malformed(reader, "truncated field");
	reader->next += count;
	return true;
}

/* Read a length and the bytes it announces. */
static bool
read_bytes(SeWireReader *reader, const uint8_t **bytes, size_t *len)
{
	uint64_t	count;

	if (!read_varint(reader, &count))
		return false;
	*bytes = reader->next;
	*len = (size_t) count;
	return skip_bytes(reader, count);
}

/* Skip the contents of a field that is not a group. */
static bool
skip_scalar(SeWireReader *reader, WireType type)
{
	uint64_t	number;

	switch (type)
	{
		case WIRE_VARINT:
			return read_varint(reader, &number);
		case WIRE_FIXED64:
			return skip_bytes(reader, 8);
		case WIRE_FIXED32:
			return skip_bytes(reader, 4);
		case WIRE_BYTES:
			return read_varint(reader, &number) && skip_bytes(reader, number);
		case WIRE_START_GROUP:
		case WIRE_END_GROUP:
			break;
	}
	return malformed(reader, "group ends before it starts");
}

/* Skip an unknown field, whose tag has been read, with all groups in it. */
static bool
skip_field(SeWireReader *reader, uint32_t field, WireType type)
{
	uint32_t	open_groups[MAX_GROUP_DEPTH];
	int			depth = 0;

	for (;;)
	{
		if (type == WIRE_START_GROUP)
		{
			if (depth == MAX_GROUP_DEPTH)
				return malformed(reader, "groups nested too deep");
			open_groups[depth++] = field;
		}
		else if (type == WIRE_END_GROUP && depth > 0)
		{
			if (open_groups[--depth] != field)
				return malformed(reader, "group ends with another field number");
		}
		else if (!skip_scalar(reader, type))
			return false;

		if (depth == 0)
			return true;
		if (!read_tag(reader, &field, &type))
			return false;
	}
}

/* Read the fields of one entry. */
static bool
read_entry(SeWireReader *reader, SeEntry *entry)
{
	static const uint8_t nothing[1] = {0};

	entry->key = entry->value = nothing;
	entry->key_len = entry->value_len = 0;

	while (reader->next < reader->end)
	{
		uint32_t	field;
		WireType	type;
		bool		ok;

		if (!read_tag(reader, &field, &type))
			return false;
		if (field != ENTRY_KEY && field != ENTRY_VALUE)
			ok = skip_field(reader, field, type);
		else if (type != WIRE_BYTES)
			ok = malformed(reader, "key or value is not of type bytes");
		else if (field == ENTRY_KEY)
			ok = read_bytes(reader, &entry->key, &entry->key_len);
		else
			ok = read_bytes(reader, &entry->value, &entry->value_len);
		if (!ok)
			return false;
	}
	return true;
}

/*
 * Prepare to read the entries of a message, which are its field entry_field.
 * The data must outlive the reader and the entries read.
 */
void
se_wire_reader_init(SeWireReader *reader, const uint8_t *data, size_t size,
					uint32_t entry_field)
{
	reader->start = reader->next = data;
	reader->end = data + size;
	reader->entry_field = entry_field;
	reader->problem = NULL;
}

/*
 * Read the next entry.  After anything but SE_WIRE_ENTRY the entry is not
 * set, and the reader must not be used again but for its position.
 */
SeWireStatus
se_wire_next_entry(SeWireReader *reader, SeEntry *entry)
{
	while (reader->next < reader->end)
	{
		uint32_t	field;
		WireType	type;
		const uint8_t *bytes;
		size_t		len;
		SeWireReader body;

		if (!read_tag(reader, &field, &type))
			return SE_WIRE_MALFORMED;
		if (field != reader->entry_field)
		{
			if (!skip_field(reader, field, type))
				return SE_WIRE_MALFORMED;
			continue;
		}

		if (type != WIRE_BYTES)
		{
			(void) malformed(reader, "entry is not a message");
			return SE_WIRE_MALFORMED;
		}
		if (!read_bytes(reader, &bytes, &len))
			return SE_WIRE_MALFORMED;

		body = *reader;
		body.next = bytes;
		body.end = bytes + len;
		if (!read_entry(&body, entry))
		{
			reader->next = body.next;
			(void) malformed(reader, body.problem);
			return SE_WIRE_MALFORMED;
		}
		return SE_WIRE_ENTRY;
	}
	return SE_WIRE_END;
}

/*
 * Tell how many bytes have been read, for error messages.
 */
size_t
se_wire_position(const SeWireReader *reader)
{
	return (size_t) (reader->next - reader->start);
}
