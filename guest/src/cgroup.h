/* A control group for one command, so that all it ever started can be killed, however it has detached itself. */
#ifndef CGROUP_H
#define CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Makes one and gives its number; 0 where there are none (another kernel; an agent under test). */
uint32_t cgroup_make(void);

/* Puts a process there; 0 is the caller. */
bool cgroup_join(uint32_t number, pid_t pid);

/* Kills everything in it. */
void cgroup_kill(uint32_t number);

/* It is not needed any more; what still runs in it runs on. */
void cgroup_leave(uint32_t number);

#endif
