/* What a new session brings to the machine: time, randomness, names. */
#ifndef SESSION_H
#define SESSION_H

#include "request.h"

/* Whether the machine is the agent's own, so that it may set its clock and names. */
void session_init(bool own_machine);
void session_begin(const struct session_request *request);
/* The machine stood still, and its clock with it: sets it forward, never back. */
void session_resume(uint64_t time_ns);
void session_answer(struct writer *writer);

void session_set_hostname(const char *name);

/* For a root that has just been assembled: writes what earlier sessions named. */
void session_name_root(void);

#endif
