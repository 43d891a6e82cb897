/*
 * rocksdb.c - load on RocksDB, laid out as the reference simulator lays it out
 *
 *     ./rocksdb --target FOLDER [--way mutex|grouped|concurrent] ...
 *
 * The pairs are the default column family.  A column family "log" has a row for
 * each put: its number, and all its pairs as a protobuf message of entries.  A
 * column family "meta" has the latest number.  All three are written in one
 * WriteBatch with sync, so that a put that has returned is on the disk.  The ways
 * differ in how a put comes by its number:
 *
 *   mutex       a lock is held around the number and the write, as the simulator
 *               did at first: one sync for each put
 *   grouped     puts add themselves, in the order of their numbers, to a group;
 *               it is written as one WriteBatch while the next one forms, as the
 *               simulator did later: one sync for each group
 *   concurrent  the number is drawn first, and RocksDB groups the writers as it
 *               likes.  This is no ordered log: of two puts of a key the higher
 *               number need not win, and a crash can leave a hole below a number
 *               that is there.  It shows what order costs RocksDB.
 *
 * Everything else is as RocksDB has it by default: 64-MB memtables, a block cache of
 * 8 MB for each column family, new files for the write-ahead log instead of old ones
 * reused, fdatasync(), two background jobs.  Only compression is off, as in the
 * simulator.  Clients are threads of this program: there is no server and no wire.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rocksdb/c.h>

#include "load.h"

typedef struct Session
{
	rocksdb_writebatch_t *batch;	/* what is put */
	char	   *payload;		/* its row of the log */
	size_t		payload_room;
	char	   *copy;			/* what was read, as a client would have it */
	size_t		copy_room;
	const char **keys;			/* arguments of a read of many */
	size_t	   *key_lens;
	rocksdb_pinnableslice_t **values;
	char	  **errors;
	int			room;
} Session;

/* Puts that are written together.  The first one that came leads. */
typedef struct Group
{
	rocksdb_writebatch_t *batch;
	bool		has_leader;
	pthread_cond_t written;
} Group;

enum Family
{
	PAIRS, META, LOG, FAMILIES
};

static rocksdb_t *db;
static rocksdb_column_family_handle_t *families[FAMILIES];
static rocksdb_readoptions_t *read_options;
static rocksdb_writeoptions_t *synced;
static enum
{
	MUTEX, GROUPED, CONCURRENT
}			way;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint_least64_t sequence;	/* the latest number drawn */

/* Of groups, under the lock.  Group g is groups[g % 2]. */
static Group groups[2] = {{.written = PTHREAD_COND_INITIALIZER}, {.written = PTHREAD_COND_INITIALIZER}};
static uint64_t forming = 1;	/* the group that can be joined */
static uint64_t written;		/* the latest group on the disk */
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;	/* of the next leader */

static void __attribute__((noreturn))
fail(const char *what, const char *detail)
{
	fprintf(stderr, "rocksdb: %s%s\n", what, detail);
	exit(1);
}

/* Die of an error that RocksDB has reported, if it has. */
static void
check(const char *error)
{
	if (error != NULL)
		fail("RocksDB failed: ", error);
}

static void *
allocate(void *old, size_t size)
{
	void	   *new = realloc(old, size);

	if (new == NULL)
		fail("out of memory", "");
	return new;
}

static void
make_room(char **buffer, size_t *room, size_t needed)
{
	if (*room >= needed)
		return;
	*room = needed * 2;
	*buffer = allocate(*buffer, *room);
}

static void
encode_big_endian(uint64_t number, char bytes[8])
{
	for (int i = 0; i < 8; i++)
		bytes[i] = (char) (number >> (56 - 8 * i));
}

static uint64_t
decode_big_endian(const char *bytes)
{
	uint64_t	number = 0;

	for (int i = 0; i < 8; i++)
		number = number << 8 | (unsigned char) bytes[i];
	return number;
}

/* Continue the numbers of a database that is not new. */
static void
read_sequence(void)
{
	char	   *error = NULL;
	size_t		len;
	char	   *value = rocksdb_get_cf(db, read_options, families[META], "sequence", 8, &len, &error);

	check(error);
	if (value != NULL && len == 8)
		atomic_store(&sequence, decode_big_endian(value));
	rocksdb_free(value);
}

static void
prepare(const Options *options)
{
	static const char *const names[FAMILIES] = {"default", "meta", "log"};
	const rocksdb_options_t *family_options[FAMILIES];
	rocksdb_options_t *settings = rocksdb_options_create();
	char	   *error = NULL;

	if (options->target == NULL)
		fail("--target FOLDER is missing", "");
	if (options->way == NULL || strcmp(options->way, "grouped") == 0)
		way = GROUPED;
	else if (strcmp(options->way, "mutex") == 0)
		way = MUTEX;
	else if (strcmp(options->way, "concurrent") == 0)
		way = CONCURRENT;
	else
		fail("there is no way ", options->way);

	rocksdb_options_set_create_if_missing(settings, 1);
	rocksdb_options_set_create_missing_column_families(settings, 1);
	rocksdb_options_set_compression(settings, rocksdb_no_compression);
	for (int i = 0; i < FAMILIES; i++)
		family_options[i] = settings;
	db = rocksdb_open_column_families(settings, options->target, FAMILIES, names, family_options, families, &error);
	check(error);
	rocksdb_options_destroy(settings);

	read_options = rocksdb_readoptions_create();
	synced = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(synced, 1);
	for (int i = 0; i < 2; i++)
		groups[i].batch = rocksdb_writebatch_create();
	read_sequence();
}

static void *
open_session(const Options *options, int client)
{
	Session    *session = calloc(1, sizeof(Session));

	(void) options;
	(void) client;
	if (session == NULL)
		fail("out of memory", "");
	session->batch = rocksdb_writebatch_create();
	return session;
}

static char *
encode_varint(char *to, size_t number)
{
	for (; number >= 0x80; number >>= 7)
		*to++ = (char) (number | 0x80);
	*to++ = (char) number;
	return to;
}

static size_t
varint_len(size_t number)
{
	size_t		len = 1;

	for (; number >= 0x80; number >>= 7)
		len++;
	return len;
}

/* Encode a field of bytes. */
static char *
encode_bytes(char *to, int field, const void *bytes, size_t len)
{
	*to++ = (char) (field << 3 | 2);
	to = encode_varint(to, len);
	memcpy(to, bytes, len);
	return to + len;
}

/* Encode a put's row of the log: message { repeated Entry entries = 2; }. */
static size_t
encode_payload(Session *session, const Pair *pairs, int count)
{
	size_t		most = 0;
	char	   *to;

	for (int i = 0; i < count; i++)
		most += pairs[i].key_len + pairs[i].value_len + 4 * 10;
	make_room(&session->payload, &session->payload_room, most);
	to = session->payload;
	for (int i = 0; i < count; i++)
	{
		const Pair *pair = &pairs[i];

		*to++ = 2 << 3 | 2;
		to = encode_varint(to, 1 + varint_len(pair->key_len) + pair->key_len +
						   1 + varint_len(pair->value_len) + pair->value_len);
		to = encode_bytes(to, 1, pair->key, pair->key_len);
		to = encode_bytes(to, 2, pair->value, pair->value_len);
	}
	return to - session->payload;
}

static void
add_pairs(rocksdb_writebatch_t *batch, const Pair *pairs, int count)
{
	for (int i = 0; i < count; i++)
		rocksdb_writebatch_put(batch, (const char *) pairs[i].key, pairs[i].key_len,
							   (const char *) pairs[i].value, pairs[i].value_len);
}

static void
add_log_row(rocksdb_writebatch_t *batch, uint64_t number, const char *payload, size_t len)
{
	char		key[8];

	encode_big_endian(number, key);
	rocksdb_writebatch_put_cf(batch, families[LOG], key, sizeof key, payload, len);
}

/* Write a batch, with the latest of its numbers, durably. */
static void
write_batch(rocksdb_writebatch_t *batch, uint64_t latest)
{
	char	   *error = NULL;
	char		value[8];

	encode_big_endian(latest, value);
	rocksdb_writebatch_put_cf(batch, families[META], "sequence", 8, value, sizeof value);
	rocksdb_write(db, synced, batch, &error);
	check(error);
	rocksdb_writebatch_clear(batch);
}

/* Put by oneself, under the lock or with a number that may be overtaken. */
static void
put_alone(Session *session, const Pair *pairs, int count, size_t payload_len)
{
	uint64_t	number;

	add_pairs(session->batch, pairs, count);
	if (way == MUTEX)
		pthread_mutex_lock(&lock);
	number = atomic_fetch_add(&sequence, 1) + 1;
	add_log_row(session->batch, number, session->payload, payload_len);
	write_batch(session->batch, number);
	if (way == MUTEX)
		pthread_mutex_unlock(&lock);
}

/*
 * Write the group that forms, once the one before it is written: as many as can
 * join it until then.  The lock is held, but not while writing.
 */
static void
lead_group(Group *group)
{
	uint64_t	own = forming;
	uint64_t	latest;

	while (written != own - 1)
		pthread_cond_wait(&turn, &lock);
	latest = atomic_load(&sequence);
	forming++;

	pthread_mutex_unlock(&lock);
	write_batch(group->batch, latest);
	pthread_mutex_lock(&lock);

	group->has_leader = false;
	written = own;
	pthread_cond_broadcast(&group->written);
	pthread_cond_signal(&turn);
}

static void
put_grouped(const Session *session, const Pair *pairs, int count, size_t payload_len)
{
	uint64_t	own;
	Group	   *group;

	pthread_mutex_lock(&lock);
	own = forming;
	group = &groups[own % 2];
	add_pairs(group->batch, pairs, count);
	add_log_row(group->batch, atomic_fetch_add(&sequence, 1) + 1, session->payload, payload_len);
	if (!group->has_leader)
	{
		group->has_leader = true;
		lead_group(group);
	}
	else
	{
		while (written < own)
			pthread_cond_wait(&group->written, &lock);
	}
	pthread_mutex_unlock(&lock);
}

static void
put(void *opaque, const Pair *pairs, int count)
{
	Session    *session = opaque;
	size_t		payload_len = encode_payload(session, pairs, count);

	if (way == GROUPED)
		put_grouped(session, pairs, count, payload_len);
	else
		put_alone(session, pairs, count, payload_len);
}

/* Have a copy of what was read, as any client of a server has. */
static void
take_value(Session *session, const char *value, size_t len)
{
	make_room(&session->copy, &session->copy_room, len);
	memcpy(session->copy, value, len);
}

/* Take a value that may not be there, and let RocksDB have its memory back. */
static bool
take_pinned(Session *session, rocksdb_pinnableslice_t *slice)
{
	size_t		len;
	const char *value = rocksdb_pinnableslice_value(slice, &len);

	if (value == NULL)
		return false;
	take_value(session, value, len);
	rocksdb_pinnableslice_destroy(slice);
	return true;
}

static bool
get(void *opaque, const Pair *key)
{
	char	   *error = NULL;
	rocksdb_pinnableslice_t *slice;

	slice = rocksdb_get_pinned_cf(db, read_options, families[PAIRS], (const char *) key->key, key->key_len, &error);
	check(error);
	return take_pinned(opaque, slice);
}

static int
get_many(void *opaque, const Pair *keys, int count)
{
	Session    *session = opaque;
	int			found = 0;

	if (session->room < count)
	{
		session->room = count;
		session->keys = allocate(session->keys, sizeof(char *) * count);
		session->key_lens = allocate(session->key_lens, sizeof(size_t) * count);
		session->values = allocate(session->values, sizeof(rocksdb_pinnableslice_t *) * count);
		session->errors = allocate(session->errors, sizeof(char *) * count);
	}
	for (int i = 0; i < count; i++)
	{
		session->keys[i] = (const char *) keys[i].key;
		session->key_lens[i] = keys[i].key_len;
	}
	rocksdb_batched_multi_get_cf(db, read_options, families[PAIRS], count, session->keys, session->key_lens,
								 session->values, session->errors, false);
	for (int i = 0; i < count; i++)
	{
		check(session->errors[i]);
		found += take_pinned(session, session->values[i]);
	}
	return found;
}

static int
range(void *opaque, const Pair *first, int limit)
{
	Session    *session = opaque;
	rocksdb_iterator_t *iterator = rocksdb_create_iterator_cf(db, read_options, families[PAIRS]);
	char	   *error = NULL;
	int			rows = 0;

	rocksdb_iter_seek(iterator, (const char *) first->key, first->key_len);
	for (; rows < limit && rocksdb_iter_valid(iterator); rows++)
	{
		size_t		len;
		const char *bytes = rocksdb_iter_key(iterator, &len);

		take_value(session, bytes, len);
		bytes = rocksdb_iter_value(iterator, &len);
		take_value(session, bytes, len);
		rocksdb_iter_next(iterator);
	}
	rocksdb_iter_get_error(iterator, &error);
	check(error);
	rocksdb_iter_destroy(iterator);
	return rows;
}

static void
close_session(void *opaque)
{
	Session    *session = opaque;

	rocksdb_writebatch_destroy(session->batch);
	free(session->payload);
	free(session->copy);
	free(session->keys);
	free(session->key_lens);
	free(session->values);
	free(session->errors);
	free(session);
}

/* RocksDB's own threads must not outlive main(). */
static void
close_database(void)
{
	for (int i = 0; i < FAMILIES; i++)
		rocksdb_column_family_handle_destroy(families[i]);
	rocksdb_close(db);
}

int
main(int argc, char **argv)
{
	static const Target target = {
		.name = "rocksdb",
		.usage = "--target FOLDER [--way mutex|grouped|concurrent]",
		.prepare = prepare,
		.connect = open_session,
		.put = put,
		.get = get,
		.get_many = get_many,
		.range = range,
		.disconnect = close_session,
	};
	int			status = load_main(argc, argv, &target);

	if (db != NULL)
		close_database();
	return status;
}
