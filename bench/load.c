/*
 * load.c
 *		Put a store under load, from several sessions at once.
 *
 * Prints one line: how much was done, and how long each operation took.  Key
 * number i of a space is the same in every store; values do not compress.
 */
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "load.h"

#define NANOS INT64_C(1000000000)

/* Loading puts so many pairs at a time. */
#define LOAD_BATCH 1000

/* A scan of a mix reads so many rows. */
#define MIX_SCAN 100

/*
 * Times fall into buckets that are less than one percent wide: 128 for each
 * power of two.
 */
#define STEPS 128
#define STEP_BITS 7
#define BUCKETS ((64 - STEP_BITS + 1) * STEPS)

typedef enum Operation
{
	PUT,
	GET,
	GET_MANY,
	RANGE,
	OTHER
} Operation;

/* The mixes of the reference's validator: shares of gets, puts and scans. */
static const struct
{
	const char *name;
	double		gets,
				puts;
}			mixes[] = {
	{"read-heavy", 0.95, 0.05},
	{"balanced", 0.67, 0.30},
	{"write-heavy", 0.20, 0.80},
	{"scan-heavy", 0.40, 0.10},
	{"ingest-burst", 0.00, 1.00}
};

typedef struct Client
{
	int			number;
	pthread_t	thread;
	uint64_t	random;
	uint64_t	counter;		/* of ascending keys */
	unsigned char *keys;
	unsigned char *values;
	Pair	   *pairs;
	int64_t		operations;
	int64_t		entries;
	int64_t		times[BUCKETS];
} Client;

static const Target *target;
static Options options = {
	.work = "put", .mix = "balanced", .keys = "random", .clients = 1, .batch = 1,
	.pipeline = 1, .key_bytes = 16, .value_bytes = 100, .space = 100000, .seconds = 2, .seed = 1
};
static atomic_int ready;
static atomic_bool started;
static atomic_bool stopped;

static int64_t
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * NANOS + time.tv_nsec;
}

/* Turn a number into one that looks random (the finalizer of splitmix64). */
static uint64_t
mix_bits(uint64_t number)
{
	number += UINT64_C(0x9e3779b97f4a7c15);
	number = (number ^ (number >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	number = (number ^ (number >> 27)) * UINT64_C(0x94d049bb133111eb);
	return number ^ (number >> 31);
}

static uint64_t
next_random(Client *client)
{
	return client->random = mix_bits(client->random);
}

/* Write a number so that numbers and bytes have one order. */
static void
write_number(unsigned char *to, int size, uint64_t number)
{
	for (int i = size - 1; i >= 0; i--, number >>= 8)
		to[i] = number & 0xff;
}

/* Fill bytes from a number that looks random. */
static void
fill(unsigned char *to, int size, uint64_t number)
{
	for (int i = 0; i < size; i += 8)
	{
		unsigned char bytes[8];

		write_number(bytes, 8, number);
		memcpy(to + i, bytes, size - i < 8 ? size - i : 8);
		number = mix_bits(number);
	}
}

/*
 * Make the key of a pair to be put: one of the space, where each of a batch is
 * another one, or a new one.
 */
static void
make_put_key(Client *client, unsigned char *key, uint64_t place)
{
	if (options.load)
		fill(key, options.key_bytes, mix_bits(client->counter++));
	else if (strcmp(options.keys, "existing") == 0)
		fill(key, options.key_bytes, mix_bits(place % options.space));
	else if (strcmp(options.keys, "ascending") == 0)
	{
		memset(key, 0, options.key_bytes);
		write_number(key, 4, (uint32_t) (0x80000000u + options.seed * 256 + client->number));
		write_number(key + options.key_bytes - 8, 8, client->counter++);
	}
	else
		fill(key, options.key_bytes, next_random(client));
}

/* Make the pairs of an operation; those that are read are of the space. */
static void
make_pairs(Client *client, Operation operation, int count)
{
	uint64_t	first = next_random(client) % options.space;

	for (int i = 0; i < count; i++)
	{
		Pair	   *pair = &client->pairs[i];
		unsigned char *key = client->keys + (size_t) i * options.key_bytes;
		unsigned char *value = client->values + (size_t) i * options.value_bytes;

		*pair = (Pair) {.key = key,.key_len = options.key_bytes};
		if (operation != PUT)
		{
			fill(key, options.key_bytes, mix_bits((first + i) % options.space));
			continue;
		}
		make_put_key(client, key, first + i);
		fill(value, options.value_bytes, next_random(client));
		pair->value = value;
		pair->value_len = options.value_bytes;
	}
}

/* End the program because something was not there that must be. */
static void
miss(int found, int count)
{
	fprintf(stderr, "%s: found %d of %d keys: has the space been loaded?\n",
			target->name, found, count);
	exit(1);
}

/* Do an operation; return how many entries it was about. */
static int
operate(Client *client, void *session, Operation operation, int count)
{
	int			found = count;

	switch (operation)
	{
		case PUT:
			target->put(session, client->pairs, count);
			break;
		case GET:
			found = target->get(session, client->pairs);
			break;
		case GET_MANY:
			found = target->get_many(session, client->pairs, count);
			break;
		case RANGE:
			return target->range(session, client->pairs, count);
		case OTHER:
			return target->other(session, client->pairs, count);
	}
	if (found != count)
		miss(found, count);
	return found;
}

static void
note_time(Client *client, uint64_t nanos)
{
	int			power = 63 - __builtin_clzll(nanos | 1);
	int			bucket = power < STEP_BITS ? (int) nanos :
		(power - STEP_BITS + 1) * STEPS + (int) (nanos >> (power - STEP_BITS)) - STEPS;

	client->times[bucket]++;
}

/* The upper end of a bucket. */
static double
bucket_nanos(int bucket)
{
	int			power = bucket / STEPS;

	if (power == 0)
		return bucket;
	return (double) (bucket % STEPS + STEPS + 1) * (UINT64_C(1) << (power - 1));
}

/* Choose an operation, and how many entries it is to be about. */
static Operation
choose(Client *client, int *count)
{
	double		dice = (next_random(client) >> 11) * 0x1.0p-53;

	*count = options.batch;
	if (options.load || strcmp(options.work, "put") == 0)
		return PUT;
	if (strcmp(options.work, "get_many") == 0)
		return GET_MANY;
	if (strcmp(options.work, "range") == 0)
		return RANGE;
	if (strcmp(options.work, "get") != 0 && strcmp(options.work, "mix") != 0)
		return OTHER;
	*count = 1;
	for (size_t i = 0; strcmp(options.work, "mix") == 0; i++)
	{
		if (strcmp(mixes[i].name, options.mix) != 0)
			continue;
		if (dice >= mixes[i].gets + mixes[i].puts)
		{
			*count = MIX_SCAN;
			return RANGE;
		}
		if (dice >= mixes[i].gets)
		{
			*count = options.batch;
			return PUT;
		}
		break;
	}
	return GET;
}

/* Tell whether a client has done what it had to. */
static bool
is_done(const Client *client)
{
	if (options.load)
		return client->counter >= (uint64_t) options.space;
	return atomic_load(&stopped);
}

static void *
run_client(void *arg)
{
	Client	   *client = arg;
	void	   *session = target->connect(&options, client->number);

	atomic_fetch_add(&ready, 1);
	while (!atomic_load(&started))
		nanosleep(&(struct timespec) {.tv_nsec = 100000}, NULL);
	while (!is_done(client))
	{
		int			count;
		Operation	operation = choose(client, &count);
		int64_t		start;

		if (options.load && options.space - (int64_t) client->counter < count)
			count = (int) (options.space - (int64_t) client->counter);
		make_pairs(client, operation, operation == RANGE ? 1 : count);
		start = now();
		client->entries += operate(client, session, operation, count);
		if (target->drain != NULL)
			target->drain(session, options.pipeline - 1);
		note_time(client, now() - start);
		client->operations++;
	}
	if (target->drain != NULL)
		target->drain(session, 0);
	target->disconnect(session);
	return NULL;
}

/* Print what was done, and percentiles of the operations' times. */
static void
report(Client *clients, double seconds)
{
	static const double shares[] = {0.50, 0.95, 0.99, 1};
	static const char *const names[] = {"p50_us", "p95_us", "p99_us", "max_us"};
	Client	   *all = &clients[0];
	int64_t		sum = 0;
	int			next = 0;

	for (int i = 1; i < options.clients; i++)
	{
		all->operations += clients[i].operations;
		all->entries += clients[i].entries;
		for (int j = 0; j < BUCKETS; j++)
			all->times[j] += clients[i].times[j];
	}
	printf("operations=%lld entries=%lld seconds=%.3f per_second=%.1f",
		   (long long) all->operations, (long long) all->entries, seconds, all->entries / seconds);
	for (int j = 0; j < BUCKETS; j++)
	{
		sum += all->times[j];
		while (next < 4 && sum > 0 && sum >= shares[next] * all->operations)
			printf(" %s=%.1f", names[next++], bucket_nanos(j) / 1000);
	}
	printf("\n");
}

/* Run all clients. */
static void
run(void)
{
	Client	   *clients = calloc(options.clients, sizeof(Client));
	int64_t		start;

	target->prepare(&options);
	for (int i = 0; i < options.clients; i++)
	{
		Client	   *client = &clients[i];

		client->number = i;
		client->random = mix_bits(options.seed * 1000 + i);
		client->keys = malloc((size_t) options.batch * options.key_bytes);
		client->values = malloc((size_t) options.batch * options.value_bytes + 1);
		client->pairs = calloc(options.batch, sizeof(Pair));
		pthread_create(&client->thread, NULL, run_client, client);
	}
	while (atomic_load(&ready) < options.clients)
		nanosleep(&(struct timespec) {.tv_nsec = 1000000}, NULL);

	start = now();
	atomic_store(&started, true);
	if (!options.load)
	{
		nanosleep(&(struct timespec) {
			.tv_sec = (time_t) options.seconds,
				.tv_nsec = (long) ((options.seconds - (time_t) options.seconds) * NANOS)
		}, NULL);
		atomic_store(&stopped, true);
	}
	for (int i = 0; i < options.clients; i++)
		pthread_join(clients[i].thread, NULL);
	report(clients, (double) (now() - start) / NANOS);
}

static void
usage(void)
{
	fprintf(stderr,
			"usage: %s --target TARGET [--way WAY] [--work put|get|get_many|range|mix|...]\n"
			"    [--mix NAME] [--keys random|ascending|existing] [--clients N] [--batch N] [--pipeline N]\n"
			"    [--key-bytes N] [--value-bytes N] [--space N] [--seconds S] [--seed N] [--load]\n"
			"%s", target->name, target->usage);
	exit(2);
}

/* Read a number that must not be below a limit. */
static double
number(const char *text, double least)
{
	char	   *end;
	double		value = strtod(text, &end);

	if (end == text || *end != '\0' || value < least)
		usage();
	return value;
}

/* Read the options. */
static void
read_options(int argc, char **argv)
{
	static const struct option names[] = {
		{"target", 1, NULL, 't'}, {"way", 1, NULL, 'w'}, {"work", 1, NULL, 'W'},
		{"mix", 1, NULL, 'm'}, {"keys", 1, NULL, 'k'}, {"clients", 1, NULL, 'c'},
		{"batch", 1, NULL, 'b'}, {"pipeline", 1, NULL, 'p'}, {"key-bytes", 1, NULL, 'K'},
		{"value-bytes", 1, NULL, 'V'}, {"space", 1, NULL, 's'}, {"seconds", 1, NULL, 'S'},
		{"seed", 1, NULL, 'e'}, {"load", 0, NULL, 'l'}, {NULL, 0, NULL, 0}
	};
	int			name;

	while ((name = getopt_long(argc, argv, "", names, NULL)) != -1)
	{
		switch (name)
		{
			case 't': options.target = optarg; break;
			case 'w': options.way = optarg; break;
			case 'W': options.work = optarg; break;
			case 'm': options.mix = optarg; break;
			case 'k': options.keys = optarg; break;
			case 'c': options.clients = (int) number(optarg, 1); break;
			case 'b': options.batch = (int) number(optarg, 1); break;
			case 'p': options.pipeline = (int) number(optarg, 1); break;
			case 'K': options.key_bytes = (int) number(optarg, 12); break;
			case 'V': options.value_bytes = (int) number(optarg, 0); break;
			case 's': options.space = (int64_t) number(optarg, 1); break;
			case 'S': options.seconds = number(optarg, 0); break;
			case 'e': options.seed = (uint64_t) number(optarg, 0); break;
			case 'l': options.load = true; break;
			default: usage();
		}
	}
	if (options.target == NULL || optind < argc)
		usage();
}

/* Tell whether a word is one of several. */
static bool
is_one_of(const char *word, const char *const *words)
{
	while (*words != NULL && strcmp(word, *words) != 0)
		words++;
	return *words != NULL;
}

/* Refuse words that are not known. */
static void
check_options(void)
{
	static const char *const works[] = {"put", "get", "get_many", "range", "mix", NULL};
	static const char *const key_kinds[] = {"random", "ascending", "existing", NULL};
	bool		known = false;

	for (size_t i = 0; i < sizeof(mixes) / sizeof(mixes[0]); i++)
		known = known || strcmp(options.mix, mixes[i].name) == 0;
	if (!known || !is_one_of(options.keys, key_kinds) ||
		(target->other == NULL && !is_one_of(options.work, works)))
		usage();
}

/*
 * Run the program of a store.
 */
int
load_main(int argc, char **argv, const Target *store)
{
	target = store;
	read_options(argc, argv);
	check_options();
	if (options.load)
	{
		options.clients = 1;
		options.batch = LOAD_BATCH;
	}
	run();
	return 0;
}
