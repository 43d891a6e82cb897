/*
 * harness.c
 *		Run the fuzz targets inside of a backend.
 *
 * The targets call the server's sources as they are, with the server's own
 * memory contexts, errors, arrays and jsonb around them: only memory that
 * they allocate is another (memory.c).  Two SQL functions start them, one for
 * a given input, one with libFuzzer, which is part of the process then.
 */
#include "postgres.h"

#include <signal.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "entries.h"
#include "fuzz.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(store_fuzz_replay);
PG_FUNCTION_INFO_V1(store_fuzz);

typedef void (*Target) (const uint8_t *data, size_t size);

static const struct
{
	const char *name;
	Target		run;
}			targets[] =

{
	{"arguments", fuzz_arguments},
	{"policy", fuzz_policy},
	{"regex", fuzz_regex},
	{"wire", fuzz_wire}
};

static Target target;

/*
 * Say what property does not hold, and end the process.
 */
void
fuzz_fail(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
	abort();
}

/*
 * Make a call, and return 0 or the SQLSTATE of the error it raises.  Internal
 * errors are never right.
 */
int
fuzz_attempt(FuzzCall call, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	volatile int sqlstate = 0;

	PG_TRY();
	{
		call(arg);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		sqlstate = error->sqlerrcode;
		if (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_INTERNAL_ERROR)
			fuzz_fail(error->filename, error->lineno, error->message);
	}
	PG_END_TRY();
	return sqlstate;
}

/*
 * Tell whether bytes can be text in the server, which sees to it that nothing
 * else is.
 */
bool
fuzz_is_text(const uint8_t *data, size_t size)
{
	return pg_verify_mbstr(PG_UTF8, (const char *) data, size, true);
}

/*
 * Tell whether two entries have the same bytes.
 */
bool
fuzz_same_entry(const SeEntry *left, const SeEntry *right)
{
	return left->key_len == right->key_len && left->value_len == right->value_len &&
		memcmp(left->key, right->key, left->key_len) == 0 &&
		memcmp(left->value, right->value, left->value_len) == 0;
}

/*
 * Check that what is read of a stored batch is some entries.
 */
void
fuzz_check_stored(bytea *stored, const SeEntry *entries, int count)
{
	SeWireReader reader;
	SeEntry		entry;
	int			read = 0;

	se_stored_begin(&reader, stored);
	while (se_stored_next(&reader, &entry))
	{
		FUZZ_CHECK(read < count && fuzz_same_entry(&entry, &entries[read]));
		read++;
	}
	FUZZ_CHECK(read == count);
}

/* Choose a target by its name. */
static void
choose_target(text *name)
{
	char	   *wanted = text_to_cstring(name);

	target = NULL;
	for (int i = 0; i < lengthof(targets); i++)
	{
		if (strcmp(targets[i].name, wanted) == 0)
			target = targets[i].run;
	}
	if (target == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no fuzz target \"%s\"", wanted)));
}

/* Run the target with a copy of an input that ends where it ends. */
static int
run_target(const uint8_t *data, size_t size)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "fuzz input",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	uint8_t    *copy = palloc(size);

	if (size > 0)
		memcpy(copy, data, size);
	target(copy, size);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return 0;
}

/*
 * store_fuzz_replay(target text, input bytea) returns void
 */
Datum
store_fuzz_replay(PG_FUNCTION_ARGS)
{
	bytea	   *input = PG_GETARG_BYTEA_PP(1);

	choose_target(PG_GETARG_TEXT_PP(0));
	run_target((const uint8_t *) VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input));
	PG_RETURN_VOID();
}

#ifdef LIBFUZZER
extern int	LLVMFuzzerRunDriver(int *argc, char ***argv,
								int (*callback) (const uint8_t *data, size_t size));
#else
/* Stand in for libFuzzer where it is not. */
static int
LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback) (const uint8_t *data, size_t size))
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("this was built without libFuzzer")));
	return 0;
}
#endif

/*
 * store_fuzz(target text, arguments text[]) returns void
 *
 * Have libFuzzer make inputs for a target, with arguments as on its command
 * line.
 */
Datum
store_fuzz(PG_FUNCTION_ARGS)
{
	Datum	   *datums;
	int			count;
	char	  **arguments;

	choose_target(PG_GETARG_TEXT_PP(0));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT,
					  &datums, NULL, &count);
	arguments = MemoryContextAllocZero(TopMemoryContext, (count + 2) * sizeof(char *));
	arguments[0] = "storefuzz";
	for (int i = 0; i < count; i++)
		arguments[i + 1] = TextDatumGetCString(datums[i]);
	count++;

	/* libFuzzer leaves signals alone that are handled, but needs them */
	pqsignal(SIGALRM, SIG_DFL);
	pqsignal(SIGINT, SIG_DFL);
	pqsignal(SIGTERM, SIG_DFL);
	(void) LLVMFuzzerRunDriver(&count, &arguments, run_target);
	PG_RETURN_VOID();
}
