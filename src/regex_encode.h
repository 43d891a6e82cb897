/*
 * regex_encode.h
 *		Write sets of bytes and of characters down for PCRE2's byte mode.
 */
#ifndef SE_REGEX_ENCODE_H
#define SE_REGEX_ENCODE_H

#include "charset.h"
#include "lib/stringinfo.h"

/* What the encodings of one length start with, and what they encode. */
typedef struct SeEncodingLength
{
	int			tail;			/* bytes after the first one */
	uint8_t		lead;			/* the first byte's fixed bits */
	int			leads;			/* how many first bytes there are */
	SeCharRange ranges[2];		/* without surrogates */
} SeEncodingLength;

#define SE_ENCODING_LENGTHS 4

extern const SeEncodingLength se_encoding_lengths[SE_ENCODING_LENGTHS];

extern void se_encode_byte(StringInfo out, int byte);
extern char *se_encode_bytes(const SeCharSet *set);
extern char *se_encode_characters(const SeCharSet *set, const SeEncodingLength *length);
extern char *se_encode_leads(const SeCharSet *set, const SeEncodingLength *length);

#endif							/* SE_REGEX_ENCODE_H */
