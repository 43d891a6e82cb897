/*
 * prune.h
 *		Apply prune policies.
 */
#ifndef SE_PRUNE_H
#define SE_PRUNE_H

#include "utils/jsonb.h"

extern int64 se_prune(Jsonb *request, bool dry_run);

#endif							/* SE_PRUNE_H */
