/*
 * kv_read.h
 *		Read the key-value table, row by row.
 */
#ifndef SE_KV_READ_H
#define SE_KV_READ_H

#include "utils/snapshot.h"

#include "store.h"

/* A range of keys, both ends inclusive. */
typedef struct SeKvRange
{
	bytea	   *start;			/* '' for none */
	bytea	   *end;			/* '' for none */
	bool		forward;
	int64		limit;			/* how many rows at most */
	bool		keys_only;		/* are values of no interest? */
} SeKvRange;

typedef struct SeKvReader SeKvReader;

/* Whose rights are used: the user, and the security context. */
typedef struct SeReaderRights
{
	Oid			user;
	int			context;
} SeReaderRights;

extern void se_note_rights(SeReaderRights *rights);
extern void se_take_rights(const SeReaderRights *rights, SeReaderRights *own);
extern void se_give_back_rights(const SeReaderRights *own);

extern SeKvReader *se_kv_read_range(const SeStore *store, Snapshot snapshot,
									const SeKvRange *range);
extern SeKvReader *se_kv_read_keys(const SeStore *store, Snapshot snapshot,
								   const Datum *keys, int count);
extern bool se_kv_read_next(SeKvReader *reader, Datum *values, bool *isnull);
extern void se_kv_read_end(SeKvReader *reader);
extern bytea *se_kv_last_of_family(const uint8_t *prefix, size_t len);
extern bool se_kv_get(const SeStore *store, Datum key, Datum *value);

#endif							/* SE_KV_READ_H */
