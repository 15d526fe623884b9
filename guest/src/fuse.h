/* Folders of the host: the kernel's FUSE requests go to the host as they are, and its replies come back. */
#ifndef FUSE_H
#define FUSE_H

#include "stream.h"

enum {
  FUSE_MOUNTS_MAX = 32,
  /* One READ or WRITE at most; also what the host puts into its answer to FUSE_INIT. */
  FUSE_DATA_MAX = 1 << 17,
};

/* Takes one of the mounts for the stream; false when all are in use. */
bool fuse_reserve(struct stream *stream);

/* Opens the device: one descriptor for the agent, one for the task that mounts. 0 or an errno. */
int fuse_open(int *ours, int *theirs);

/* A task: mounts the device that is its standard output in the workload's root. */
_Noreturn void fuse_mount_run(const struct fuse_request *request);

/* The task has ended: if it has mounted, requests are taken from here on. */
void fuse_begin(struct stream *stream);

/* Bytes of replies; NULL, or why the session must end. */
const char *fuse_take(struct stream *stream, const uint8_t *bytes, uint32_t length);

/* Sends bytes of requests: one DATA frame at most. The link has room for it. */
void fuse_send(struct stream *stream);

/* Whether part of a request waits to be sent. */
bool fuse_has_rest(const struct stream *stream);

void fuse_end(struct stream *stream);

/* Whether there is any such folder, so that a path may lead to something that only the agent can bring. */
bool fuse_in_use(void);

/* Gives back memory that only past requests needed. */
void fuse_trim(void);

#endif
