/* Commands that are made of steps: files to write, then commands each of which needs the success of the one before. */
#ifndef PLAN_H
#define PLAN_H

#include "stream.h"

/* Keeps an OPEN's payload, which parsing destroys, if it is a plan. False when there is no memory for it. */
bool plan_keep(struct plan **plan, const uint8_t *payload, size_t length);
void plan_forget(struct plan *plan);

/* For task_start: which ends of the pipes the later steps get, and whether files come first. */
void plan_begin(struct stream *stream, const struct exec_request *request, const int theirs[4]);

/* A step of the stream's plan has ended; true when the next one runs in its place. */
bool plan_next(struct stream *stream, int wait_status);

/* Whether the files of its plan are being written. */
bool plan_stages(const struct stream *stream);

/* There will be no more steps. */
void plan_drop(struct stream *stream);

/* In a child: writes the files of the plan, as the command's user, and ends. */
_Noreturn void plan_write_files(const struct exec_request *request);

#endif
