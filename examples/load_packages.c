/*
 * load_packages.c - load a Debian package index into storeengine
 *
 *     apt-cache dumpavail | ./load_packages [--batch N] [CONNINFO]
 *
 * The input is a sequence of stanzas parted by blank lines.  Each becomes one
 * entry: the key is "package/version", the value is the text of the stanza.
 * N entries (500 unless told otherwise) make a batch, which travels to
 * store_put_request() as one binary parameter, a protobuf PutRequest:
 *
 *     message Entry      { bytes key = 1; bytes value = 2; }
 *     message PutRequest { repeated Entry kvs = 1; }
 *
 * A field is a tag byte, the length as a varint, and the bytes: no protobuf
 * library is needed.  Each call is a transaction of its own and returns the
 * sequence number of its batch.  CONNINFO is what PQconnectdb() takes.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

#define MAX_KEY_BYTES	254		/* the store's limit */
#define TAG_FIRST		0x0A	/* field 1, of bytes */
#define TAG_SECOND		0x12	/* field 2, of bytes */

typedef struct Buffer
{
	char	   *data;
	size_t		len;
	size_t		size;
} Buffer;

typedef struct Totals
{
	int64_t		entries, batches, skipped, bytes;
	int64_t		first_number, last_number;
	struct timespec started;
} Totals;

static void __attribute__((noreturn))
die(const char *what, const char *detail)
{
	fprintf(stderr, "load_packages: %s%s\n", what, detail);
	exit(1);
}

static void
append(Buffer *buffer, const char *bytes, size_t len)
{
	if (buffer->data == NULL || len > buffer->size - buffer->len)
	{
		if (len > SIZE_MAX / 4 - buffer->len)
			die("out of memory", "");
		buffer->size = 2 * (buffer->len + len) + 1024;
		buffer->data = realloc(buffer->data, buffer->size);
		if (buffer->data == NULL)
			die("out of memory", "");
	}
	memcpy(buffer->data + buffer->len, bytes, len);
	buffer->len += len;
}

/* Append one protobuf field: tag, length as a varint, bytes. */
static void
append_field(Buffer *message, char tag, const Buffer *bytes)
{
	char		header[11] = {tag};
	size_t		used = 1;
	uint64_t	rest;

	for (rest = bytes->len; rest >= 0x80; rest >>= 7)
		header[used++] = (char) (rest | 0x80);
	header[used++] = (char) rest;
	append(message, header, used);
	append(message, bytes->data, bytes->len);
}

/* If the line is the first field of that name, keep its value. */
static void
take_field(Buffer *value, const char *name, const char *line, size_t len)
{
	size_t		skip = strlen(name);

	if (value->len == 0 && len > skip && memcmp(line, name, skip) == 0)
		append(value, line + skip, len - skip);
}

/* Read a stanza and make its key, empty if a field is missing; false at the end. */
static bool
read_stanza(Buffer *key, Buffer *text)
{
	static char *line = NULL;
	static size_t line_size = 0;
	static Buffer version = {0};
	ssize_t		got;

	key->len = text->len = version.len = 0;
	while ((got = getline(&line, &line_size, stdin)) >= 0)
	{
		size_t		len = (size_t) got;

		if (len > 0 && line[len - 1] == '\n')
			len--;
		if (len == 0 && text->len == 0)
			continue;
		if (len == 0)
			break;
		append(text, line, len);
		append(text, "\n", 1);
		take_field(key, "Package: ", line, len);
		take_field(&version, "Version: ", line, len);
	}
	if (got < 0 && !feof(stdin))
		die("could not read standard input", "");

	if (version.len == 0)
		key->len = 0;
	if (key->len > 0)
	{
		append(key, "/", 1);
		append(key, version.data, version.len);
	}
	return text->len > 0;
}

/* Store one request as one batch; returns its sequence number. */
static int64_t
put_request(PGconn *conn, const Buffer *request)
{
	const char *const values[] = {request->data};
	const int	lengths[] = {(int) request->len};
	const int	formats[] = {1};	/* binary */
	PGresult   *result;
	uint64_t	number = 0;

	if (request->len > INT_MAX)
		die("a batch is too large to send; try a smaller --batch", "");
	result = PQexecPrepared(conn, "put", 1, values, lengths, formats, 1);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		die("could not store a batch: ", PQerrorMessage(conn));
	if (PQntuples(result) != 1 || PQgetisnull(result, 0, 0) || PQgetlength(result, 0, 0) != 8)
		die("store_put_request() did not return one bigint", "");

	/* A binary bigint is eight bytes, the highest first. */
	for (int i = 0; i < 8; i++)
		number = number << 8 | (unsigned char) PQgetvalue(result, 0, 0)[i];
	PQclear(result);
	return (int64_t) number;
}

static double
seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) (now.tv_sec - start->tv_sec) + (double) (now.tv_nsec - start->tv_nsec) / 1e9;
}

static void
send_batch(PGconn *conn, Buffer *request, Totals *totals)
{
	bool		on_terminal = isatty(STDERR_FILENO);

	totals->last_number = put_request(conn, request);
	if (totals->batches++ == 0)
		totals->first_number = totals->last_number;
	request->len = 0;

	/* One line that is rewritten on a terminal, a line now and then elsewhere. */
	if (on_terminal || totals->batches % 40 == 0)
		fprintf(stderr, "%s  %7" PRId64 " stanzas, %4" PRId64 " batches, %6.1f MB, %5.1f s%s",
				on_terminal ? "\r" : "", totals->entries, totals->batches,
				(double) totals->bytes / 1e6, seconds_since(&totals->started),
				on_terminal ? "" : "\n");
}

static void
load(PGconn *conn, long batch_size, Totals *totals)
{
	Buffer		key = {0}, text = {0}, entry = {0}, request = {0};
	long		in_request = 0;

	while (read_stanza(&key, &text))
	{
		if (key.len == 0 || key.len > MAX_KEY_BYTES)
		{
			fprintf(stderr, "load_packages: skipping a stanza whose key has %zu bytes\n", key.len);
			totals->skipped++;
			continue;
		}
		entry.len = 0;
		append_field(&entry, TAG_FIRST, &key);
		append_field(&entry, TAG_SECOND, &text);
		append_field(&request, TAG_FIRST, &entry);
		totals->entries++;
		totals->bytes += (int64_t) (key.len + text.len);
		if (++in_request == batch_size)
		{
			send_batch(conn, &request, totals);
			in_request = 0;
		}
	}
	if (in_request > 0)
		send_batch(conn, &request, totals);
	if (isatty(STDERR_FILENO))
		fputc('\n', stderr);
}

int
main(int argc, char **argv)
{
	long		batch_size = 500;
	Totals		totals = {0};
	PGconn	   *conn;
	PGresult   *result;

	if (argc > 2 && strcmp(argv[1], "--batch") == 0)
	{
		batch_size = atol(argv[2]);
		argc -= 2;
		argv += 2;
	}
	if (batch_size < 1 || argc > 2 || (argc == 2 && argv[1][0] == '-'))
		die("usage: apt-cache dumpavail | load_packages [--batch N] [CONNINFO]", "");

	conn = PQconnectdb(argc == 2 ? argv[1] : "");
	if (PQstatus(conn) != CONNECTION_OK)
		die("could not connect: ", PQerrorMessage(conn));
	result = PQprepare(conn, "put", "SELECT store_put_request($1)", 1, NULL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die("could not prepare: ", PQerrorMessage(conn));
	PQclear(result);

	clock_gettime(CLOCK_MONOTONIC, &totals.started);
	load(conn, batch_size, &totals);
	PQfinish(conn);

	printf("%" PRId64 " stanzas in %" PRId64 " batches, %.1f MB in %.1f s; the numbers %" PRId64 " to %" PRId64 ", %" PRId64 " skipped\n",
		   totals.entries, totals.batches, (double) totals.bytes / 1e6, seconds_since(&totals.started),
		   totals.first_number, totals.last_number, totals.skipped);
	return fflush(stdout) == 0 && totals.batches > 0 ? 0 : 1;
}
