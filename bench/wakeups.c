/*
 * wakeups.c - how soon subscribers hear of a batch, and what they cost writers
 *
 *     ./wakeups [--quick] [CONNINFO]
 *     ./wakeups --listeners ROUNDS SECONDS [CONNINFO]
 *
 * Writers are processes that put one new random pair at a time, each put a
 * transaction of its own.  The delay of a batch is the time from when its
 * writer had the answer of store_put(), so that the batch was committed, to
 * when a subscriber's wake-up for it, or for a later one, was with the client:
 * a notification, or the return of store_wait_for_sequence().  Both times are
 * CLOCK_MONOTONIC.  It can be negative: the writer is one process among many
 * that the kernel has to run.  bench/latency sets a server up for this.
 *
 * With --listeners there is only one thing to tell, a line for each round: puts per
 * second of 32 writers with 50 listeners, and without.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "clock.h"

#define MAX_BATCHES		2000000 /* of one run */
#define MAX_IDLE		50
#define MAX_ROUNDS		9
#define TICK_MS			50		/* how often to see whether the run is over */

typedef enum Way
{
	NOBODY,
	LISTENER,
	WAITER,
	CONNECTED					/* not a subscriber, but a session, too */
} Way;

/* What runs together for a while. */
typedef struct Setup
{
	int			writers;
	int			rate;			/* puts per second of all writers, 0: what they can */
	Way			follower;		/* is there one that follows, and how? */
	bool		reads;			/* does it read what it is told of? */
	Way			idle;			/* are there others with nothing to do? */
	int			idlers;
} Setup;

/* What came of it. */
typedef struct Outcome
{
	double		puts_per_second;
	double		p50,
				p99;			/* of the delays, in ms */
} Outcome;

/* What all processes share; times are in ns. */
typedef struct Shared
{
	atomic_int	ready;			/* processes that are connected */
	atomic_bool go;
	atomic_bool stop_writing;
	atomic_bool stop;
	atomic_int_least64_t heard; /* the highest number the follower heard of */
	int64_t		base;			/* the current number before the run */
	int64_t		committed[MAX_BATCHES];
	int64_t		woken[MAX_BATCHES];
} Shared;

static Shared *shared;
static const char *conninfo = "";
static double seconds = 3;

static void __attribute__((noreturn))
die(const char *what, const char *detail)
{
	fprintf(stderr, "wakeups: %s%s\n", what, detail);
	exit(1);
}

static PGresult *
check(PGconn *conn, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		die("a statement failed: ", PQerrorMessage(conn));
	return result;
}

static void
run(PGconn *conn, const char *sql)
{
	PQclear(check(conn, PQexec(conn, sql)));
}

static PGconn *
open_connection(void)
{
	PGconn	   *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) != CONNECTION_OK)
		die("could not connect: ", PQerrorMessage(conn));
	run(conn, "SET client_min_messages = warning");
	return conn;
}

static int64_t
value(PGconn *conn, const char *sql)
{
	PGresult   *result = check(conn, PQexec(conn, sql));
	int64_t		number = strtoll(PQgetvalue(result, 0, 0), NULL, 10);

	PQclear(result);
	return number;
}

/* Say that this process is ready, and wait for the others. */
static void
line_up(void)
{
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->go))
		usleep(1000);
}

/* Put pairs, at a rate if there is one, until it is time to stop. */
static void
write_pairs(const Setup *setup, int writer)
{
	PGconn	   *conn = open_connection();
	int64_t		interval = setup->rate > 0 ? NANOS * setup->writers / setup->rate : 0;
	int64_t		turn;

	PQclear(check(conn, PQprepare(conn, "put",
								  "SELECT store_put(decode(md5($1), 'hex'),"
								  " decode(repeat(md5($1), 6), 'hex'))", 0, NULL)));
	line_up();
	turn = now() + interval * writer / setup->writers;
	for (int64_t i = 0; !atomic_load(&shared->stop_writing); i++)
	{
		char		seed[64];
		const char *params[] = {seed};
		PGresult   *result;
		int64_t		index;

		if (interval > 0)
			sleep_until(turn);
		turn += interval;
		snprintf(seed, sizeof seed, "%d %" PRId64 " %" PRId64, writer, i, shared->base);
		result = check(conn, PQexecPrepared(conn, "put", 1, params, NULL, NULL, 0));
		index = strtoll(PQgetvalue(result, 0, 0), NULL, 10) - shared->base - 1;
		PQclear(result);
		if (index >= MAX_BATCHES)
			die("there are too many batches", "");
		shared->committed[index] = now();
	}
	PQfinish(conn);
}

/* A wake-up for a number is one for all up to it. */
static void
note_heard(int64_t number)
{
	int64_t		time = now();

	for (int64_t n = atomic_load(&shared->heard) + 1; n <= number; n++)
		shared->woken[n - shared->base - 1] = time;
	if (number > atomic_load(&shared->heard))
		atomic_store(&shared->heard, number);
}

/* Wait for a notification and note the number; false if none comes. */
static bool
hear(PGconn *conn)
{
	struct pollfd fd = {PQsocket(conn), POLLIN, 0};
	PGnotify   *notification;
	bool		any = false;

	if (poll(&fd, 1, TICK_MS) > 0 && !PQconsumeInput(conn))
		die("lost the connection: ", PQerrorMessage(conn));
	while ((notification = PQnotifies(conn)) != NULL)
	{
		note_heard(strtoll(notification->extra, NULL, 10));
		PQfreemem(notification);
		any = true;
	}
	return any;
}

/* Wait for the next number and note it; false if it does not come. */
static bool
await(PGconn *conn)
{
	int64_t		heard = atomic_load(&shared->heard);
	char		sql[100];
	int64_t		reached;

	snprintf(sql, sizeof sql, "CALL store_wait_for_sequence(%" PRId64 ", '%d ms')", heard + 1, TICK_MS);
	reached = value(conn, sql);
	note_heard(reached);
	return reached > heard;
}

/* Follow until it is time to stop. */
static void
follow(const Setup *setup)
{
	PGconn	   *conn = open_connection();
	int64_t		cursor = shared->base;

	if (setup->follower == LISTENER)
		run(conn, "LISTEN storeengine");
	line_up();
	while (!atomic_load(&shared->stop))
	{
		char		sql[100];
		bool		any = setup->follower == LISTENER ? hear(conn) : await(conn);

		if (!any || !setup->reads)
			continue;
		snprintf(sql, sizeof sql, "SELECT max(sequence_number) FROM store_read_log(%" PRId64 ")", cursor);
		cursor = value(conn, sql);
	}
	PQfinish(conn);
}

/* Have sessions that listen, or wait for what does not come. */
static void
idle(const Setup *setup)
{
	PGconn	   *conns[MAX_IDLE];
	struct pollfd fds[MAX_IDLE];
	PGnotify   *notification;

	for (int i = 0; i < setup->idlers; i++)
	{
		conns[i] = open_connection();
		fds[i] = (struct pollfd) {PQsocket(conns[i]), POLLIN, 0};
		if (setup->idle == LISTENER)
			run(conns[i], "LISTEN storeengine");
		else if (setup->idle == WAITER && !PQsendQuery(conns[i], "CALL store_wait_for_sequence(9000000000000000000)"))
			die("could not send: ", PQerrorMessage(conns[i]));
	}
	line_up();
	while (!atomic_load(&shared->stop))
	{
		if (poll(fds, setup->idlers, TICK_MS) <= 0)
			continue;
		for (int i = 0; i < setup->idlers; i++)
		{
			if (fds[i].revents != 0 && !PQconsumeInput(conns[i]))
				die("lost a connection: ", PQerrorMessage(conns[i]));
			while ((notification = PQnotifies(conns[i])) != NULL)
				PQfreemem(notification);
		}
	}
	for (int i = 0; i < setup->idlers; i++)
	{
		PGcancel   *cancel = PQgetCancel(conns[i]);
		char		message[256];

		if (setup->idle == WAITER)
			(void) PQcancel(cancel, message, sizeof message);
		PQfreeCancel(cancel);
		PQfinish(conns[i]);
	}
}

/* Start a process: a writer, or the follower, or the idle ones. */
static void
start(const Setup *setup, int writer)
{
	pid_t		pid = fork();

	if (pid < 0)
		die("could not fork", "");
	if (pid > 0)
		return;
	if (writer >= 0)
		write_pairs(setup, writer);
	else if (writer == -1)
		follow(setup);
	else
		idle(setup);
	_exit(0);
}

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

/* Of sorted numbers, the one that a share of them is not above. */
static double
quantile(const double *sorted, int count, double share)
{
	return count == 0 ? 0 : sorted[(int) (share * (count - 1) + 0.5)];
}

/* Work out what came of a run in which this many batches were written. */
static void
evaluate(int64_t batches, double elapsed, Outcome *outcome)
{
	double	   *delays = malloc(sizeof(double) * (batches + 1));
	int			count = 0;

	if (delays == NULL)
		die("out of memory", "");
	for (int64_t i = 0; i < batches; i++)
	{
		if (shared->committed[i] != 0 && shared->woken[i] != 0)
			delays[count++] = (double) (shared->woken[i] - shared->committed[i]) / 1e6;
	}
	qsort(delays, count, sizeof(double), compare);
	outcome->puts_per_second = (double) batches / elapsed;
	outcome->p50 = quantile(delays, count, 0.5);
	outcome->p99 = quantile(delays, count, 0.99);
	free(delays);
}

/* Wait for the processes to end. */
static void
collect(int processes)
{
	int			status;

	while (processes-- > 0)
	{
		if (wait(&status) < 0 || status != 0)
			die("a process failed", "");
	}
}

/* Run a setup once. */
static void
measure(const Setup *setup, Outcome *outcome)
{
	int			others = (setup->follower != NOBODY) + (setup->idle != NOBODY);
	PGconn	   *conn = open_connection();
	int64_t		started,
				last;
	double		elapsed;

	memset(shared, 0, sizeof(Shared));
	shared->base = value(conn, "SELECT store_current_sequence()");
	atomic_store(&shared->heard, shared->base);
	for (int i = 0; i < setup->writers; i++)
		start(setup, i);
	if (setup->follower != NOBODY)
		start(setup, -1);
	if (setup->idle != NOBODY)
		start(setup, -2);
	while (atomic_load(&shared->ready) < setup->writers + others)
		usleep(1000);

	started = now();
	atomic_store(&shared->go, true);
	sleep_until(started + (int64_t) (seconds * 1e9));
	atomic_store(&shared->stop_writing, true);
	collect(setup->writers);
	elapsed = (double) (now() - started) / 1e9;

	last = value(conn, "SELECT store_current_sequence()");
	while (setup->follower != NOBODY && atomic_load(&shared->heard) < last)
	{
		if (now() - started > (int64_t) ((seconds + 10) * 1e9))
			die("the follower did not hear of the last batch", "");
		usleep(1000);
	}
	atomic_store(&shared->stop, true);
	collect(others);
	evaluate(last - shared->base, elapsed, outcome);
	PQfinish(conn);
}

/* The median of the rounds' figures. */
static double
median(const double *figures, int rounds)
{
	double		sorted[MAX_ROUNDS];

	memcpy(sorted, figures, sizeof(double) * rounds);
	qsort(sorted, rounds, sizeof(double), compare);
	return quantile(sorted, rounds, 0.5);
}

/* Print the delays, the medians of those of interleaved rounds. */
static void
report_delays(int rounds)
{
	static const int writers[] = {1, 32};
	static const int rates[] = {100, 500, 0};
	static const Way ways[] = {LISTENER, WAITER};
	double		p50[12][MAX_ROUNDS];
	double		p99[12][MAX_ROUNDS];
	double		puts[12][MAX_ROUNDS];

	for (int round = 0; round < rounds; round++)
	{
		for (int i = 0; i < 12; i++)
		{
			Setup		setup = {.writers = writers[i / 6],.rate = rates[i / 2 % 3],.follower = ways[i % 2]};
			Outcome		outcome;

			measure(&setup, &outcome);
			p50[i][round] = outcome.p50;
			p99[i][round] = outcome.p99;
			puts[i][round] = outcome.puts_per_second;
		}
	}

	printf("| writers | puts/s | through | p50 (ms) | p99 (ms) |\n|--:|--:|---|--:|--:|\n");
	for (int i = 0; i < 12; i++)
		printf("| %d | %.0f | %s | %.2f | %.2f |\n", writers[i / 6], median(puts[i], rounds),
			   ways[i % 2] == LISTENER ? "LISTEN" : "waiting",
			   median(p50[i], rounds), median(p99[i], rounds));
	fflush(stdout);
}

/*
 * Tell how many puts per second there are with subscribers and without, in
 * turns.  Against idle subscribers there are as many sessions that are none:
 * what connections cost is PostgreSQL's.
 */
static void
compare_once(const Setup *with, bool with_first, double *bare, double *ratio)
{
	Setup		without = {.writers = with->writers,.idle = with->idle == NOBODY ? NOBODY : CONNECTED,.idlers = with->idlers};
	Outcome		outcomes[2] = {0};

	for (int i = 0; i < 2; i++)
	{
		bool		now_with = (i == 0) == with_first;

		measure(now_with ? with : &without, &outcomes[now_with]);
	}
	*bare = outcomes[false].puts_per_second;
	*ratio = outcomes[true].puts_per_second / *bare;
}

/* Print what subscribers cost, as ratios to what was done without. */
static void
report_cost(int rounds)
{
	static const int writers[] = {1, 32};
	static const char *const names[] = {"one listens and reads", "one waits and reads",
	"50 listen", "50 wait"};
	static const Setup setups[] = {
		{.follower = LISTENER,.reads = true},
		{.follower = WAITER,.reads = true},
		{.idle = LISTENER,.idlers = MAX_IDLE},
		{.idle = WAITER,.idlers = MAX_IDLE},
	};
	double		bare[8][MAX_ROUNDS];
	double		ratios[8][MAX_ROUNDS];

	for (int round = 0; round < rounds; round++)
	{
		for (int i = 0; i < 8; i++)
		{
			Setup		with = setups[i % 4];

			with.writers = writers[i / 4];
			compare_once(&with, round % 2 == 1, &bare[i][round], &ratios[i][round]);
		}
	}

	printf("\n| writers | subscribers | puts/s without | ratio | lowest to highest |\n|--:|---|--:|--:|---|\n");
	for (int i = 0; i < 8; i++)
	{
		qsort(ratios[i], rounds, sizeof(double), compare);
		printf("| %d | %s | %.0f | %.2f | %.2f to %.2f |\n", writers[i / 4], names[i % 4],
			   median(bare[i], rounds), median(ratios[i], rounds), ratios[i][0], ratios[i][rounds - 1]);
	}
}

/* Print what comes of each round with and without listeners. */
static void
report_listeners(int rounds)
{
	static const Setup setup = {.writers = 32,.idle = LISTENER,.idlers = MAX_IDLE};

	for (int round = 0; round < rounds; round++)
	{
		double		bare;
		double		ratio;

		compare_once(&setup, round % 2 == 1, &bare, &ratio);
		printf("%.1f %.1f\n", bare * ratio, bare);
	}
}

static void
share_memory(void)
{
	shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("out of memory", "");
}

int
main(int argc, char **argv)
{
	int			rounds = 5;

	if (argc > 3 && strcmp(argv[1], "--listeners") == 0)
	{
		rounds = atoi(argv[2]);
		seconds = atof(argv[3]);
		if (argc > 5 || rounds < 1 || !(seconds > 0))
			die("usage: wakeups --listeners ROUNDS SECONDS [CONNINFO]", "");
		if (argc == 5)
			conninfo = argv[4];
		share_memory();
		report_listeners(rounds);
		return 0;
	}
	if (argc > 1 && strcmp(argv[1], "--quick") == 0)
	{
		rounds = 1;
		seconds = 1;
		argc--;
		argv++;
	}
	if (argc > 2 || (argc == 2 && argv[1][0] == '-'))
		die("usage: wakeups [--quick] [CONNINFO]", "");
	if (argc == 2)
		conninfo = argv[1];

	share_memory();
	report_delays(rounds);
	report_cost(rounds);
	return 0;
}
