/*
 * pg.c - load on PostgreSQL: the store, and what one would write by hand
 *
 *     ./pg [--target CONNINFO] [--way NAME] ...
 *
 * Statements are prepared, parameters and results binary.  Ways to write:
 *
 *   store      store_put(), or store_put_batch() for more than one pair
 *   listen     the same; who follows listens
 *   request    store_put_request(), of a message that is made here
 *   locked     bench/sql/rivals.sql: pairs and a log, a lock held to commit
 *   notify     the same, and a notification for who follows
 *   unordered  the same without the lock, so that readers of the log skip batches
 *   sorted     as unordered, with the pairs of a batch put in the order of keys
 *   statement  as unordered, one statement with no function
 *   upsert     the pairs alone, no log
 *   insert     new pairs alone, no log
 *   copy       the same by COPY, one for each batch
 *
 * Ways to read: store, by its functions, and sql, by statements on the same table;
 * all others read the pairs that they write.  ordered is for get_many by a statement
 * that returns what store_get_many() does, a row for each key in their order; spi is for
 * gets inside of a statement.
 *
 * To follow, store waits for the next number and reads the log, in one round trip; all
 * that have a channel listen, and read when they are notified.
 *
 * Besides the common works there are
 *
 *   inside     one statement that gets --batch keys
 *   scan       all pairs in order
 *   first      the first pair of these, by a cursor
 *   feed       --limit batches from somewhere in the log
 *   frontier, oldest   the current sequence number, the lowest one in the log
 *
 * What is printed besides: the CPU time of the sessions' backends and that of the
 * store's worker, if they are on this machine; the WAL that was written meanwhile, by
 * whomever; and the process ID of the first session's backend.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "encode.h"
#include "load.h"
#include "ways.h"

#define BINARY		1
#define FOLLOW_LIMIT	100000	/* batches that are read at once */

typedef struct Follower
{
	PGconn	   *conn;
	Buffer		number;			/* parameters */
	Buffer		limit;
	int64_t		cursor;			/* what it has is up to here */
} Follower;

typedef struct Session
{
	PGconn	   *conn;
	Buffer		first;			/* parameters */
	Buffer		second;
	int			pending;		/* calls in the pipeline */
	bool		must_find;		/* are these reads of what is there? */
} Session;

static const Way *way;
static const Options *options;
static Session **sessions;		/* of the clients */
static PGconn *observer;		/* who looks from outside */
static bool same_machine;
static int64_t lowest,
			highest;			/* in the log */
static int	worker_pid;			/* or 0 */
static double cpu_us;			/* of the backends, at the beginning */
static double worker_cpu_us;
static int64_t wal_bytes;

static void __attribute__((noreturn))
fail(const char *what, const char *detail)
{
	fprintf(stderr, "pg: %s%s\n", what, detail);
	exit(1);
}

/* ------------------------------------------------------- parameters, results */

static int64_t
decode_integer(const char *bytes)
{
	uint64_t	number = 0;

	for (int i = 0; i < 8; i++)
		number = number << 8 | (unsigned char) bytes[i];
	return (int64_t) number;
}

static PGresult *
check(PGconn *conn, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		fail("a statement failed: ", PQerrorMessage(conn));
	return result;
}

static void
run(PGconn *conn, const char *sql)
{
	PQclear(check(conn, PQexec(conn, sql)));
}

/* Count the rows that have something in their last column; done with the result. */
static int
count_and_clear(PGresult *result)
{
	int			column = PQnfields(result) - 1;
	int			found = 0;

	for (int i = 0; i < PQntuples(result); i++)
		found += !PQgetisnull(result, i, column);
	PQclear(result);
	return found;
}

/* ------------------------------------------------------------------ sessions */

static PGconn *
open_connection(void)
{
	PGconn	   *conn = PQconnectdb(options->target == NULL ? "" : options->target);

	if (PQstatus(conn) != CONNECTION_OK)
		fail("could not connect: ", PQerrorMessage(conn));
	run(conn, "SET client_min_messages = warning");
	return conn;
}

static void
prepare_statements(PGconn *conn)
{
	for (int i = 0; i < LOG_BOUNDS; i++)
	{
		Oid			oids[2] = {0};
		int			count = way->form == MESSAGE && i <= PUT_MANY ? 0 : (int) strlen(way_types[i]);
		char		name[16];

		if (way->sql[i] == NULL)
			continue;
		for (int j = 0; j < count; j++)
			oids[j] = way_types[i][j] == 'b' ? BYTEA_OID : way_types[i][j] == 'a' ? 1001 : 20;
		snprintf(name, sizeof name, "%d", i);
		PQclear(check(conn, PQprepare(conn, name, way->sql[i], count, oids)));
	}
}

/* Have a statement executed with what is given, or only sent if there is a pipeline. */
static PGresult *
execute(Session *session, Purpose purpose, int count, const char *const *params, const int *lens)
{
	static const int formats[2] = {BINARY, BINARY};
	char		name[16];

	if (way->sql[purpose] == NULL)
		fail("this is not done this way: ", way->name);
	snprintf(name, sizeof name, "%d", purpose);
	if (options->pipeline == 1)
		return check(session->conn, PQexecPrepared(session->conn, name, count, params, lens, formats, BINARY));
	if (!PQsendQueryPrepared(session->conn, name, count, params, lens, formats, BINARY) ||
		!PQpipelineSync(session->conn))
		fail("could not send: ", PQerrorMessage(session->conn));
	session->pending++;
	return NULL;
}

/* Execute with the buffers as parameters. */
static PGresult *
execute_buffers(Session *session, Purpose purpose, int count)
{
	const char *params[2] = {session->first.bytes, session->second.bytes};
	const int	lens[2] = {(int) session->first.len, (int) session->second.len};

	return execute(session, purpose, count, params, lens);
}

static void
prepare(const Options *given)
{
	options = given;
	way = way_find(options->way != NULL ? options->way : "store");
	if (way == NULL)
		fail("there is no way ", options->way);
	if (options->pipeline > 1 && ((strcmp(options->work, "put") != 0 && strcmp(options->work, "get") != 0) || way->form == COPIED))
		fail("a pipeline is for statements that put or get", "");
	sessions = calloc(options->clients, sizeof(Session *));
	if (sessions == NULL)
		fail("out of memory", "");
	observer = open_connection();
	same_machine = PQhost(observer) != NULL && PQhost(observer)[0] == '/';
	if (strcmp(options->work, "feed") == 0 && way->sql[LOG_BOUNDS] != NULL)
	{
		PGresult   *result = check(observer, PQexec(observer, way->sql[LOG_BOUNDS]));

		lowest = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
		highest = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
		PQclear(result);
	}
}

static void *
open_session(const Options *given, int client)
{
	Session    *session = calloc(1, sizeof(Session));

	if (session == NULL)
		fail("out of memory", "");
	session->conn = open_connection();
	session->must_find = given->keys == KEYS_EXISTING;
	prepare_statements(session->conn);
	if (given->pipeline > 1 && !PQenterPipelineMode(session->conn))
		fail("could not begin a pipeline: ", PQerrorMessage(session->conn));
	sessions[client] = session;
	return session;
}

static void
close_session(void *opaque)
{
	Session    *session = opaque;

	PQfinish(session->conn);
	free(session->first.bytes);
	free(session->second.bytes);
	free(session);
}

/* --------------------------------------------------------------------- works */

static void
copy(Session *session, const Pair *pairs, int count)
{
	Buffer	   *data = &session->first;
	PGresult   *result = PQexec(session->conn, "COPY rival_kv FROM STDIN (FORMAT binary)");

	if (PQresultStatus(result) != PGRES_COPY_IN)
		fail("could not copy: ", PQerrorMessage(session->conn));
	PQclear(result);
	encode_copy(data, pairs, count);
	if (PQputCopyData(session->conn, data->bytes, (int) data->len) != 1 || PQputCopyEnd(session->conn, NULL) != 1)
		fail("could not copy: ", PQerrorMessage(session->conn));
	while ((result = PQgetResult(session->conn)) != NULL)
		PQclear(check(session->conn, result));
}

static void
put(void *opaque, const Pair *pairs, int count)
{
	Session    *session = opaque;
	Purpose		purpose = count == 1 ? PUT_ONE : PUT_MANY;

	if (way->form == COPIED)
		copy(session, pairs, count);
	else if (way->form == MESSAGE)
	{
		encode_message(&session->first, pairs, count);
		PQclear(execute_buffers(session, purpose, 1));
	}
	else if (count == 1)
	{
		const char *params[2] = {(const char *) pairs->key, (const char *) pairs->value};
		const int	lens[2] = {(int) pairs->key_len, (int) pairs->value_len};

		PQclear(execute(session, purpose, 2, params, lens));
	}
	else
	{
		encode_array(&session->first, pairs, count, false);
		encode_array(&session->second, pairs, count, true);
		PQclear(execute_buffers(session, purpose, 2));
	}
}

static bool
get(void *opaque, const Pair *key)
{
	const char *params[1] = {(const char *) key->key};
	const int	lens[1] = {(int) key->key_len};
	PGresult   *result = execute(opaque, GET, 1, params, lens);

	/* What is in the pipeline is looked at by flush(). */
	return result == NULL || count_and_clear(result) == 1;
}

static int
get_many(void *opaque, const Pair *keys, int count)
{
	Session    *session = opaque;

	encode_array(&session->first, keys, count, false);
	return count_and_clear(execute_buffers(session, GET_MANY, 1));
}

static int
range(void *opaque, const Pair *first, int limit)
{
	Session    *session = opaque;

	encode_bytes(&session->first, first->key, first->key_len);
	encode_integer(&session->second, limit);
	return count_and_clear(execute_buffers(session, RANGE, 2));
}

/* Wait for the answer to each call that was sent. */
static void
flush(void *opaque)
{
	Session    *session = opaque;
	bool		is_get = strcmp(options->work, "get") == 0;

	for (; session->pending > 0; session->pending--)
	{
		PGresult   *result = check(session->conn, PQgetResult(session->conn));

		if (count_and_clear(result) == 0 && is_get && session->must_find)
			fail("a key is not there that --load has put", "");
		if (PQgetResult(session->conn) != NULL)
			fail("a statement has two results", "");
		result = PQgetResult(session->conn);
		if (PQresultStatus(result) != PGRES_PIPELINE_SYNC)
			fail("a pipeline has come out of step", "");
		PQclear(result);
	}
}

static int
get_inside(void *opaque, const Pair *keys, int count)
{
	Session    *session = opaque;
	PGresult   *result;
	int			found;

	encode_array(&session->first, keys, count, false);
	result = execute_buffers(session, INSIDE, 1);
	found = (int) decode_integer(PQgetvalue(result, 0, 0));
	PQclear(result);
	if (found != count && session->must_find)
		fail("a key is not there that --load has put", "");
	return found;
}

static int
scan(void *opaque, const Pair *keys, int count)
{
	(void) keys;
	(void) count;
	return count_and_clear(execute(opaque, SCAN, 0, NULL, NULL));
}

/* Read the first row of a cursor.  Nothing of it is prepared. */
static int
read_first(void *opaque, const Pair *keys, int count)
{
	Session    *session = opaque;
	char		sql[1000];
	PGresult   *result;

	(void) keys;
	(void) count;
	if (way->sql[SCAN] == NULL)
		fail("this is not done this way: ", way->name);
	snprintf(sql, sizeof sql, "BEGIN; DECLARE pairs BINARY CURSOR FOR %s; FETCH pairs", way->sql[SCAN]);
	result = check(session->conn, PQexec(session->conn, sql));
	run(session->conn, "COMMIT");
	return count_and_clear(result);
}

/* Read some of the log; a key, which is random, decides from where. */
static int
read_feed(void *opaque, const Pair *keys, int count)
{
	Session    *session = opaque;
	uint64_t	places = highest - lowest > options->limit ? highest - lowest - options->limit + 1 : 1;
	uint64_t	place = (uint64_t) decode_integer((const char *) keys->key) % places;

	(void) count;
	encode_integer(&session->first, lowest - 1 + (int64_t) place);
	encode_integer(&session->second, options->limit);
	return count_and_clear(execute_buffers(session, FEED, 2));
}

static int
read_frontier(void *opaque, const Pair *keys, int count)
{
	(void) keys;
	(void) count;
	return count_and_clear(execute(opaque, FRONTIER, 0, NULL, NULL));
}

static int
read_oldest(void *opaque, const Pair *keys, int count)
{
	(void) keys;
	(void) count;
	return count_and_clear(execute(opaque, OLDEST, 0, NULL, NULL));
}

/* -------------------------------------------------------------------- follow */

static void *
open_follower(const Options *given)
{
	Follower   *follower = calloc(1, sizeof(Follower));
	PGresult   *result;

	(void) given;
	if (follower == NULL)
		fail("out of memory", "");
	if (way->sql[FEED] == NULL || (way->channel == NULL && way->sql[WAIT] == NULL))
		fail("nobody can follow what is put this way: ", way->name);
	follower->conn = open_connection();
	prepare_statements(follower->conn);
	if (way->channel != NULL)
	{
		char		sql[100];

		snprintf(sql, sizeof sql, "LISTEN %s", way->channel);
		run(follower->conn, sql);
	}
	result = check(follower->conn, PQexec(follower->conn, way->sql[LOG_BOUNDS]));
	follower->cursor = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
	PQclear(result);
	encode_integer(&follower->limit, FOLLOW_LIMIT);
	if (!PQenterPipelineMode(follower->conn))
		fail("could not begin a pipeline: ", PQerrorMessage(follower->conn));
	return follower;
}

static void
close_follower(void *opaque)
{
	Follower   *follower = opaque;

	PQfinish(follower->conn);
	free(follower->number.bytes);
	free(follower->limit.bytes);
	free(follower);
}

/* Take the notifications that have come; return whether there were any. */
static bool
take_notifications(PGconn *conn)
{
	PGnotify   *notification;
	bool		any = false;

	while ((notification = PQnotifies(conn)) != NULL)
	{
		PQfreemem(notification);
		any = true;
	}
	return any;
}

/* Return whether there was a notification; wait for one for a moment. */
static bool
was_notified(Follower *follower)
{
	struct pollfd fd = {.fd = PQsocket(follower->conn),.events = POLLIN};

	/* Some can have come with the last answer. */
	if (take_notifications(follower->conn))
		return true;
	if (poll(&fd, 1, 50) > 0 && !PQconsumeInput(follower->conn))
		fail("lost the connection: ", PQerrorMessage(follower->conn));
	return take_notifications(follower->conn);
}

/* Send a statement that has the number as its first parameter. */
static void
send_number(Follower *follower, Purpose purpose, int64_t number, int count)
{
	static const int formats[2] = {BINARY, BINARY};
	const char *params[2];
	int			lens[2];
	char		name[16];

	encode_integer(&follower->number, number);
	params[0] = follower->number.bytes;
	lens[0] = (int) follower->number.len;
	params[1] = follower->limit.bytes;
	lens[1] = (int) follower->limit.len;
	snprintf(name, sizeof name, "%d", purpose);
	if (!PQsendQueryPrepared(follower->conn, name, count, params, lens, formats, BINARY))
		fail("could not send: ", PQerrorMessage(follower->conn));
}

/* Receive what one statement of the pipeline returns. */
static PGresult *
receive(Follower *follower)
{
	PGresult   *result = check(follower->conn, PQgetResult(follower->conn));

	if (PQgetResult(follower->conn) != NULL)
		fail("a statement has two results", "");
	return result;
}

static void
receive_sync(Follower *follower)
{
	PGresult   *result = PQgetResult(follower->conn);

	if (PQresultStatus(result) != PGRES_PIPELINE_SYNC)
		fail("a pipeline has come out of step", "");
	PQclear(result);
}

/* Take in rows of the log: the first column is the number, the last one the value. */
static void
take_in(Follower *follower, PGresult *result, Hear hear)
{
	int			column = PQnfields(result) - 1;

	for (int i = 0; i < PQntuples(result); i++)
	{
		int64_t		number = decode_integer(PQgetvalue(result, i, 0));

		if (!PQgetisnull(result, i, column))
			hear(PQgetvalue(result, i, column), PQgetlength(result, i, column));
		if (number > follower->cursor)
			follower->cursor = number;
	}
	PQclear(result);
}

static void
follow(void *opaque, Hear hear)
{
	Follower   *follower = opaque;

	if (way->channel != NULL && !was_notified(follower))
		return;
	if (way->channel == NULL)
		send_number(follower, WAIT, follower->cursor + 1, 1);
	send_number(follower, FEED, follower->cursor, 2);
	if (!PQpipelineSync(follower->conn))
		fail("could not send: ", PQerrorMessage(follower->conn));
	if (way->channel == NULL)
		PQclear(receive(follower));
	take_in(follower, receive(follower), hear);
	receive_sync(follower);
}

/* --------------------------------------------------------------------- costs */

/* What the CPU did for a process, in us; 0 if it can't be told. */
static double
process_cpu_us(int pid)
{
	char		name[64];
	FILE	   *file;
	uint64_t	nanoseconds = 0;

	snprintf(name, sizeof name, "/proc/%d/schedstat", pid);
	file = fopen(name, "r");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%" SCNu64, &nanoseconds) != 1)
		nanoseconds = 0;
	fclose(file);
	return (double) nanoseconds / 1000;
}

static double
backends_cpu_us(void)
{
	double		sum = 0;

	for (int i = 0; same_machine && i < options->clients; i++)
		sum += process_cpu_us(PQbackendPID(sessions[i]->conn));
	return sum;
}

static int64_t
read_wal_bytes(void)
{
	PGresult   *result = check(observer, PQexec(observer, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"));
	int64_t		bytes = strtoll(PQgetvalue(result, 0, 0), NULL, 10);

	PQclear(result);
	return bytes;
}

/* The process of the database's worker, or 0. */
static int
find_worker(void)
{
	PGresult   *result = check(observer, PQexec(observer, "SELECT pid FROM pg_stat_activity"
												" WHERE backend_type = 'storeengine worker' AND datname = current_database()"));
	int			pid = PQntuples(result) == 1 ? (int) strtol(PQgetvalue(result, 0, 0), NULL, 10) : 0;

	PQclear(result);
	return pid;
}

/*
 * Have the first session's backend call a function that nothing else calls, by which
 * callgrind knows where the operations begin and end.
 */
static void
mark(void)
{
	run(sessions[0]->conn, "SELECT pg_backend_pid()");
}

static void
begin(void)
{
	/* Twice: what lies in between is what marking takes by itself. */
	for (int i = 0; options->mark && i < 2; i++)
		mark();
	wal_bytes = read_wal_bytes();
	worker_pid = same_machine ? find_worker() : 0;
	worker_cpu_us = worker_pid == 0 ? 0 : process_cpu_us(worker_pid);
	cpu_us = backends_cpu_us();
}

static void
end(void)
{
	double		worker_end = worker_pid == 0 ? 0 : process_cpu_us(worker_pid);

	if (options->mark)
		mark();
	/* A worker that has nothing to do leaves. */
	printf(" cpu_us=%.0f worker_cpu_us=%.0f wal_bytes=%" PRId64 " backend=%d", backends_cpu_us() - cpu_us,
		   worker_end > worker_cpu_us ? worker_end - worker_cpu_us : 0, read_wal_bytes() - wal_bytes,
		   PQbackendPID(sessions[0]->conn));
	PQfinish(observer);
}

int
main(int argc, char **argv)
{
	static const TargetWork works[] = {
		{"inside", get_inside},
		{"scan", scan},
		{"first", read_first},
		{"feed", read_feed},
		{"frontier", read_frontier},
		{"oldest", read_oldest},
		{0}
	};
	static const Target target = {
		.name = "pg",
		.usage = "[--target CONNINFO] [--mark] [--way store|listen|request|sql|ordered|spi|locked|notify|"
		"unordered|sorted|statement|upsert|insert|copy]",
		.prepare = prepare,
		.connect = open_session,
		.put = put,
		.get = get,
		.get_many = get_many,
		.range = range,
		.disconnect = close_session,
		.works = works,
		.flush = flush,
		.open_follower = open_follower,
		.follow = follow,
		.close_follower = close_follower,
		.begin = begin,
		.end = end,
	};

	return load_main(argc, argv, &target);
}
