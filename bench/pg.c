/*
 * pg.c
 *		Load PostgreSQL: through this extension, or with SQL that one would write
 *		by hand for the same work (sql/rivals.sql).  Everything is prepared and
 *		binary; with --pipeline several statements are under way at once.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "load.h"

#define BYTEA_OID 17
#define BYTEA_ARRAY_OID 1001
#define MAX_PARAMETERS 2

/* What a parameter of a statement is made of. */
typedef enum Parameter
{
	NONE,
	KEY,
	VALUE,
	KEYS,
	VALUES,
	REQUEST						/* a protobuf message PutRequest */
} Parameter;

/* What to do by which statement; a batch of one pair may have its own. */
typedef struct Statement
{
	const char *work;
	const char *way;
	bool		single;
	Parameter	parameters[MAX_PARAMETERS];
	const char *sql;
} Statement;

static const Statement statements[] = {
	{"put", "store", true, {KEY, VALUE}, "SELECT store_put($1, $2)"},
	{"put", "store", false, {KEYS, VALUES}, "SELECT store_put_batch($1, $2)"},
	{"put", "request", false, {REQUEST}, "SELECT store_put_request($1)"},
	{"put", "locked", true, {KEY, VALUE}, "SELECT put_locked($1, $2)"},
	{"put", "locked", false, {KEYS, VALUES}, "SELECT put_locked($1, $2)"},
	{"put", "unordered", true, {KEY, VALUE}, "SELECT put_unordered($1, $2)"},
	{"put", "unordered", false, {KEYS, VALUES}, "SELECT put_unordered($1, $2)"},
	{"put", "upsert", true, {KEY, VALUE},
	"INSERT INTO rival_kv VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"},
	{"put", "upsert", false, {KEYS, VALUES},
	"INSERT INTO rival_kv SELECT * FROM unnest($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"},
	{"put", "insert", true, {KEY, VALUE}, "INSERT INTO rival_kv VALUES ($1, $2)"},
	{"put", "insert", false, {KEYS, VALUES}, "INSERT INTO rival_kv SELECT * FROM unnest($1, $2)"},
	{"put", "copy", false, {NONE}, "COPY rival_kv FROM STDIN (FORMAT binary)"},
	{"get", "store", true, {KEY}, "SELECT store_get($1)"},
	{"get", "sql", true, {KEY}, "SELECT value FROM store_kv WHERE key = $1"},
	{"get_many", "store", false, {KEYS}, "SELECT key, value FROM store_get_many($1)"},
	{"get_many", "sql", false, {KEYS}, "SELECT key, value FROM store_kv WHERE key = ANY ($1)"},
	{"range", "store", false, {KEY}, "SELECT key, value FROM store_range_scan($1, \"limit\" => %d)"},
	{"range", "sql", false, {KEY}, "SELECT key, value FROM store_kv WHERE key >= $1 ORDER BY key LIMIT %d"},
	/* Many gets in one statement. */
	{"inside", "store", false, {KEYS}, "SELECT count(store_get(key)) FROM unnest($1) AS key"},
	{"inside", "sql", false, {KEYS},
	"SELECT count((SELECT kv.value FROM store_kv AS kv WHERE kv.key = wanted.key)) FROM unnest($1) AS wanted (key)"},
	{"inside", "spi", false, {KEYS}, "SELECT count(get_by_spi(key)) FROM unnest($1) AS key"},
	/* All pairs, and the first of all by a cursor. */
	{"scan", "store", false, {NONE}, "SELECT key, value FROM store_range_scan()"},
	{"scan", "sql", false, {NONE}, "SELECT key, value FROM store_kv ORDER BY key"},
	{"first", "store", false, {NONE}, "DECLARE c CURSOR FOR SELECT key, value FROM store_range_scan()"},
	{"first", "sql", false, {NONE}, "DECLARE c CURSOR FOR SELECT key, value FROM store_kv ORDER BY key"},
	/* The log. */
	{"frontier", "store", true, {NONE}, "SELECT store_current_sequence()"},
	{"oldest", "store", true, {NONE}, "SELECT store_oldest_retained_batch()"},
	{"oldest", "sql", true, {NONE}, "SELECT min(sequence_number) FROM store_batch_log"},
	{"feed", "store", false, {NONE},
	"SELECT * FROM store_read_log(greatest(store_current_sequence() - %d, 0))"},
	{NULL}
};

/* A session of a client. */
typedef struct Session
{
	PGconn	   *connection;
	const Options *options;
	int			under_way;		/* statements whose results are to be read */
	int			rows;			/* of the last result */
	bool		has_value;		/* does its last row have a last column? */
	char	   *buffers[MAX_PARAMETERS];
	size_t		sizes[MAX_PARAMETERS];
	char		prepared[sizeof(statements) / sizeof(statements[0])];
} Session;

static void
die(Session *session, const char *what)
{
	fprintf(stderr, "pg: %s: %s", what, PQerrorMessage(session->connection));
	exit(1);
}

static const char *
way(const Options *options)
{
	return options->way == NULL ? "store" : options->way;
}

/* Find the statement for some work; NULL if there is none. */
static const Statement *
find_statement(const Options *options, const char *work, bool single)
{
	for (const Statement *statement = statements; statement->work != NULL; statement++)
	{
		if (strcmp(statement->work, work) == 0 && strcmp(statement->way, way(options)) == 0 &&
			(!statement->single || single))
			return statement;
	}
	return NULL;
}

static void
prepare(const Options *options)
{
	const char *works[] = {options->load || strcmp(options->work, "mix") == 0 ? "put" : options->work};

	if (find_statement(options, works[0], options->batch == 1) == NULL)
	{
		fprintf(stderr, "pg: there is no way \"%s\" to do \"%s\"\n", way(options), works[0]);
		exit(2);
	}
}

/* Run a statement that returns nothing of interest. */
static void
execute(Session *session, const char *sql)
{
	PGresult   *result = PQexec(session->connection, sql);
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		die(session, sql);
	PQclear(result);
}

static void *
connect_session(const Options *options, int client)
{
	Session    *session = calloc(1, sizeof(Session));

	(void) client;
	session->options = options;
	session->connection = PQconnectdb(options->target);
	if (PQstatus(session->connection) != CONNECTION_OK)
		die(session, "could not connect");
	execute(session, "SET client_min_messages = warning");
	return session;
}

/* ------------------------------------------------------- parameters */

/* Make room in the buffer of a parameter. */
static char *
room(Session *session, int parameter, size_t size)
{
	if (session->sizes[parameter] < size)
	{
		session->sizes[parameter] = 2 * size;
		session->buffers[parameter] = realloc(session->buffers[parameter], 2 * size);
	}
	return session->buffers[parameter];
}

static char *
put_int(char *to, uint32_t number)
{
	uint32_t	bytes = htonl(number);

	memcpy(to, &bytes, 4);
	return to + 4;
}

static char *
put_bytes(char *to, const void *bytes, size_t size)
{
	memcpy(to, bytes, size);
	return to + size;
}

static char *
put_varint(char *to, size_t number)
{
	for (; number >= 0x80; number >>= 7)
		*to++ = (char) (number | 0x80);
	*to++ = (char) number;
	return to;
}

/* A bytea[] in its binary form. */
static int
make_array(Session *session, int parameter, const Pair *pairs, int count, bool values)
{
	size_t		size = 20;
	char	   *start;
	char	   *to;

	for (int i = 0; i < count; i++)
		size += 4 + (values ? pairs[i].value_len : pairs[i].key_len);
	start = to = room(session, parameter, size);
	to = put_int(to, 1);		/* dimensions */
	to = put_int(to, 0);		/* no NULLs */
	to = put_int(to, BYTEA_OID);
	to = put_int(to, count);
	to = put_int(to, 1);		/* lower bound */
	for (int i = 0; i < count; i++)
	{
		size_t		len = values ? pairs[i].value_len : pairs[i].key_len;

		to = put_int(to, len);
		to = put_bytes(to, values ? pairs[i].value : pairs[i].key, len);
	}
	return (int) (to - start);
}

static size_t
varint_size(size_t number)
{
	size_t		size = 1;

	for (; number >= 0x80; number >>= 7)
		size++;
	return size;
}

/* A PutRequest: field 1, again and again, is an Entry of a key and a value. */
static int
make_request(Session *session, int parameter, const Pair *pairs, int count)
{
	size_t		size = 0;
	char	   *start;
	char	   *to;

	for (int i = 0; i < count; i++)
		size += pairs[i].key_len + pairs[i].value_len + 24;
	start = to = room(session, parameter, size);
	for (int i = 0; i < count; i++)
	{
		const Pair *pair = &pairs[i];

		*to++ = 0x0a;
		to = put_varint(to, 2 + varint_size(pair->key_len) + pair->key_len +
						varint_size(pair->value_len) + pair->value_len);
		*to++ = 0x0a;
		to = put_varint(to, pair->key_len);
		to = put_bytes(to, pair->key, pair->key_len);
		*to++ = 0x12;
		to = put_varint(to, pair->value_len);
		to = put_bytes(to, pair->value, pair->value_len);
	}
	return (int) (to - start);
}

/* Make a parameter; return its size. */
static int
make_parameter(Session *session, int number, Parameter kind, const Pair *pairs, int count,
			   const char **bytes)
{
	int			size = 0;

	if (kind == KEYS || kind == VALUES)
		size = make_array(session, number, pairs, count, kind == VALUES);
	else if (kind == REQUEST)
		size = make_request(session, number, pairs, count);
	*bytes = session->buffers[number];
	if (kind == KEY)
	{
		*bytes = (const char *) pairs->key;
		size = (int) pairs->key_len;
	}
	else if (kind == VALUE)
	{
		*bytes = (const char *) pairs->value;
		size = (int) pairs->value_len;
	}
	return size;
}

/* ------------------------------------------------------- statements */

/* Prepare a statement under its place among all. */
static void
prepare_statement(Session *session, const Statement *statement, const char *name)
{
	char		sql[512];
	Oid			types[MAX_PARAMETERS];
	int			count = 0;
	PGresult   *result;

	for (; count < MAX_PARAMETERS && statement->parameters[count] != NONE; count++)
	{
		Parameter	kind = statement->parameters[count];

		types[count] = kind == KEYS || kind == VALUES ? BYTEA_ARRAY_OID : BYTEA_OID;
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(sql, sizeof(sql), statement->sql,
			 strcmp(session->options->work, "mix") == 0 ? 100 : session->options->batch);
#pragma GCC diagnostic pop
	result = PQprepare(session->connection, name, sql, count, types);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die(session, sql);
	PQclear(result);
	session->prepared[statement - statements] = true;
}

/* Read the result of the statement that was sent first. */
static void
read_result(Session *session)
{
	PGresult   *result;
	int			columns;

	session->rows = 0;
	while ((result = PQgetResult(session->connection)) != NULL)
	{
		ExecStatusType status = PQresultStatus(result);

		if (status != PGRES_TUPLES_OK && status != PGRES_SINGLE_TUPLE && status != PGRES_COMMAND_OK)
			die(session, "statement failed");
		session->rows += PQntuples(result);
		columns = PQnfields(result);
		if (PQntuples(result) > 0)
			session->has_value = !PQgetisnull(result, PQntuples(result) - 1, columns - 1);
		PQclear(result);
	}
	if (PQpipelineStatus(session->connection) == PQ_PIPELINE_ON)
	{
		result = PQgetResult(session->connection);
		if (PQresultStatus(result) != PGRES_PIPELINE_SYNC)
			die(session, "pipeline failed");
		PQclear(result);
	}
	session->under_way--;
}

/* Wait until no more than some statements are under way. */
static void
drain(void *arg, int left)
{
	Session    *session = arg;

	while (session->under_way > left)
		read_result(session);
}

/* Send a statement; read its result unless it is pipelined. */
static void
run(Session *session, const Statement *statement, const Pair *pairs, int count)
{
	const char *values[MAX_PARAMETERS];
	int			sizes[MAX_PARAMETERS];
	int			formats[MAX_PARAMETERS] = {1, 1};
	char		name[16];
	int			n = 0;

	snprintf(name, sizeof(name), "s%d", (int) (statement - statements));
	if (!session->prepared[statement - statements])
	{
		prepare_statement(session, statement, name);
		if (session->options->pipeline > 1 && !PQenterPipelineMode(session->connection))
			die(session, "could not pipeline");
	}
	for (; n < MAX_PARAMETERS && statement->parameters[n] != NONE; n++)
		sizes[n] = make_parameter(session, n, statement->parameters[n], pairs, count, &values[n]);
	if (!PQsendQueryPrepared(session->connection, name, n, values, sizes, formats, 1))
		die(session, "could not send");
	session->under_way++;
	if (session->options->pipeline > 1)
	{
		if (!PQpipelineSync(session->connection))
			die(session, "could not send");
		return;
	}
	if (strcmp(statement->work, "scan") == 0)
		(void) PQsetSingleRowMode(session->connection);
	read_result(session);
}

/* COPY the pairs of a batch. */
static void
copy(Session *session, const Statement *statement, const Pair *pairs, int count)
{
	static const char header[19] = "PGCOPY\n\377\r\n";
	size_t		size = sizeof(header) + 2;
	char	   *start;
	char	   *to;
	PGresult   *result = PQexec(session->connection, statement->sql);

	if (PQresultStatus(result) != PGRES_COPY_IN)
		die(session, statement->sql);
	PQclear(result);
	for (int i = 0; i < count; i++)
		size += 10 + pairs[i].key_len + pairs[i].value_len;
	start = to = room(session, 0, size);
	to = put_bytes(to, header, sizeof(header));
	for (int i = 0; i < count; i++)
	{
		to = put_bytes(to, "\0\2", 2);
		to = put_int(to, pairs[i].key_len);
		to = put_bytes(to, pairs[i].key, pairs[i].key_len);
		to = put_int(to, pairs[i].value_len);
		to = put_bytes(to, pairs[i].value, pairs[i].value_len);
	}
	to = put_bytes(to, "\377\377", 2);
	if (PQputCopyData(session->connection, start, (int) (to - start)) != 1 ||
		PQputCopyEnd(session->connection, NULL) != 1)
		die(session, "could not copy");
	session->under_way++;
	read_result(session);
}

static void
put(void *arg, const Pair *pairs, int count)
{
	Session    *session = arg;
	const Statement *statement = find_statement(session->options, "put", count == 1);

	if (strcmp(statement->way, "copy") == 0)
		copy(session, statement, pairs, count);
	else
		run(session, statement, pairs, count);
}

static bool
get(void *arg, const Pair *key)
{
	Session    *session = arg;

	run(session, find_statement(session->options, "get", true), key, 1);
	return session->options->pipeline > 1 || (session->rows == 1 && session->has_value);
}

static int
get_many(void *arg, const Pair *keys, int count)
{
	Session    *session = arg;

	run(session, find_statement(session->options, "get_many", false), keys, count);
	return session->options->pipeline > 1 ? count : session->rows;
}

static int
range(void *arg, const Pair *first, int limit)
{
	Session    *session = arg;

	(void) limit;				/* it is in the statement */
	run(session, find_statement(session->options, "range", false), first, 1);
	return session->rows;
}

static int
other(void *arg, const Pair *keys, int count)
{
	Session    *session = arg;
	const Options *options = session->options;
	const Statement *statement = find_statement(options, options->work, count == 1);

	if (strcmp(options->work, "first") == 0)
	{
		execute(session, "BEGIN");
		execute(session, statement->sql);
		execute(session, "FETCH c");
		execute(session, "ROLLBACK");
		return 1;
	}
	run(session, statement, keys, count);
	if (strcmp(options->work, "scan") == 0 || strcmp(options->work, "feed") == 0)
		return session->rows;
	return strcmp(options->work, "inside") == 0 ? count : 1;
}

static void
disconnect(void *arg)
{
	Session    *session = arg;

	PQfinish(session->connection);
	free(session->buffers[0]);
	free(session->buffers[1]);
	free(session);
}

int
main(int argc, char **argv)
{
	static const Target target = {
		.name = "pg",
		.usage = "TARGET is a connection string.  Works and their ways: put store|request|locked|unordered|\n"
		"upsert|insert|copy, get|get_many|range|scan|first store|sql, inside store|sql|spi,\n"
		"frontier|feed store, oldest store|sql.\n",
		.prepare = prepare,.connect = connect_session,.put = put,.get = get,
		.get_many = get_many,.range = range,.other = other,.drain = drain,
		.disconnect = disconnect
	};

	return load_main(argc, argv, &target);
}
