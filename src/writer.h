/*
 * writer.h
 *		Write a batch: the pairs and the log.
 */
#ifndef SE_WRITER_H
#define SE_WRITER_H

#include "entries.h"

extern int64 se_writer_put(const SeBatch *batch);
extern int64 se_writer_delete(const SeBatch *batch);

#endif							/* SE_WRITER_H */
