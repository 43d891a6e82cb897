/*
 * options.c - the command line of all load programs
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

typedef enum SettingKind
{
	TEXT,
	COUNT,
	LARGE_COUNT,
	FLAG
} SettingKind;

/* An option of the command line, and where it goes. */
typedef struct Setting
{
	const char *name;
	SettingKind kind;
	void	   *place;
	int64_t		lowest;
	int64_t		highest;
} Setting;

static const char *const key_orders[] = {
	[KEYS_RANDOM] = "random",
	[KEYS_ASCENDING] = "ascending",
	[KEYS_EXISTING] = "existing",
	[KEYS_ONE] = "one",
};

static const Target *target;

static void __attribute__((noreturn))
die(const char *what, const char *detail)
{
	fprintf(stderr, "%s: %s%s\n", target->name, what, detail);
	exit(1);
}

static void __attribute__((noreturn))
usage(void)
{
	fprintf(stderr,
			"usage: %s [option ...]\n"
			"\n"
			"  --work put|get|get_many|range|mix|follow", target->name);
	for (const TargetWork *work = target->works; work != NULL && work->name != NULL; work++)
		fprintf(stderr, "|%s", work->name);
	fprintf(stderr,
			"   (put)\n"
			"  --mix read-heavy|balanced|write-heavy|scan-heavy|ingest-burst   (balanced)\n"
			"  --clients N --batch N --limit N --pipeline N   (1 1 25 1)\n"
			"  --keys random|ascending|existing|one   (random to put, existing to read)\n"
			"  --space N --load   (100,000 existing keys; --load puts them and ends)\n"
			"  --key-bytes N --value-bytes N --compressible   (16 100)\n"
			"  --seconds S, or --operations N; --rate N a second   (2; of all clients together)\n"
			"  --warmup N --seed N   (6 operations of each client; 1)\n"
			"  %s\n", target->usage);
	exit(2);
}

static int64_t
read_count(const char *text, int64_t lowest, int64_t highest)
{
	char	   *end;
	long long	number = strtoll(text, &end, 10);

	if (end == text || *end != '\0' || number < lowest || number > highest)
		die("not a number of the kind that it should be: ", text);
	return number;
}

/* Have an option as it was given. */
static void
set(const Setting *setting, const char *text)
{
	switch (setting->kind)
	{
		case TEXT:
			*(const char **) setting->place = text;
			break;
		case COUNT:
			*(int *) setting->place = (int) read_count(text, setting->lowest, setting->highest);
			break;
		case LARGE_COUNT:
			*(int64_t *) setting->place = read_count(text, setting->lowest, setting->highest);
			break;
		case FLAG:
			*(bool *) setting->place = true;
			break;
	}
}

static KeyOrder
read_key_order(const char *text)
{
	for (size_t i = 0; i < sizeof key_orders / sizeof key_orders[0]; i++)
	{
		if (strcmp(text, key_orders[i]) == 0)
			return (KeyOrder) i;
	}
	die("there is no order of keys ", text);
}

static double
read_seconds(const char *text)
{
	char	   *end;
	double		seconds = strtod(text, &end);

	if (end == text || *end != '\0' || !(seconds > 0 && seconds < 1e6))
		die("these are no seconds: ", text);
	return seconds;
}

/* Read the command line into the options; what is not a number comes back as text. */
static void
read_command_line(int argc, char **argv, Options *options, const char **keys, const char **seconds)
{
	const Setting settings[] = {
		{"target", TEXT, &options->target, 0, 0},
		{"way", TEXT, &options->way, 0, 0},
		{"work", TEXT, &options->work, 0, 0},
		{"mix", TEXT, &options->mix, 0, 0},
		{"clients", COUNT, &options->clients, 1, MAX_CLIENTS},
		{"batch", COUNT, &options->batch, 1, 1000000},
		{"limit", COUNT, &options->limit, 1, INT32_MAX},
		{"pipeline", COUNT, &options->pipeline, 1, 10000},
		{"keys", TEXT, keys, 0, 0},
		{"space", LARGE_COUNT, &options->space, 1, INT64_C(1) << 40},
		{"load", FLAG, &options->load, 0, 0},
		{"mark", FLAG, &options->mark, 0, 0},
		{"key-bytes", COUNT, &options->key_bytes, 8, 254},
		{"value-bytes", COUNT, &options->value_bytes, 0, 1 << 20},
		{"compressible", FLAG, &options->compressible, 0, 0},
		{"seconds", TEXT, seconds, 0, 0},
		{"operations", LARGE_COUNT, &options->operations, 1, INT64_C(1) << 40},
		{"rate", LARGE_COUNT, &options->rate, 1, 1000000000},
		{"warmup", COUNT, &options->warmup, 0, 1000000},
		{"seed", LARGE_COUNT, &options->seed, 0, 0xffffff},
	};
	enum
	{
		SETTINGS = sizeof settings / sizeof settings[0]
	};
	struct option known[SETTINGS + 1] = {0};
	int			option;
	int			index;

	for (int i = 0; i < SETTINGS; i++)
	{
		known[i].name = settings[i].name;
		known[i].has_arg = settings[i].kind == FLAG ? no_argument : required_argument;
	}
	while ((option = getopt_long(argc, argv, "", known, &index)) != -1)
	{
		if (option != 0)
			usage();
		set(&settings[index], optarg);
	}
	if (optind < argc)
		usage();
}

static bool
puts_new_keys(const char *work)
{
	return strcmp(work, "put") == 0 || strcmp(work, "follow") == 0;
}

/* Read the command line; whatever is wrong with it ends the program. */
void
options_read(int argc, char **argv, const Target *of, Options *into)
{
	const char *keys = NULL;
	const char *seconds = NULL;

	target = of;
	*into = (Options)
	{
		.work = "put", .mix = "balanced", .clients = 1, .batch = 1, .limit = 25, .pipeline = 1, .space = 100000,
			.key_bytes = 16, .value_bytes = 100, .seconds = 2, .warmup = 6, .seed = 1,
	};
	read_command_line(argc, argv, into, &keys, &seconds);
	if (seconds != NULL)
		into->seconds = read_seconds(seconds);
	into->keys = keys != NULL ? read_key_order(keys) : puts_new_keys(into->work) ? KEYS_RANDOM : KEYS_EXISTING;
	if (into->keys == KEYS_ASCENDING && into->key_bytes < ASCENDING_BYTES)
		die("ascending keys need --key-bytes of 12", "");
	if (into->keys == KEYS_EXISTING && into->batch > into->space)
		die("a batch cannot have more keys than there are", "");
	if (into->pipeline > 1 && target->flush == NULL)
		die("this knows no --pipeline", "");
	if (into->load)
		into->clients = into->pipeline = 1;
}
