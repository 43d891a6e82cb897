/*
 * load.h
 *		What all programs that put a store under load have in common.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Pair
{
	const unsigned char *key,
			   *value;
	size_t		key_len,
				value_len;
} Pair;

/* What is done; load_main() reads it from the command line. */
typedef struct Options
{
	const char *target;			/* where the store is */
	const char *way;			/* how it is used, if there are several ways */
	const char *work;			/* put, get, get_many, range, mix, or one of the
								 * store's own */
	const char *mix;			/* which mix */
	const char *keys;			/* of puts: random, ascending or existing */
	int			clients;		/* each a thread with a session */
	int			batch;			/* pairs in a put, keys of a get_many, rows of a
								 * range */
	int			pipeline;		/* operations under way in a session */
	int			key_bytes;
	int			value_bytes;
	int64_t		space;			/* keys that were loaded */
	double		seconds;
	uint64_t	seed;
	bool		load;			/* put the keys of the space, then end */
} Options;

/* A kind of store.  Whatever goes wrong ends the program. */
typedef struct Target
{
	const char *name;
	const char *usage;			/* of target and way */
	void		(*prepare) (const Options *options);	/* before any client */
	void	   *(*connect) (const Options *options, int client);

	/* Return when the pairs are there for good. */
	void		(*put) (void *session, const Pair *pairs, int count);

	/* Return how many values, or rows, were read. */
	bool		(*get) (void *session, const Pair *key);
	int			(*get_many) (void *session, const Pair *keys, int count);
	int			(*range) (void *session, const Pair *first, int limit);

	/* Work of the store's own, NULL if it has none.  Returns what was done. */
	int			(*other) (void *session, const Pair *keys, int count);

	/* Wait until no more than so many operations are under way; may be NULL. */
	void		(*drain) (void *session, int left);
	void		(*disconnect) (void *session);
} Target;

extern int	load_main(int argc, char **argv, const Target *target);

#endif							/* LOAD_H */
