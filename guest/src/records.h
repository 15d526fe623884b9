/* Records on a task's output: each a length (u32) and its bytes; many go in one write. */
#ifndef RECORDS_H
#define RECORDS_H

#include "wire.h"

enum { RECORD_MAX = 16384 };

/* A new record; the writer has room for RECORD_MAX bytes. */
struct writer record_begin(void);
void record_end(const struct writer *writer);

/* Writes out what has been gathered. */
void records_flush(void);

#endif
