/*
 * options.h - the command line of all load programs
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "load.h"

#define MAX_CLIENTS		1000
#define ASCENDING_BYTES 12		/* of a key that have to do with its place */

extern void options_read(int argc, char **argv, const Target *of, Options *into);

#endif							/* OPTIONS_H */
