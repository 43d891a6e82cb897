/*
 * load.h - what programs that put load on a store have in common
 *
 * A program is a Target, what it takes to talk to one store, and load_main(),
 * which does all the rest: options, keys and values, clients, the clock.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Pair
{
	const unsigned char *key;
	const unsigned char *value;
	size_t		key_len;
	size_t		value_len;
} Pair;

typedef enum KeyOrder
{
	KEYS_RANDOM,				/* new ones, in no order */
	KEYS_ASCENDING,				/* new ones, each client's above its last one */
	KEYS_EXISTING,				/* of those that --load put, in no order */
	KEYS_ONE					/* always the same one, also for all clients */
} KeyOrder;

/* The command line.  Strings are NULL if not given. */
typedef struct Options
{
	const char *target;			/* where the store is */
	const char *way;			/* how it is to be used */
	const char *work;			/* what to do: put, get, get_many, range, mix,
								 * follow, or one of the target's */
	const char *mix;			/* of which works a mix is */
	int			clients;		/* threads, with a session each */
	int			batch;			/* pairs of a put, keys of a get_many */
	int			limit;			/* rows of a range */
	int			pipeline;		/* calls that are sent before answers are
								 * waited for */
	KeyOrder	keys;
	int64_t		space;			/* keys that --load puts, or has put */
	int			key_bytes;
	int			value_bytes;
	bool		compressible;	/* values */
	double		seconds;		/* how long, or */
	int64_t		operations;		/* how many, of all clients together, if above
								 * 0 */
	int64_t		rate;			/* operations a second, of all clients
								 * together, if above 0 */
	int			warmup;			/* operations of each client before the clock
								 * starts */
	int64_t		seed;
	bool		load;
	bool		mark;			/* have whoever counts see where to begin and to end */
} Options;

/* A work that only one target knows.  It returns how many entries it has dealt with. */
typedef struct TargetWork
{
	const char *name;
	int			(*run) (void *session, const Pair *keys, int count);
} TargetWork;

/* Who follows calls it with the value of each pair that was put. */
typedef void (*Hear) (const void *value, size_t len);

/*
 * A store.  Each client is a thread that opens a session and calls functions with
 * it; the others are called by one thread while nothing else runs.  Whoever fails
 * says why and exits.  What is marked so may be NULL.
 */
typedef struct Target
{
	const char *name;
	const char *usage;			/* of options that it knows a meaning of */
	void		(*prepare) (const Options *options);	/* before the sessions */
	void	   *(*connect) (const Options *options, int client);
	void		(*put) (void *session, const Pair *pairs, int count);	/* returns when durable */
	bool		(*get) (void *session, const Pair *key);	/* is it there?  reads
															 * the value */
	int			(*get_many) (void *session, const Pair *keys, int count);	/* how many were there */
	int			(*range) (void *session, const Pair *first, int limit); /* how many rows there
																		 * were */
	void		(*disconnect) (void *session);

	const TargetWork *works;	/* or NULL; ended by one without a name */
	void		(*flush) (void *session);	/* or NULL; with --pipeline the
											 * above only send, and this waits
											 * for the answers */

	/* These are for one subscriber, or NULL. */
	void	   *(*open_follower) (const Options *options);	/* returns when it will miss
															 * nothing */
	void		(*follow) (void *session, Hear hear);	/* waits for some of what was put:
														 * for a moment, or until woken */
	void		(*wake_follower) (void *session);	/* or NULL; called by another thread */
	void		(*close_follower) (void *session);

	void		(*begin) (void);	/* or NULL; before the clock starts */
	void		(*end) (void);	/* or NULL; when it has stopped: may print
								 * fields, each after a space */
} Target;

extern int	load_main(int argc, char **argv, const Target *target);

#endif							/* LOAD_H */
