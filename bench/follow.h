/*
 * follow.h - how soon a subscriber has what was put
 */
#ifndef FOLLOW_H
#define FOLLOW_H

#include "load.h"

extern void follow_open(const Target *of, const Options *options);
extern void follow_put(void *session, const Pair *pair);
extern void follow_start(void);
extern void follow_end(void);
extern void follow_report(void);

#endif							/* FOLLOW_H */
