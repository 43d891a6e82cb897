/*
 * target_wire.c
 *		Fuzz target: decode bytes as messages, encode what was found.
 *
 * The input is a PutRequest, and the entries of a GetResponse, at once.
 */
#include "postgres.h"

#include "entries.h"
#include "fuzz.h"

/* Entries, decoded. */
typedef struct Decoded
{
	SeEntry    *entries;
	int			count;
	SeWireStatus status;
} Decoded;

/* Check that bytes are part of others, unless they are none. */
static void
check_inside(const uint8_t *bytes, size_t len, const uint8_t *data, size_t size)
{
	FUZZ_CHECK(bytes != NULL);
	FUZZ_CHECK(len == 0 || (bytes >= data && len <= size && bytes - data <= size - len));
}

/* Decode a message and check what can be said of any. */
static Decoded
decode(const uint8_t *data, size_t size, uint32_t field)
{
	Decoded		decoded = {0};
	SeWireReader reader;
	SeEntry		entry;
	int			room = 1;

	decoded.entries = palloc(sizeof(SeEntry));
	se_wire_reader_init(&reader, data, size, field);
	while ((decoded.status = se_wire_next_entry(&reader, &entry)) == SE_WIRE_ENTRY)
	{
		check_inside(entry.key, entry.key_len, data, size);
		check_inside(entry.value, entry.value_len, data, size);
		if (decoded.count == room)
			decoded.entries = repalloc(decoded.entries, (room *= 2) * sizeof(SeEntry));
		decoded.entries[decoded.count++] = entry;
	}
	FUZZ_CHECK(se_wire_position(&reader) <= size);
	if (decoded.status == SE_WIRE_END)
		FUZZ_CHECK(se_wire_position(&reader) == size);
	else
		FUZZ_CHECK(reader.problem != NULL);
	return decoded;
}

/* Encode entries behind a number of bytes that are left free. */
static uint8_t *
encode(const Decoded *decoded, size_t prefix, size_t *size)
{
	uint8_t    *encoded;
	uint8_t    *to;

	*size = prefix;
	for (int i = 0; i < decoded->count; i++)
	{
		const SeEntry *entry = &decoded->entries[i];
		size_t		entry_size = se_wire_entry_size(entry);

		FUZZ_CHECK(entry_size <= entry->key_len + entry->value_len + SE_ENTRY_OVERHEAD);
		*size += entry_size;
	}
	encoded = palloc(*size);
	to = encoded + prefix;
	for (int i = 0; i < decoded->count; i++)
		to = se_wire_put_entry(to, &decoded->entries[i]);
	FUZZ_CHECK(to == encoded + *size);
	return encoded;
}

/* Check that two decoded messages have the same entries. */
static void
check_same(const Decoded *left, const Decoded *right)
{
	FUZZ_CHECK(right->status == SE_WIRE_END);
	FUZZ_CHECK(left->count == right->count);
	for (int i = 0; i < left->count; i++)
		FUZZ_CHECK(fuzz_same_entry(&left->entries[i], &right->entries[i]));
}

/* Check that a number before the entries is no obstacle to reading them. */
static void
check_response(const Decoded *decoded, uint64_t number)
{
	uint8_t		prefix[SE_WIRE_MAX_PREFIX];
	size_t		prefix_len = se_wire_put_sequence_number(prefix, number) - prefix;
	size_t		size;
	uint8_t    *response;
	Decoded		again;

	FUZZ_CHECK(prefix_len <= SE_WIRE_MAX_PREFIX);
	response = encode(decoded, prefix_len, &size);
	memcpy(response, prefix, prefix_len);
	again = decode(response, size, SE_WIRE_GET_RESPONSE);
	check_same(decoded, &again);
}

/* A bytea and the batch that was made of it. */
typedef struct Request
{
	bytea	   *bytes;
	SeBatch    *batch;
} Request;

/* Make a batch of a request. */
static void
read_request(void *arg)
{
	Request    *request = arg;

	request->batch = se_batch_from_request(request->bytes);
}

/* Check that the server makes the same of a request. */
static void
check_request(const uint8_t *data, size_t size, const Decoded *decoded)
{
	Request		request;
	int			sqlstate;

	se_max_value_size = se_max_batch_size = 512 * 1024 * 1024;
	request.bytes = palloc(VARHDRSZ + size);
	SET_VARSIZE(request.bytes, VARHDRSZ + size);
	memcpy(VARDATA(request.bytes), data, size);
	sqlstate = fuzz_attempt(read_request, &request);
	if (decoded->status == SE_WIRE_MALFORMED)
		FUZZ_CHECK(sqlstate == ERRCODE_INVALID_BINARY_REPRESENTATION ||
				   sqlstate == ERRCODE_PROGRAM_LIMIT_EXCEEDED);
	else if (sqlstate != 0)
		FUZZ_CHECK(sqlstate == ERRCODE_PROGRAM_LIMIT_EXCEEDED);
	else
	{
		Decoded		made = {request.batch->entries, request.batch->count, SE_WIRE_END};

		check_same(decoded, &made);
		fuzz_check_stored(se_batch_encode(request.batch), decoded->entries, decoded->count);
	}
}

/* Check a message, and what is made of it. */
static Decoded
check_message(const uint8_t *data, size_t size, uint32_t field)
{
	Decoded		decoded = decode(data, size, field);
	size_t		encoded_size;
	uint8_t    *encoded = encode(&decoded, 0, &encoded_size);
	Decoded		again = decode(encoded, encoded_size, SE_WIRE_GET_RESPONSE);
	size_t		again_size;
	uint8_t    *encoded_again;

	check_same(&decoded, &again);
	encoded_again = encode(&again, 0, &again_size);
	FUZZ_CHECK(again_size == encoded_size && memcmp(encoded, encoded_again, encoded_size) == 0);
	return decoded;
}

/*
 * Run one input.
 */
void
fuzz_wire(const uint8_t *data, size_t size)
{
	Decoded		decoded = check_message(data, size, SE_WIRE_PUT_REQUEST);
	uint64_t	number = 0;

	memcpy(&number, data, Min(size, sizeof(number)));
	check_response(&decoded, number);
	check_request(data, size, &decoded);
	(void) check_message(data, size, SE_WIRE_GET_RESPONSE);
}
