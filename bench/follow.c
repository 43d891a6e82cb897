/*
 * follow.c - how soon a subscriber has what was put
 *
 * One thread follows the store while clients put pairs, one at a time.  Each value
 * begins with the number of its put, by which it is known again.  Two times are
 * told of each put, up to when its value was with the subscriber: since the put
 * was begun, and since it returned, that is, was committed.  The latter can be
 * negative, as nobody says who is to be told first.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "follow.h"

#define MAX_PUTS		(1 << 22)
#define PATIENCE		10		/* seconds for what was put to be heard of */

/* All times are in ns; 0 is none. */
typedef struct Put
{
	int64_t		begun;
	int64_t		committed;
	int64_t		heard;
} Put;

static const Target *target;
static void *session;			/* of who follows */
static pthread_t thread;
static Put *all;
static atomic_int_least64_t begun;	/* how many */
static atomic_int_least64_t heard;
static int64_t first;			/* to be told of */
static atomic_bool stop;

static void __attribute__((noreturn))
die(const char *what)
{
	fprintf(stderr, "%s: %s\n", target->name, what);
	exit(1);
}

/* Take note of a value that the subscriber has. */
static void
hear(const void *value, size_t len)
{
	int64_t		number;

	if (len < sizeof number)
		die("what is heard was not put");
	memcpy(&number, value, sizeof number);
	if (number < 0 || number >= atomic_load(&begun) || all[number].heard != 0)
		die("what is heard was not put, or is heard twice");
	all[number].heard = now();
	atomic_fetch_add(&heard, 1);
}

static void *
follow(void *unused)
{
	(void) unused;
	while (!atomic_load(&stop))
		target->follow(session, hear);
	return NULL;
}

/* Have somebody follow from now on.  To be called before clients put. */
void
follow_open(const Target *of, const Options *options)
{
	target = of;
	if (target->follow == NULL)
		die("nobody can follow this");
	if (options->batch != 1 || options->pipeline != 1 || options->value_bytes < (int) sizeof(int64_t))
		die("to follow takes single pairs with values of 8 bytes");
	all = calloc(MAX_PUTS, sizeof(Put));
	if (all == NULL)
		die("out of memory");
	session = target->open_follower(options);
	if (pthread_create(&thread, NULL, follow, NULL) != 0)
		die("could not create a thread");
}

/* Put a pair that is to be heard of. */
void
follow_put(void *opaque, const Pair *pair)
{
	int64_t		number = atomic_fetch_add(&begun, 1);

	if (number >= MAX_PUTS)
		die("there are too many puts");
	memcpy((unsigned char *) pair->value, &number, sizeof number);
	all[number].begun = now();
	target->put(opaque, pair, 1);
	all[number].committed = now();
}

/* Tell of what is put from now on.  Nobody may be putting. */
void
follow_start(void)
{
	first = atomic_load(&begun);
}

/* Wait until all that was put was heard of, and stop to follow. */
void
follow_end(void)
{
	int64_t		end = now() + PATIENCE * NANOS;

	while (atomic_load(&heard) < atomic_load(&begun))
	{
		if (now() > end)
			die("the subscriber did not hear of all that was put");
		sleep_until(now() + NANOS / 1000);
	}
	atomic_store(&stop, true);
	if (target->wake_follower != NULL)
		target->wake_follower(session);
	pthread_join(thread, NULL);
	target->close_follower(session);
}

static int
compare(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

/* Print the percentiles of times, in us; they are put in order. */
static void
print_percentiles(const char *since, int64_t *times, int64_t count)
{
	static const int percents[] = {50, 95, 99};

	qsort(times, count, sizeof *times, compare);
	for (int i = 0; i < 3; i++)
		printf(" heard_since_%s_p%d_us=%.1f", since, percents[i],
			   (double) times[(count - 1) * percents[i] / 100] / 1000);
}

/* Print fields, each after a space. */
void
follow_report(void)
{
	int64_t		count = atomic_load(&begun) - first;
	int64_t    *times = calloc(count + 1, sizeof *times);

	if (times == NULL)
		die("out of memory");
	for (int64_t i = 0; i < count; i++)
		times[i] = all[first + i].heard - all[first + i].begun;
	print_percentiles("begin", times, count);
	for (int64_t i = 0; i < count; i++)
		times[i] = all[first + i].heard - all[first + i].committed;
	print_percentiles("commit", times, count);
	free(times);
	free(all);
}
