/*
 * wire.h
 *		The framing of batches: protobuf messages of repeated entries.
 *
 * Pure code over byte buffers.  It knows nothing of PostgreSQL, allocates
 * nothing, and is the only place that knows the format:
 *
 *		message Entry       { bytes key = 1; bytes value = 2; }
 *		message PutRequest  { repeated Entry kvs = 1; }
 *		message GetResponse { uint64 sequence_number = 1;
 *							  repeated Entry entries = 2; }
 *
 * The log stores a batch as the entries part of a GetResponse, so that a
 * response is the sequence number followed by the stored bytes.
 */
#ifndef SE_WIRE_H
#define SE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One pair; the bytes belong to somebody else. */
typedef struct SeEntry
{
	const uint8_t *key;
	const uint8_t *value;
	size_t		key_len;
	size_t		value_len;
} SeEntry;

/* Field numbers of the repeated entries in the two messages. */
#define SE_WIRE_PUT_REQUEST		1
#define SE_WIRE_GET_RESPONSE	2

/* The longest prefix se_wire_put_sequence_number() writes. */
#define SE_WIRE_MAX_PREFIX		11

typedef enum SeWireStatus
{
	SE_WIRE_ENTRY,				/* an entry was read */
	SE_WIRE_END,				/* the message is complete */
	SE_WIRE_MALFORMED			/* see SeWireReader.problem */
} SeWireStatus;

typedef struct SeWireReader
{
	const uint8_t *start;
	const uint8_t *next;
	const uint8_t *end;
	uint32_t	entry_field;	/* field number of the entries */
	const char *problem;		/* what is wrong, when malformed */
} SeWireReader;

extern size_t se_wire_entry_size(const SeEntry *entry);
extern uint8_t *se_wire_put_entry(uint8_t *to, const SeEntry *entry);
extern uint8_t *se_wire_put_sequence_number(uint8_t *to, uint64_t number);

extern void se_wire_reader_init(SeWireReader *reader, const uint8_t *data,
								size_t size, uint32_t entry_field);
extern SeWireStatus se_wire_next_entry(SeWireReader *reader, SeEntry *entry);
extern size_t se_wire_position(const SeWireReader *reader);

#endif							/* SE_WIRE_H */
