/*
 * redis.c - load on Redis
 *
 *     ./redis --target HOST:PORT|/SOCKET ...
 *
 * A put is a transaction, MULTI, MSET, XADD, EXEC, that is sent and answered in
 * one go: the pairs are strings, and the stream "log" has an entry for each put,
 * with its pairs as fields and with the next number (ID 0-N) as name.  Reads are GET
 * and MGET.  There are no ordered ranges: Redis orders no keys, and a sorted set
 * of them (ZRANGEBYLEX) would be an index that a put had to maintain as well.
 *
 * The server must have "appendonly yes" and "appendfsync always", or a put that
 * has returned may be lost; that is seen to before anything is measured.  One
 * fsync is then for all that was put by those who were waiting.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#include "load.h"

#define LOG_KEY		"storeengine:log"	/* no key of the load has 15 bytes */

typedef struct Session
{
	redisContext *context;
	const char **args;			/* of a command */
	size_t	   *lens;
	int			count;
	int			room;
	char		id[32];			/* of an entry of the log */
	uint64_t	last;			/* that who follows has */
} Session;

static void __attribute__((noreturn))
fail(const char *what, const char *detail)
{
	fprintf(stderr, "redis: %s%s\n", what, detail);
	exit(1);
}

static void *
allocate(void *old, size_t size)
{
	void	   *new = realloc(old, size);

	if (new == NULL)
		fail("out of memory", "");
	return new;
}

/* Connect to HOST:PORT, or to a socket, whose name begins with a slash. */
static redisContext *
open_context(const char *target)
{
	const char *colon;
	redisContext *context;

	if (target == NULL)
		fail("--target HOST:PORT|/SOCKET is missing", "");
	colon = strrchr(target, ':');
	if (target[0] == '/')
		context = redisConnectUnix(target);
	else if (colon != NULL)
	{
		char	   *host = strndup(target, colon - target);

		context = host == NULL ? NULL : redisConnect(host, (int) strtol(colon + 1, NULL, 10));
		free(host);
	}
	else
		fail("this is no HOST:PORT: ", target);
	if (context == NULL)
		fail("out of memory", "");
	if (context->err != 0)
		fail("could not connect: ", context->errstr);
	return context;
}

/* Wait for the next reply, which must be of a type. */
static redisReply *
receive(redisContext *context, int type)
{
	void	   *received;
	redisReply *reply;

	if (redisGetReply(context, &received) != REDIS_OK)
		fail("lost the connection: ", context->errstr);
	reply = received;
	if (reply->type == REDIS_REPLY_ERROR)
		fail("a command failed: ", reply->str);
	if (reply->type != type)
		fail("a reply is not what it should be", "");
	return reply;
}

static void
start_command(Session *session, int most)
{
	session->count = 0;
	if (session->room >= most)
		return;
	session->room = most;
	session->args = allocate(session->args, sizeof(char *) * most);
	session->lens = allocate(session->lens, sizeof(size_t) * most);
}

static void
add_bytes(Session *session, const void *bytes, size_t len)
{
	session->args[session->count] = bytes;
	session->lens[session->count++] = len;
}

static void
add_word(Session *session, const char *word)
{
	add_bytes(session, word, strlen(word));
}

static void
add_pairs(Session *session, const Pair *pairs, int count)
{
	for (int i = 0; i < count; i++)
	{
		add_bytes(session, pairs[i].key, pairs[i].key_len);
		add_bytes(session, pairs[i].value, pairs[i].value_len);
	}
}

/* Have the command sent, with what follows it, when a reply is waited for. */
static void
end_command(Session *session)
{
	if (redisAppendCommandArgv(session->context, session->count, session->args, session->lens) != REDIS_OK)
		fail("could not send: ", session->context->errstr);
}

static void
send_word(Session *session, const char *word)
{
	start_command(session, 1);
	add_word(session, word);
	end_command(session);
}

static void
require_setting(Session *session, const char *name, const char *wanted)
{
	redisReply *reply;

	start_command(session, 3);
	add_word(session, "CONFIG");
	add_word(session, "GET");
	add_word(session, name);
	end_command(session);
	reply = receive(session->context, REDIS_REPLY_ARRAY);
	if (reply->elements != 2 || strcmp(reply->element[1]->str, wanted) != 0)
		fail("the server is not durable: it must have been started with --appendonly yes --appendfsync always", "");
	freeReplyObject(reply);
}

static void *
open_session(const Options *options, int client)
{
	Session    *session = calloc(1, sizeof(Session));

	(void) client;
	if (session == NULL)
		fail("out of memory", "");
	session->context = open_context(options->target);
	return session;
}

static void
close_session(void *opaque)
{
	Session    *session = opaque;

	redisFree(session->context);
	free(session->args);
	free(session->lens);
	free(session);
}

static void
prepare(const Options *options)
{
	Session    *session;

	if (options->way != NULL && strcmp(options->way, "multi") != 0)
		fail("there is no way ", options->way);
	session = open_session(options, 0);
	require_setting(session, "appendonly", "yes");
	require_setting(session, "appendfsync", "always");
	close_session(session);
}

static void
put(void *opaque, const Pair *pairs, int count)
{
	Session    *session = opaque;
	redisReply *reply;

	send_word(session, "MULTI");
	start_command(session, 2 * count + 3);
	add_word(session, "MSET");
	add_pairs(session, pairs, count);
	end_command(session);
	start_command(session, 2 * count + 3);
	add_word(session, "XADD");
	add_word(session, LOG_KEY);
	add_word(session, "0-*");
	add_pairs(session, pairs, count);
	end_command(session);
	send_word(session, "EXEC");

	freeReplyObject(receive(session->context, REDIS_REPLY_STATUS));
	freeReplyObject(receive(session->context, REDIS_REPLY_STATUS));
	freeReplyObject(receive(session->context, REDIS_REPLY_STATUS));
	reply = receive(session->context, REDIS_REPLY_ARRAY);
	if (reply->elements != 2)
		fail("a transaction has not done what it should", "");
	for (size_t i = 0; i < reply->elements; i++)
	{
		if (reply->element[i]->type == REDIS_REPLY_ERROR)
			fail("a command of a transaction failed: ", reply->element[i]->str);
	}
	freeReplyObject(reply);
}

static int
get_many(void *opaque, const Pair *keys, int count)
{
	Session    *session = opaque;
	redisReply *reply;
	int			found = 0;

	start_command(session, count + 1);
	add_word(session, "MGET");
	for (int i = 0; i < count; i++)
		add_bytes(session, keys[i].key, keys[i].key_len);
	end_command(session);
	reply = receive(session->context, REDIS_REPLY_ARRAY);
	for (size_t i = 0; i < reply->elements; i++)
		found += reply->element[i]->type == REDIS_REPLY_STRING;
	freeReplyObject(reply);
	return found;
}

/* Read one key with MGET, whose reply is the same whether the key is there. */
static bool
get(void *opaque, const Pair *key)
{
	return get_many(opaque, key, 1) == 1;
}

static int
range(void *opaque, const Pair *first, int limit)
{
	(void) opaque;
	(void) first;
	(void) limit;
	fail("Redis has no ordered ranges of keys", "");
}

static void
add_id(Session *session)
{
	snprintf(session->id, sizeof session->id, "0-%" PRIu64, session->last);
	add_word(session, session->id);
}

/* Have the entry's number as the last one; return its pairs. */
static redisReply *
open_entry(Session *session, const redisReply *entry)
{
	const char *id = entry->element[0]->str;

	session->last = strtoull(strchr(id, '-') + 1, NULL, 10);
	return entry->element[1];
}

static void *
open_follower(const Options *options)
{
	Session    *session = open_session(options, 0);
	redisReply *reply;

	start_command(session, 6);
	add_word(session, "XREVRANGE");
	add_word(session, LOG_KEY);
	add_word(session, "+");
	add_word(session, "-");
	add_word(session, "COUNT");
	add_word(session, "1");
	end_command(session);
	reply = receive(session->context, REDIS_REPLY_ARRAY);
	if (reply->elements == 1)
		(void) open_entry(session, reply->element[0]);
	freeReplyObject(reply);
	return session;
}

/* Wait for what comes after the last entry, 50 ms at most, in the call that reads it. */
static void
follow(void *opaque, Hear hear)
{
	Session    *session = opaque;
	void	   *received;
	redisReply *reply;
	redisReply *entries;

	start_command(session, 6);
	add_word(session, "XREAD");
	add_word(session, "BLOCK");
	add_word(session, "50");
	add_word(session, "STREAMS");
	add_word(session, LOG_KEY);
	add_id(session);
	end_command(session);
	if (redisGetReply(session->context, &received) != REDIS_OK)
		fail("lost the connection: ", session->context->errstr);
	reply = received;
	if (reply->type == REDIS_REPLY_ERROR)
		fail("a command failed: ", reply->str);
	if (reply->type == REDIS_REPLY_ARRAY)	/* else there was nothing */
	{
		entries = reply->element[0]->element[1];
		for (size_t i = 0; i < entries->elements; i++)
		{
			redisReply *pairs = open_entry(session, entries->element[i]);

			for (size_t j = 1; j < pairs->elements; j += 2)
				hear(pairs->element[j]->str, pairs->element[j]->len);
		}
	}
	freeReplyObject(reply);
}

int
main(int argc, char **argv)
{
	static const Target target = {
		.name = "redis",
		.usage = "--target HOST:PORT|/SOCKET",
		.prepare = prepare,
		.connect = open_session,
		.put = put,
		.get = get,
		.get_many = get_many,
		.range = range,
		.disconnect = close_session,
		.open_follower = open_follower,
		.follow = follow,
		.close_follower = close_session,
	};

	return load_main(argc, argv, &target);
}
