/*
 * json.h
 *		Read messages in protobuf's JSON form out of a jsonb document.
 */
#ifndef SE_JSON_H
#define SE_JSON_H

#include "utils/jsonb.h"

#include "compat.h"

/* A value in a document. */
typedef struct SeJson
{
	const char *document;		/* what the document is, for messages */
	const char *path;			/* where the value is; NULL for the whole */
	bool		present;		/* is there a value, other than null? */
	JsonbValue	value;
} SeJson;

pg_noreturn extern void se_json_refuse(const SeJson *json, int sqlerrcode,
									   const char *predicate, ...) pg_attribute_printf(3, 4);

extern void se_json_root(Jsonb *jsonb, const char *document, SeJson *root);
extern void se_json_object(const SeJson *json, const char *const *names,
						   SeJson *fields, int count);
extern void se_json_empty_object(const SeJson *json);
extern void se_json_check_present(const SeJson *json);
extern SeJson *se_json_array(const SeJson *json, int *count);
extern char *se_json_string(const SeJson *json);
extern uint8_t *se_json_bytes(const SeJson *json, size_t *len);
extern uint64 se_json_uint64(const SeJson *json);
extern int	se_json_enum(const SeJson *json, const char *const *names, int count);

#endif							/* SE_JSON_H */
