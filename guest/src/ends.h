/* The pipes or the terminal between the agent and a task, and where the task finds them. */
#ifndef ENDS_H
#define ENDS_H

#include "request.h"

struct ends {
  int ours[4];   /* input, output, error, status; -1 where there is none */
  int theirs[4];
};

/* Keeps the low descriptors occupied, so that a child can move its pipes there without collisions. */
void ends_reserve(void);

/* One pipe; 0 or an errno. */
int ends_pipe(struct ends *ends, int which, bool we_write);

/* All that the task needs; 0 or an errno, with which some may be open. */
int ends_make(struct ends *ends, const struct request *request);

/* File tasks of the bulk link move much at a time; a smaller pipe than asked for is only slower. */
void ends_widen(const struct ends *ends, enum request_kind kind);

void ends_close(const int fds[4]);

/* For children: puts the pipes where a task expects them and closes all else: not even the links' descriptors stay. */
void ends_take(const struct ends *ends, bool merged);

#endif
