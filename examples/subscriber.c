/*
 * subscriber.c - follow a store and print what is written to it
 *
 *     ./subscriber [--prefix PREFIX] [--cursor FILE] [--from N] [--until N]
 *                  [--wait] [--database CONNINFO]
 *
 * Prints a line for each key that a batch puts or deletes, in the order of the
 * log, without a gap and without a repeat.  Keys and values are in hexadecimal
 * after "\x":
 *
 *     NUMBER put KEY VALUE
 *     NUMBER delete KEY
 *
 * It begins after batch N, or after the one that FILE names, or else with the
 * first batch.  If batches it needs have been pruned, or the store has not been
 * through what it has read, it starts over from the pairs there are.  Whoever reads the lines forgets what he had, and takes
 * these pairs instead; NUMBER is the batch that they are the state of:
 *
 *     NUMBER rebuild
 *     NUMBER pair KEY VALUE
 *     NUMBER rebuilt
 *
 * A rebuild that breaks off is followed by another one.
 *
 * Lines are written out before the cursor is: killed in between, it prints
 * them again when it is started again.  For more, keep the cursor where the
 * effects are: see "Subscribing" in the README.
 *
 * With --wait it does not LISTEN, and so gets on with connection poolers.  It
 * connects again whenever the connection is lost.  CONNINFO is what
 * PQconnectdb() takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libpq-fe.h>

#define MAX_KEY_BYTES	254		/* the store's limit */
#define NUMBER_SIZE		24		/* room for a number as text */
#define HISTORY_SIZE	37		/* and for the name of a history */

/* How long to wait before connecting again: this at first, doubled each time. */
#define RETRY_MIN_MS	100
#define RETRY_MAX_MS	5000

/* How long to wait for news before looking without. */
#define WAIT_MS			30000
#define WAIT_INTERVAL	"30 s"

#define READ_SQL \
	"SELECT sequence_number, op, encode(key, 'hex'), encode(value, 'hex'), history" \
	" FROM store_read_log($1::bigint," \
	" CASE WHEN $2::bytea IS NOT NULL THEN ARRAY[($2, '(?s).*')::store_selector] END," \
	" min_sequence_number => $1, since_history => $3)"
#define SCAN_SQL \
	"DECLARE pairs NO SCROLL CURSOR FOR SELECT encode(key, 'hex'), encode(value, 'hex')" \
	" FROM store_range_scan($1::bytea, $2::bytea)"
#define WAIT_SQL \
	"CALL store_wait_for_sequence($1::bigint, $2::interval)"

/* What became of a statement. */
typedef enum Outcome
{
	FINE,
	EVICTED,					/* batches that we need are not to be had */
	BEHIND,						/* this server has not got as far as we have */
	READ_ONLY,					/* a standby cannot do that */
	LOST,						/* connect again and go on */
	STOPPED						/* by a signal */
} Outcome;

typedef struct Subscriber
{
	PGconn	   *conn;
	int64_t		cursor;			/* the last batch that was printed, */
	char		history[HISTORY_SIZE];	/* in this history; "" for not known */
	int64_t		until;			/* the batch after which to end */
	const char *cursor_file;	/* NULL for none */
	bool		listen;			/* LISTEN, or wait? */
	bool		listening;		/* on this connection */
	bool		prefixed;		/* only keys that begin with a prefix? */
	char		first_key[2 * MAX_KEY_BYTES + 3];	/* the range of these keys, */
	char		last_key[2 * MAX_KEY_BYTES + 3];	/* as literals */
} Subscriber;

static volatile sig_atomic_t stopping = 0;
static int	stop_pipe[2];

static void __attribute__((noreturn))
die(const char *what, const char *detail)
{
	fprintf(stderr, "subscriber: %s%s\n", what, detail);
	exit(1);
}

/* A byte in a pipe ends any poll(), whether it has begun or not. */
static void
handle_signal(int signum)
{
	int			saved = errno;

	(void) signum;
	stopping = 1;
	if (write(stop_pipe[1], "", 1) < 0)
		errno = 0;				/* it is full: that does as well */
	errno = saved;
}

static void
install_handlers(void)
{
	struct sigaction action = {.sa_handler = handle_signal};

	if (pipe(stop_pipe) != 0 ||
		fcntl(stop_pipe[1], F_SETFL, O_NONBLOCK) != 0 ||
		sigaction(SIGTERM, &action, NULL) != 0 ||
		sigaction(SIGINT, &action, NULL) != 0)
		die("could not handle signals: ", strerror(errno));
}

/* Wait for input on a socket, or on none if it is negative; false if none comes. */
static bool
wait_for_input(int socket, int timeout_ms)
{
	struct pollfd fds[2] = {{stop_pipe[0], POLLIN, 0}, {socket, POLLIN, 0}};

	if (poll(fds, 2, timeout_ms) < 0 && errno != EINTR)
		die("could not poll: ", strerror(errno));
	return fds[1].revents != 0;
}

/* Tell what a statement that failed means for us. */
static Outcome
judge(PGconn *conn, const PGresult *result)
{
	static const char *const passing[] = {"08", "40", "53", "57P0"};
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (state == NULL || PQstatus(conn) == CONNECTION_BAD)
		return LOST;
	if (strcmp(state, "SE001") == 0 || strcmp(state, "SE004") == 0)
		return EVICTED;
	if (strcmp(state, "SE003") == 0)
		return BEHIND;
	if (strcmp(state, "25006") == 0)
		return READ_ONLY;
	for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++)
	{
		if (strncmp(state, passing[i], strlen(passing[i])) == 0)
			return LOST;
	}
	die(PQresultErrorMessage(result), "");
}

/* The next result of the statement that was sent, NULL if it has no more. */
static PGresult *
next_result(PGconn *conn)
{
	while (!stopping && PQisBusy(conn))
	{
		if (wait_for_input(PQsocket(conn), -1) && !PQconsumeInput(conn))
			break;
	}
	if (stopping)
	{
		PGcancel   *cancel = PQgetCancel(conn);
		char		message[256];

		if (cancel != NULL)
			(void) PQcancel(cancel, message, sizeof message);
		PQfreeCancel(cancel);
	}
	return PQgetResult(conn);
}

/*
 * Run a statement.  Its result is all there or it is an error: nothing that we
 * do depends on half of one.
 */
static Outcome
run(PGconn *conn, const char *sql, int nparams, const char *const *params, PGresult **result)
{
	Outcome		outcome = FINE;
	PGresult   *next;

	*result = NULL;
	if (!PQsendQueryParams(conn, sql, nparams, NULL, params, NULL, NULL, 0))
	{
		fprintf(stderr, "subscriber: %s", PQerrorMessage(conn));
		outcome = LOST;
	}
	while ((next = next_result(conn)) != NULL)
	{
		ExecStatusType status = PQresultStatus(next);

		if (stopping)
			outcome = STOPPED;
		else if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		{
			outcome = judge(conn, next);
			fprintf(stderr, "subscriber: %s", PQresultErrorMessage(next));
		}
		PQclear(*result);
		*result = next;
	}
	if (outcome != FINE)
	{
		PQclear(*result);
		*result = NULL;
	}
	return outcome;
}

/* As run(), for a statement whose result nobody needs. */
static Outcome
run_command(PGconn *conn, const char *sql, int nparams, const char *const *params)
{
	PGresult   *result;
	Outcome		outcome = run(conn, sql, nparams, params, &result);

	PQclear(result);
	return outcome;
}

/* Read the number, and the history, that were saved; false if there is no file. */
static bool
load_cursor(const char *path, int64_t *cursor, char *history)
{
	FILE	   *file = fopen(path, "r");
	char		end;
	int			fields;

	if (file == NULL && errno == ENOENT)
		return false;
	if (file == NULL)
		die("could not open the file of the cursor: ", strerror(errno));
	fields = fscanf(file, "%" SCNd64 "%c%36[0-9a-f-]%c", cursor, &end, history, &end);
	if ((fields != 2 && fields != 4) || end != '\n' || *cursor < 0)
		die("there is no cursor in ", path);
	fclose(file);
	return true;
}

/* Have a change of the folder that a file is in survive a crash. */
static bool
sync_folder_of(const char *path)
{
	char		folder[4096] = ".";
	const char *slash = strrchr(path, '/');
	int			fd;
	bool		fine;

	if (slash != NULL)
		snprintf(folder, sizeof folder, "%.*s", (int) (slash - path) + 1, path);
	fd = open(folder, O_RDONLY);
	fine = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return fine;
}

/* Replace the file by a new one, so that there is always a whole one. */
static void
save_cursor(const char *path, int64_t cursor, const char *history)
{
	char		temporary[4096];
	FILE	   *file;

	if (snprintf(temporary, sizeof temporary, "%s.new", path) >= (int) sizeof temporary)
		die("this name is too long: ", path);
	file = fopen(temporary, "w");
	if (file == NULL ||
		fprintf(file, "%" PRId64 "%s%s\n", cursor, *history ? " " : "", history) < 0 || fflush(file) != 0 ||
		fsync(fileno(file)) != 0 || fclose(file) != 0 ||
		rename(temporary, path) != 0 || !sync_folder_of(path))
		die("could not save the cursor: ", strerror(errno));
}

/* All up to a number is printed: have it leave us, and only then say so. */
static void
advance(Subscriber *sub, int64_t number, const char *history)
{
	if (fflush(stdout) != 0)
		die("could not write: ", strerror(errno));
	if (sub->cursor_file != NULL &&
		(number != sub->cursor || strcmp(history, sub->history) != 0))
		save_cursor(sub->cursor_file, number, history);
	sub->cursor = number;
	snprintf(sub->history, sizeof sub->history, "%s", history);
}

/* Read what comes after the cursor, and print it. */
static Outcome
read_log(Subscriber *sub)
{
	char		cursor[NUMBER_SIZE];
	const char *params[] = {cursor, sub->prefixed ? sub->first_key : NULL,
	*sub->history ? sub->history : NULL};
	PGresult   *result;
	Outcome		outcome;
	int64_t		number = sub->cursor;
	char		history[HISTORY_SIZE] = "";

	snprintf(cursor, sizeof cursor, "%" PRId64, sub->cursor);
	outcome = run(sub->conn, READ_SQL, 3, params, &result);
	if (outcome != FINE)
		return outcome;
	for (int i = 0; i < PQntuples(result); i++)
	{
		const char *op = PQgetvalue(result, i, 1);

		/* The last row: it tells how far this was, whatever was let through. */
		if (strcmp(op, "progress") == 0)
		{
			number = strtoll(PQgetvalue(result, i, 0), NULL, 10);
			snprintf(history, sizeof history, "%s", PQgetvalue(result, i, 4));
		}
		else if (PQgetisnull(result, i, 3))
			printf("%s %s \\x%s\n", PQgetvalue(result, i, 0), op, PQgetvalue(result, i, 2));
		else
			printf("%s %s \\x%s \\x%s\n", PQgetvalue(result, i, 0), op,
				   PQgetvalue(result, i, 2), PQgetvalue(result, i, 3));
	}
	PQclear(result);
	advance(sub, number, history);
	return FINE;
}

/* Print the pairs of the range that the transaction sees. */
static Outcome
print_pairs(Subscriber *sub, const char *number)
{
	const char *range[] = {sub->first_key, sub->last_key};
	Outcome		outcome = run_command(sub->conn, SCAN_SQL, 2, range);
	PGresult   *result;
	int			rows = 1;

	while (outcome == FINE && rows > 0)
	{
		outcome = run(sub->conn, "FETCH 1000 FROM pairs", 0, NULL, &result);
		if (outcome != FINE)
			break;
		rows = PQntuples(result);
		for (int i = 0; i < rows; i++)
			printf("%s pair \\x%s \\x%s\n", number, PQgetvalue(result, i, 0), PQgetvalue(result, i, 1));
		PQclear(result);
	}
	return outcome;
}

/*
 * Start over: print the pairs there are, and go on after the number that they
 * are the state of.  Both must come from one snapshot, hence the transaction.
 */
static Outcome
rebuild(Subscriber *sub)
{
	PGresult   *result;
	Outcome		outcome;
	char		number[NUMBER_SIZE];
	char		history[HISTORY_SIZE];

	outcome = run_command(sub->conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0, NULL);
	if (outcome == FINE)
		outcome = run(sub->conn, "SELECT store_current_sequence(), store_history()", 0, NULL, &result);
	if (outcome != FINE)
		return outcome;
	snprintf(number, sizeof number, "%s", PQgetvalue(result, 0, 0));
	snprintf(history, sizeof history, "%s", PQgetvalue(result, 0, 1));
	PQclear(result);

	printf("%s rebuild\n", number);
	outcome = print_pairs(sub, number);
	if (outcome == FINE)
		outcome = run_command(sub->conn, "COMMIT", 0, NULL);
	if (outcome != FINE)
		return outcome;
	printf("%s rebuilt\n", number);
	advance(sub, strtoll(number, NULL, 10), history);
	return FINE;
}

/* Have the server say when a number is there, or that it was too long. */
static Outcome
wait_for_number(Subscriber *sub, int64_t number)
{
	char		text[NUMBER_SIZE];
	const char *params[] = {text, WAIT_INTERVAL};

	snprintf(text, sizeof text, "%" PRId64, number);
	return run_command(sub->conn, WAIT_SQL, 2, params);
}

/* Take all notifications that have come; true if there was one. */
static bool
take_notifications(PGconn *conn)
{
	PGnotify   *notification;
	bool		any = false;

	while ((notification = PQnotifies(conn)) != NULL)
	{
		any = true;
		PQfreemem(notification);
	}
	return any;
}

/*
 * Wait for a notification.  What it says does not matter: it is a hint to read
 * on.  Nor does it matter if one gets lost, for now and then we look without.
 */
static Outcome
wait_for_notification(Subscriber *sub)
{
	bool		came = true;

	while (came && !stopping)
	{
		if (!PQconsumeInput(sub->conn))
		{
			fprintf(stderr, "subscriber: %s", PQerrorMessage(sub->conn));
			return LOST;
		}
		if (take_notifications(sub->conn))
			break;
		came = wait_for_input(PQsocket(sub->conn), WAIT_MS);
	}
	return stopping ? STOPPED : FINE;
}

/*
 * Connect, and listen before anything is read: what is written after a read is
 * notified, and what was written before it is read.  Standbys have no LISTEN;
 * there we wait.  What CONNINFO says comes after our defaults and wins.
 */
static Outcome
open_connection(Subscriber *sub, const char *conninfo)
{
	const char *const keywords[] = {"fallback_application_name", "connect_timeout",
	"keepalives_idle", "tcp_user_timeout", "dbname", NULL};
	const char *const values[] = {"subscriber", "10", "30", "30000", conninfo, NULL};
	Outcome		outcome = FINE;

	sub->conn = PQconnectdbParams(keywords, values, 1);
	if (PQstatus(sub->conn) != CONNECTION_OK)
	{
		fprintf(stderr, "subscriber: %s", PQerrorMessage(sub->conn));
		return LOST;
	}
	if (sub->listen)
		outcome = run_command(sub->conn, "LISTEN storeengine", 0, NULL);
	sub->listening = sub->listen && outcome == FINE;
	return outcome == READ_ONLY ? FINE : outcome;
}

/* One step on a connection: read, start over or wait. */
static Outcome
step(Subscriber *sub)
{
	int64_t		before = sub->cursor;
	Outcome		outcome = read_log(sub);

	if (outcome == EVICTED)
		return rebuild(sub);
	if (outcome == BEHIND)
		return wait_for_number(sub, sub->cursor);
	if (outcome != FINE || sub->cursor != before || sub->cursor >= sub->until)
		return outcome;
	return sub->listening ? wait_for_notification(sub) : wait_for_number(sub, sub->cursor + 1);
}

/* Follow the store until told to stop, or as far as it is to go. */
static void
follow(Subscriber *sub, const char *conninfo)
{
	int			delay = RETRY_MIN_MS;

	while (!stopping && sub->cursor < sub->until)
	{
		Outcome		outcome = open_connection(sub, conninfo);

		while (outcome == FINE && !stopping && sub->cursor < sub->until)
		{
			outcome = step(sub);
			if (outcome == FINE)
				delay = RETRY_MIN_MS;
		}
		if (outcome == READ_ONLY || outcome == EVICTED || outcome == BEHIND)
			die("the server refuses what it should not: ", PQerrorMessage(sub->conn));
		PQfinish(sub->conn);
		if (outcome == LOST)
		{
			(void) wait_for_input(-1, delay);
			delay = delay * 2 < RETRY_MAX_MS ? delay * 2 : RETRY_MAX_MS;
		}
	}
}

/* Set the range of all keys that begin with a prefix. */
static void
set_prefix(Subscriber *sub, const char *prefix)
{
	size_t		len = strlen(prefix);

	if (len > MAX_KEY_BYTES)
		die("no key is as long as ", prefix);
	strcpy(sub->first_key, "\\x");
	for (size_t i = 0; i < len; i++)
		sprintf(sub->first_key + 2 + 2 * i, "%02x", (unsigned char) prefix[i]);
	sprintf(sub->last_key, "%s%0*d", sub->first_key, (int) (2 * (MAX_KEY_BYTES - len)), 0);
	memset(sub->last_key + 2 + 2 * len, 'f', 2 * (MAX_KEY_BYTES - len));
	sub->prefixed = len > 0;
}

static int64_t
parse_number(const char *text)
{
	char	   *end;
	long long	number = strtoll(text, &end, 10);

	if (*text == '\0' || *end != '\0' || number < 0)
		die("not a sequence number: ", text);
	return number;
}

int
main(int argc, char **argv)
{
	Subscriber	sub = {.until = INT64_MAX, .listen = true};
	const char *conninfo = "";

	set_prefix(&sub, "");
	for (int i = 1; i < argc; i++)
	{
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(argv[i], "--wait") == 0)
		{
			sub.listen = false;
			continue;
		}
		if (value != NULL && strcmp(argv[i], "--prefix") == 0)
			set_prefix(&sub, value);
		else if (value != NULL && strcmp(argv[i], "--cursor") == 0)
			sub.cursor_file = value;
		else if (value != NULL && strcmp(argv[i], "--from") == 0)
			sub.cursor = parse_number(value);
		else if (value != NULL && strcmp(argv[i], "--until") == 0)
			sub.until = parse_number(value);
		else if (value != NULL && strcmp(argv[i], "--database") == 0)
			conninfo = value;
		else
			die("usage: subscriber [--prefix PREFIX] [--cursor FILE] [--from N] [--until N] "
				"[--wait] [--database CONNINFO]", "");
		i++;
	}

	if (sub.cursor_file != NULL)
		(void) load_cursor(sub.cursor_file, &sub.cursor, sub.history);
	install_handlers();
	follow(&sub, conninfo);
	return 0;
}
