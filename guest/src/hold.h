/* New commands go first: while one starts, the bulk link moves little, so that the processor is the command's. */
#ifndef HOLD_H
#define HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A command has been started, and has ended. */
void hold_begin(pid_t pid);
void hold_end(pid_t pid);

/* Bytes have gone over the bulk link, in either direction. */
void hold_spend(size_t bytes);

/* Whether the bulk link has to wait. */
bool hold_active(void);

/* When it may go on, or INT64_MAX when it does not wait. */
int64_t hold_deadline(void);

/* Its time is over. */
void hold_expire(int64_t now);

#endif
