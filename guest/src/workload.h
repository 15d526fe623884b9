/* Where tasks run: the workload's root and namespaces once they are assembled, or a folder when the agent is under test. */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <stdbool.h>
#include <sys/types.h>

/* Host mode: tasks run in `root`, by chroot when it is not "/". */
void workload_init_folder(const char *root);

bool workload_ready(void);

/* Whether there is a PID namespace of its own, so that signals to everybody stay in it. */
bool workload_isolated(void);

/* The assembled root's init; the agent joins its PID and IPC namespaces for its children. 0 or an errno. */
int workload_adopt(pid_t init);

/* The init has ended; nothing can run any more. True when `pid` was it. */
bool workload_ended(pid_t pid);
pid_t workload_init_pid(void);

unsigned long workload_clone_flags(void);

/* The descriptor a child keeps as TASK_ROOT, or -1. */
int workload_root_fd(void);

/* In a child: enter the root. 0 or an errno. */
int workload_enter(void);

/*
 * In the root's init, while its writable layer is at `path`: keeps that within reach of the agent, as its standard input. 0 or an errno.
 */
int workload_keep_layer(const char *path);

/* In a child: make the kept layer the working directory; of an agent under test, its folder. 0 or an errno. */
int workload_enter_layer(void);

int workload_open_ptmx(int flags);

/* Replaces a small file of the root, never leaving its file system. 0 or an errno. */
int workload_put(const char *path, const char *content, mode_t mode);

#endif
