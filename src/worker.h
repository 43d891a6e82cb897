/*
 * worker.h
 *		The background processes.
 */
#ifndef SE_WORKER_H
#define SE_WORKER_H

#include "fmgr.h"

/* Setting: milliseconds between two notifications, at least. */
extern int	se_notify_interval;

extern void se_launcher_register(void);
extern PGDLLEXPORT void se_launcher_main(Datum arg);
extern PGDLLEXPORT void se_worker_main(Datum arg);

#endif							/* SE_WORKER_H */
