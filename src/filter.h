/*
 * filter.h
 *		Which entries a reader of the log, or a prune of keys, is to have.
 */
#ifndef SE_FILTER_H
#define SE_FILTER_H

#include "utils/array.h"
#include "wire.h"

/* The most selectors, and the most value filters, in a filter. */
#define SE_MAX_SELECTORS 16
#define SE_MAX_VALUE_FILTERS 16

typedef struct SeFilter SeFilter;

extern SeFilter * se_filter_create(ArrayType *selectors, ArrayType *value_filters);
extern bool se_filter_passes(const SeFilter * filter, const SeEntry *entry, bool has_value);

#endif							/* SE_FILTER_H */
