/*
 * load.c - put load on a store, and tell how fast it was
 *
 *     TARGET [--target WHERE] [--way NAME] [--work NAME] [--clients N] ...
 *
 * Prints one line of fields, name=value: the operations and entries that there
 * were, the seconds they took, entries per second, percentiles of the time that an
 * operation took in microseconds, and the CPU time of this process.
 *
 * All targets get the same: key i of --space is the same bytes, new keys depend on
 * --seed and the client's number, and values are pseudo-random bytes.  They are made
 * while the clock runs, but outside of the time of an operation.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "clock.h"
#include "follow.h"
#include "load.h"
#include "options.h"

#define LOAD_BATCH		1000

/*
 * Times are counted in bins: below 2^(SUB_BITS + 1) ns each has one of its own,
 * above that each power of two has 2^SUB_BITS, so that no bin is wider than 0.8 %
 * of what is in it.
 */
#define SUB_BITS		7
#define BINS			((64 - SUB_BITS + 1) << SUB_BITS)

typedef enum Action
{
	PUT,
	GET,
	GET_MANY,
	RANGE,
	OWN,						/* of the target */
	FOLLOW,						/* put, and see when a subscriber has it */
	MIX
} Action;

/* Shares of a mix; what is left are ranges. */
typedef struct Mix
{
	const char *name;
	double		gets;
	double		puts;
} Mix;

typedef struct Client
{
	int			number;
	pthread_t	thread;
	void	   *session;
	uint64_t	random;			/* state of the generator */
	uint64_t	counter;		/* of ascending keys */
	unsigned char *bytes;		/* of the pairs */
	Pair	   *pairs;
	int64_t		operations;
	int64_t		entries;
	int64_t		longest;		/* ns */
	int64_t		bins[BINS];
} Client;

/* As in the validator of the reference. */
static const Mix mixes[] = {
	{"read-heavy", .95, .05},
	{"balanced", .67, .30},
	{"write-heavy", .20, .80},
	{"scan-heavy", .40, .10},
	{"ingest-burst", 0, 1},
};

static const Target *target;
static Options options;
static Action action;
static const Mix *mix;
static int	(*own_work) (void *session, const Pair *keys, int count);
static int	room;				/* pairs that a client has to make at once */

static pthread_barrier_t ready; /* all are connected and warm */
static pthread_barrier_t go;
static int64_t started;
static atomic_bool stop;
static atomic_int_least64_t turns;	/* operations that were begun */

static void __attribute__((noreturn))
die(const char *what, const char *detail)
{
	fprintf(stderr, "%s: %s%s\n", target->name, what, detail);
	exit(1);
}

static void *
allocate(size_t size)
{
	void	   *memory = calloc(1, size);

	if (memory == NULL)
		die("out of memory", "");
	return memory;
}

/* ------------------------------------------------------------ keys, values */

/* splitmix64: each number has another one as its image. */
static uint64_t
scramble(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static uint64_t
next_random(Client *client)
{
	return scramble(client->random++);
}

static uint64_t
random_below(Client *client, uint64_t limit)
{
	return (uint64_t) ((unsigned __int128) next_random(client) * limit >> 64);
}

/* A random number from 0 to below 1. */
static double
random_share(Client *client)
{
	return (double) (next_random(client) >> 11) / (double) (UINT64_C(1) << 53);
}

/* Write the lower bytes of a number, the highest first. */
static void
write_number(unsigned char *bytes, uint64_t number, int count)
{
	for (int i = 0; i < count; i++)
		bytes[i] = (unsigned char) (number >> 8 * (count - 1 - i));
}

/* Fill bytes with what follows from a number, for 8 bytes with the number. */
static void
derive(unsigned char *bytes, int count, uint64_t number)
{
	for (; count > 8; bytes += 8, count -= 8, number = scramble(number))
		write_number(bytes, number, 8);
	write_number(bytes, count == 8 ? number : number >> 8 * (8 - count), count);
}

/* Write a key that follows from a number, below all ascending ones. */
static void
write_scattered_key(unsigned char *key, uint64_t number)
{
	derive(key, options.key_bytes, number);
	if (key[0] == 0xff)
		key[0] = 0xfe;
}

static void
write_ascending_key(Client *client, unsigned char *key)
{
	/*
	 * Above scattered ones, above those of lower seeds, above those of lower
	 * clients.
	 */
	key[0] = 0xff;
	write_number(key + 1, options.seed, 3);
	write_number(key + 4, client->number, 2);
	write_number(key + 6, client->counter++, 6);
	derive(key + ASCENDING_BYTES, options.key_bytes - ASCENDING_BYTES, scramble(client->counter));
}

/*
 * Write a key.  Those of --space begin with the image of their number, new ones
 * with that of a random one; so both are spread evenly, and never the same but
 * by chance, which is one in 10^12 for 10^7 of them.
 */
static void
write_key(Client *client, unsigned char *key, KeyOrder order, uint64_t number)
{
	switch (order)
	{
		case KEYS_RANDOM:
			write_scattered_key(key, next_random(client));
			break;
		case KEYS_ASCENDING:
			write_ascending_key(client, key);
			break;
		case KEYS_EXISTING:
			write_scattered_key(key, scramble(number % options.space));
			break;
		case KEYS_ONE:
			write_scattered_key(key, scramble(0));
			break;
	}
}

static void
write_value(Client *client, unsigned char *value)
{
	int			fresh = options.compressible ? options.value_bytes / 4 : options.value_bytes;
	uint64_t	word;
	int			i;

	/* Not by derive(): it need not look the same on all machines. */
	for (i = 0; i + 8 <= fresh; i += 8)
	{
		word = next_random(client);
		memcpy(value + i, &word, 8);
	}
	word = next_random(client);
	memcpy(value + i, &word, fresh - i);
	for (i = fresh; fresh > 0 && i < options.value_bytes; i++)
		value[i] = value[i - fresh];
}

/*
 * Make pairs, or only keys.  Existing keys of one batch are all different: they
 * have numbers that follow each other, which nothing tells by their bytes.
 */
static const Pair *
make_pairs(Client *client, int count, KeyOrder order, uint64_t number, bool values)
{
	for (int i = 0; i < count; i++)
	{
		Pair	   *pair = &client->pairs[i];

		write_key(client, (unsigned char *) pair->key, order, number + i);
		if (values)
			write_value(client, (unsigned char *) pair->value);
	}
	return client->pairs;
}

/* ------------------------------------------------------------------ clients */

static void
count_time(Client *client, int64_t time)
{
	int			shift = time < 2 << SUB_BITS ? 0 : 63 - __builtin_clzll(time) - SUB_BITS;

	client->bins[(shift << SUB_BITS) + (time >> shift)]++;
	if (time > client->longest)
		client->longest = time;
}

/* The time in the middle of a bin. */
static double
bin_time(int bin)
{
	int			shift = bin < 2 << SUB_BITS ? 0 : (bin >> SUB_BITS) - 1;
	int64_t		lowest = (int64_t) (bin - (shift << SUB_BITS)) << shift;

	return (double) lowest + (double) ((INT64_C(1) << shift) - 1) / 2;
}

static Action
choose_action(Client *client)
{
	double		share;

	if (action != MIX)
		return action;
	share = random_share(client);
	return share < mix->gets ? GET : share < mix->gets + mix->puts ? PUT : RANGE;
}

/* Existing keys have to be found, by all that look for nothing else. */
static int
expect(int found, int count)
{
	if (found != count && options.keys == KEYS_EXISTING)
		die("a key is not there that --load has put", "");
	return found;
}

/* Do a thing once; return how many entries it was about. */
static int
operate(Client *client, Action which, const Pair *pairs)
{
	switch (which)
	{
		case PUT:
			target->put(client->session, pairs, options.batch);
			return options.batch;
		case GET:
			expect(target->get(client->session, pairs), 1);
			return 1;
		case GET_MANY:
			expect(target->get_many(client->session, pairs, options.batch), options.batch);
			return options.batch;
		case RANGE:
			return target->range(client->session, pairs, options.limit);
		case FOLLOW:
			follow_put(client->session, pairs);
			return 1;
		default:
			return own_work(client->session, pairs, options.batch);
	}
}

/* Do as many things as go into the pipeline, and wait for them. */
static void
take_turn(Client *client)
{
	int64_t		time = 0;

	for (int i = 0; i < options.pipeline; i++)
	{
		Action		which = choose_action(client);
		KeyOrder	order = action == MIX ? (which == PUT ? KEYS_RANDOM : KEYS_EXISTING) : options.keys;
		int			count = which == GET || which == RANGE ? 1 : options.batch;
		uint64_t	number = order == KEYS_EXISTING ? random_below(client, options.space) : 0;
		const Pair *pairs = make_pairs(client, count, order, number, which == PUT || which == FOLLOW);
		int64_t		begin = now();

		client->entries += operate(client, which, pairs);
		time += now() - begin;
	}
	if (options.pipeline > 1)
	{
		int64_t		begin = now();

		target->flush(client->session);
		time += now() - begin;
	}
	for (int i = 0; i < options.pipeline; i++)
		count_time(client, time);
	client->operations += options.pipeline;
}

static void
forget_counts(Client *client)
{
	client->operations = client->entries = client->longest = 0;
	memset(client->bins, 0, sizeof client->bins);
}

/* The pairs' keys and values have places of their own, which stay. */
static void
make_room(Client *client)
{
	size_t		each = (size_t) options.key_bytes + options.value_bytes;

	client->bytes = allocate(each * room + 1);
	client->pairs = allocate(sizeof(Pair) * room);
	for (int i = 0; i < room; i++)
		client->pairs[i] = (Pair)
	{
		.key = client->bytes + each * i,
			.key_len = options.key_bytes,
			.value = client->bytes + each * i + options.key_bytes,
			.value_len = options.value_bytes,
	};
}

/* Whether there is one more turn; wait for its time if there is a rate. */
static bool
await_turn(void)
{
	int64_t		turn;

	if (options.operations <= 0 && options.rate <= 0)
		return !atomic_load_explicit(&stop, memory_order_relaxed);
	turn = atomic_fetch_add(&turns, options.pipeline);
	if (options.operations > 0 && turn >= options.operations)
		return false;
	if (options.rate > 0)
		sleep_until(started + (int64_t) ((double) turn / (double) options.rate * 1e9));
	return !atomic_load(&stop);
}

static void *
run_client(void *argument)
{
	Client	   *client = argument;

	make_room(client);
	client->random = scramble(options.seed * MAX_CLIENTS + client->number);
	client->session = target->connect(&options, client->number);
	for (int i = 0; i < options.warmup; i++)
		take_turn(client);
	forget_counts(client);
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&go);
	while (await_turn())
		take_turn(client);
	return NULL;
}

/* Put the keys of --space, by one client. */
static void
load_space(Client *client)
{
	make_room(client);
	client->session = target->connect(&options, 0);
	client->random = scramble(options.seed * MAX_CLIENTS);
	for (int64_t number = 0; number < options.space; number += LOAD_BATCH)
	{
		int			count = (int) (options.space - number < LOAD_BATCH ? options.space - number : LOAD_BATCH);
		const Pair *pairs = make_pairs(client, count, KEYS_EXISTING, number, true);
		int64_t		begin = now();

		target->put(client->session, pairs, count);
		count_time(client, now() - begin);
		client->operations++;
		client->entries += count;
	}
}

/* ------------------------------------------------------------------- report */

/* Of counted times, the one that a share of them is not above, in us. */
static double
percentile(const int64_t *bins, int64_t count, double share)
{
	int64_t		wanted = (int64_t) (share * (double) (count - 1)) + 1;

	for (int i = 0; i < BINS; i++)
	{
		wanted -= bins[i];
		if (wanted <= 0)
			return bin_time(i) / 1000;
	}
	return 0;
}

/* What the CPU did for this process. */
static double
own_cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		(double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void
report(const Client *clients, double seconds, double cpu_seconds)
{
	static int64_t bins[BINS];
	int64_t		operations = 0;
	int64_t		entries = 0;
	int64_t		longest = 0;

	for (int i = 0; i < options.clients; i++)
	{
		operations += clients[i].operations;
		entries += clients[i].entries;
		if (clients[i].longest > longest)
			longest = clients[i].longest;
		for (int j = 0; j < BINS; j++)
			bins[j] += clients[i].bins[j];
	}
	printf("operations=%" PRId64 " entries=%" PRId64 " seconds=%.6f per_second=%.1f"
		   " p50_us=%.1f p95_us=%.1f p99_us=%.1f max_us=%.1f client_cpu_us=%.0f",
		   operations, entries, seconds, (double) entries / seconds,
		   percentile(bins, operations, .5), percentile(bins, operations, .95),
		   percentile(bins, operations, .99), (double) longest / 1000, cpu_seconds * 1e6);
}

/* Have the clients do it. */
static double
run_clients(Client *clients, double *cpu_seconds)
{
	int64_t		ended;

	if (action == FOLLOW)
		follow_open(target, &options);
	pthread_barrier_init(&ready, NULL, options.clients + 1);
	pthread_barrier_init(&go, NULL, options.clients + 1);
	for (int i = 0; i < options.clients; i++)
	{
		if (pthread_create(&clients[i].thread, NULL, run_client, &clients[i]) != 0)
			die("could not create a thread", "");
	}
	pthread_barrier_wait(&ready);
	if (action == FOLLOW)
		follow_start();
	if (target->begin != NULL)
		target->begin();
	*cpu_seconds = own_cpu_seconds();
	started = now();
	pthread_barrier_wait(&go);
	if (options.operations <= 0)
	{
		sleep_until(started + (int64_t) (options.seconds * 1e9));
		atomic_store(&stop, true);
	}
	for (int i = 0; i < options.clients; i++)
		pthread_join(clients[i].thread, NULL);
	ended = now();
	if (action == FOLLOW)
		follow_end();
	*cpu_seconds = own_cpu_seconds() - *cpu_seconds;
	return (double) (ended - started) / 1e9;
}

static double
run_load(Client *client, double *cpu_seconds)
{
	int64_t		begin = now();

	load_space(client);
	*cpu_seconds = own_cpu_seconds();
	return (double) (now() - begin) / 1e9;
}

/* -------------------------------------------------------------------- main */

static const Mix *
read_mix(const char *text)
{
	for (size_t i = 0; i < sizeof mixes / sizeof mixes[0]; i++)
	{
		if (strcmp(text, mixes[i].name) == 0)
			return &mixes[i];
	}
	die("there is no mix ", text);
}

static Action
read_action(const char *text)
{
	static const char *const names[] = {[PUT] = "put",[GET] = "get",[GET_MANY] = "get_many",[RANGE] = "range",[FOLLOW] = "follow",[MIX] = "mix"};

	for (int i = 0; i <= MIX; i++)
	{
		if (names[i] != NULL && strcmp(text, names[i]) == 0)
			return (Action) i;
	}
	for (const TargetWork *work = target->works; work != NULL && work->name != NULL; work++)
	{
		if (strcmp(text, work->name) == 0)
		{
			own_work = work->run;
			return OWN;
		}
	}
	die("there is no work ", text);
}

int
load_main(int argc, char **argv, const Target *of)
{
	Client	   *clients;
	double		seconds;
	double		cpu_seconds;

	target = of;
	options_read(argc, argv, target, &options);
	action = read_action(options.work);
	mix = read_mix(options.mix);
	room = options.load && options.batch < LOAD_BATCH ? LOAD_BATCH : options.batch;
	clients = allocate(sizeof(Client) * options.clients);
	for (int i = 0; i < options.clients; i++)
		clients[i].number = i;

	target->prepare(&options);
	seconds = options.load ? run_load(clients, &cpu_seconds) : run_clients(clients, &cpu_seconds);
	report(clients, seconds, cpu_seconds);
	if (action == FOLLOW && !options.load)
		follow_report();
	if (target->end != NULL && !options.load)
		target->end();
	putchar('\n');
	if (fflush(stdout) != 0 || ferror(stdout))
		die("could not write", "");

	for (int i = 0; i < options.clients; i++)
	{
		target->disconnect(clients[i].session);
		free(clients[i].bytes);
		free(clients[i].pairs);
	}
	free(clients);
	return 0;
}
