/*
 * ways.c - what PostgreSQL is told to do, each way; the head of pg.c describes them
 */
#include <stddef.h>
#include <string.h>

#include "ways.h"

/* Reading from a table, by hand. */
#define READ_TABLE(name) \
	[GET] = "SELECT value FROM " name " WHERE key = $1", \
	[GET_MANY] = "SELECT key, value FROM " name " WHERE key = ANY($1)", \
	[RANGE] = "SELECT key, value FROM " name " WHERE key >= $1 ORDER BY key LIMIT $2", \
	[INSIDE] = "SELECT count((SELECT value FROM " name " WHERE key = k)) FROM unnest($1) AS k", \
	[SCAN] = "SELECT key, value FROM " name " ORDER BY key"

#define READ_STORE \
	[GET] = "SELECT store_get($1)", \
	[GET_MANY] = "SELECT key, value FROM store_get_many($1)", \
	[RANGE] = "SELECT key, value FROM store_range_scan($1, \"limit\" => $2)", \
	[INSIDE] = "SELECT count(store_get(k)) FROM unnest($1) AS k", \
	[SCAN] = "SELECT key, value FROM store_range_scan()", \
	[FEED] = "SELECT sequence_number, op, key, value FROM store_read_log($1, max_batches => $2)", \
	[FRONTIER] = "SELECT store_current_sequence()", \
	[OLDEST] = "SELECT store_oldest_retained_batch()", \
	[WAIT] = "CALL store_wait_for_sequence($1, '50 ms')", \
	[LOG_BOUNDS] = "SELECT store_oldest_retained_batch(), store_current_sequence()"

#define READ_RIVAL \
	READ_TABLE("rival_kv"), \
	[FEED] = "SELECT number, key, value FROM rival_log WHERE number > $1 ORDER BY number LIMIT $2", \
	[FRONTIER] = "SELECT max(number) FROM rival_log", \
	[OLDEST] = "SELECT min(number) FROM rival_log", \
	[LOG_BOUNDS] = "SELECT min(number), max(number) FROM rival_log"

#define UPSERT " ON CONFLICT (key) DO UPDATE SET value = excluded.value"

static const Way ways[] = {
	{
		"store", PAIRS, NULL, {
			[PUT_ONE] = "SELECT store_put($1, $2)",
			[PUT_MANY] = "SELECT store_put_batch($1, $2)",
			READ_STORE
		}
	},
	{
		"listen", PAIRS, "storeengine", {
			[PUT_ONE] = "SELECT store_put($1, $2)",
			READ_STORE
		}
	},
	{
		"request", MESSAGE, NULL, {
			[PUT_ONE] = "SELECT store_put_request($1)",
			[PUT_MANY] = "SELECT store_put_request($1)",
			READ_STORE
		}
	},
	{
		"sql", PAIRS, NULL, {
			READ_TABLE("store_kv"),
			[FRONTIER] = "SELECT max(sequence_number) FROM store_batch_log",
			[OLDEST] = "SELECT min(sequence_number) FROM store_batch_log"
		}
	},
	{
		"ordered", PAIRS, NULL, {
			[GET_MANY] = "SELECT wanted.key, pair.value FROM unnest($1) WITH ORDINALITY AS wanted (key, place)"
			" LEFT JOIN store_kv AS pair USING (key) ORDER BY place"
		}
	},
	{
		"spi", PAIRS, NULL, {
			[INSIDE] = "SELECT count(rival_get(k)) FROM unnest($1) AS k"
		}
	},
	{
		"locked", PAIRS, NULL, {
			[PUT_ONE] = "SELECT put_locked($1, $2)",
			[PUT_MANY] = "SELECT put_locked_batch($1, $2)",
			READ_RIVAL
		}
	},
	{
		"notify", PAIRS, "rival", {
			[PUT_ONE] = "SELECT put_notify($1, $2)",
			READ_RIVAL
		}
	},
	{
		"unordered", PAIRS, NULL, {
			[PUT_ONE] = "SELECT put_unordered($1, $2)",
			[PUT_MANY] = "SELECT put_unordered_batch($1, $2)",
			READ_RIVAL
		}
	},
	{
		"sorted", PAIRS, NULL, {
			[PUT_ONE] = "SELECT put_unordered($1, $2)",
			[PUT_MANY] = "SELECT put_sorted_batch($1, $2)",
			READ_RIVAL
		}
	},
	{
		"statement", PAIRS, NULL, {
			[PUT_ONE] = "WITH pair AS (INSERT INTO rival_kv VALUES ($1, $2)" UPSERT ")"
			" INSERT INTO rival_log VALUES (nextval('rival_sequence'), clock_timestamp(), $1, $2) RETURNING number",
			[PUT_MANY] = "WITH pairs AS (INSERT INTO rival_kv SELECT * FROM unnest($1, $2)" UPSERT ")"
			" INSERT INTO rival_batch_log VALUES (nextval('rival_sequence'), clock_timestamp(), $1, $2) RETURNING number",
			READ_RIVAL
		}
	},
	{
		"upsert", PAIRS, NULL, {
			[PUT_ONE] = "INSERT INTO rival_kv VALUES ($1, $2)" UPSERT,
			[PUT_MANY] = "INSERT INTO rival_kv SELECT * FROM unnest($1, $2)" UPSERT,
			READ_RIVAL
		}
	},
	{
		"insert", PAIRS, NULL, {
			[PUT_ONE] = "INSERT INTO rival_kv VALUES ($1, $2)",
			[PUT_MANY] = "INSERT INTO rival_kv SELECT * FROM unnest($1, $2)",
			READ_RIVAL
		}
	},
	{
		"copy", COPIED, NULL, {
			READ_RIVAL
		}
	},
};

/* The types of the statements' parameters, which are not always clear. */
const char *const way_types[PURPOSES] = {
	[PUT_ONE] = "bb",[PUT_MANY] = "aa",[GET] = "b",[GET_MANY] = "a",[RANGE] = "bi",[INSIDE] = "a",
	[SCAN] = "",[FEED] = "ii",[FRONTIER] = "",[OLDEST] = "",[WAIT] = "i",
};

/* The way of a name, or NULL. */
const Way *
way_find(const char *name)
{
	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
	{
		if (strcmp(ways[i].name, name) == 0)
			return &ways[i];
	}
	return NULL;
}
