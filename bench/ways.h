/*
 * ways.h - what PostgreSQL is told to do, each way
 */
#ifndef WAYS_H
#define WAYS_H

/* What the statements of a way are for. */
typedef enum Purpose
{
	PUT_ONE,
	PUT_MANY,
	GET,
	GET_MANY,
	RANGE,
	INSIDE,
	SCAN,
	FEED,
	FRONTIER,
	OLDEST,
	WAIT,						/* for a number, a moment at most */
	LOG_BOUNDS,					/* not prepared: lowest number, highest number */
	PURPOSES
} Purpose;

/* How pairs become parameters. */
typedef enum Form
{
	PAIRS,						/* a key and a value, or an array of each */
	MESSAGE,					/* one protobuf message */
	COPIED						/* no parameters */
} Form;

typedef struct Way
{
	const char *name;
	Form		form;
	const char *channel;		/* on which subscribers are notified, if they do not WAIT */
	const char *sql[PURPOSES];
} Way;

extern const char *const way_types[PURPOSES];

extern const Way *way_find(const char *name);

#endif							/* WAYS_H */
