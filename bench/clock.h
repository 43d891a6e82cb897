/*
 * clock.h - the time, in ns
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <time.h>

#define NANOS			INT64_C(1000000000)

static inline int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NANOS + t.tv_nsec;
}

static inline void
sleep_until(int64_t time)
{
	struct timespec t = {time / NANOS, time % NANOS};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
		;
}

#endif							/* CLOCK_H */
