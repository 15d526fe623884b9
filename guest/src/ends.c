#define _GNU_SOURCE
#include "ends.h"

#include "fuse.h"
#include "log.h"
#include "pty.h"
#include "task.h"
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LOW_FDS = 10, BULK_PIPE = 1 << 18 };

void ends_reserve(void) {
  int fd;
  do {
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0) fatal("/dev/null: %s", strerror(errno));
  } while (fd < LOW_FDS);
  /* What a task has no pipe for is /dev/null to it. An agent under test keeps its standard error for its own words. */
  int last = getpid() == 1 ? TASK_ERROR : TASK_OUTPUT;
  for (int i = TASK_INPUT; i <= last; i++) {
    if (dup3(fd, i, O_CLOEXEC) < 0) fatal("dup: %s", strerror(errno));
  }
  close(fd);
}

int ends_pipe(struct ends *ends, int which, bool we_write) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) < 0) return errno;
  ends->ours[which] = fds[we_write];
  ends->theirs[which] = fds[!we_write];
  return fcntl(ends->ours[which], F_SETFL, O_NONBLOCK) < 0 ? errno : 0;
}

static int make_terminal(struct ends *ends, const struct exec_request *exec) {
  int controller = -1, terminal = -1;
  int error = pty_open(&controller, &terminal, exec->rows, exec->cols);
  if (error) return error;
  ends->ours[1] = controller;
  ends->ours[0] = fcntl(controller, F_DUPFD_CLOEXEC, LOW_FDS);
  ends->theirs[0] = terminal;
  ends->theirs[1] = fcntl(terminal, F_DUPFD_CLOEXEC, LOW_FDS);
  ends->theirs[2] = fcntl(terminal, F_DUPFD_CLOEXEC, LOW_FDS);
  return ends->ours[0] < 0 || ends->theirs[1] < 0 || ends->theirs[2] < 0 ? errno : 0;
}

static bool says_much(enum request_kind kind) {
  bool copies = kind == KIND_COPY_IN || kind == KIND_COPY_OUT;
  bool looks = kind == KIND_PROCESSES || kind == KIND_FILE_LIST || kind == KIND_FILE_WATCH;
  return copies || looks || kind == KIND_FILE_READ || kind == KIND_LAYER || kind == KIND_SOCKET;
}

int ends_make(struct ends *ends, const struct request *request) {
  int error = 0;
  if (request->kind == KIND_EXEC) {
    const struct exec_request *exec = &request->exec;
    if (fuse_in_use()) error = ends_pipe(ends, 3, false);
    if (error) return error;
    if (exec->flags & EXEC_TTY) return make_terminal(ends, exec);
    if (exec->flags & EXEC_STDIN) error = ends_pipe(ends, 0, true);
    if (!error) error = ends_pipe(ends, 1, false);
    if (!error && !(exec->flags & EXEC_MERGED)) error = ends_pipe(ends, 2, false);
    return error;
  }
  error = ends_pipe(ends, 3, false);
  if (!error && request->kind == KIND_FUSE) error = fuse_open(&ends->ours[1], &ends->theirs[1]);
  if (!error && says_much(request->kind)) error = ends_pipe(ends, 1, false);
  if (!error && (request->kind == KIND_FILE_WRITE || request->kind == KIND_SOCKET)) error = ends_pipe(ends, 0, true);
  return error;
}

void ends_close(const int fds[4]) {
  for (int i = 0; i < 4; i++) {
    if (fds[i] >= 0) close(fds[i]);
  }
}

void ends_widen(const struct ends *ends, enum request_kind kind) {
  if ((kind == KIND_FILE_READ || kind == KIND_FILE_LIST || kind == KIND_LAYER) && ends->ours[1] >= 0) (void)fcntl(ends->ours[1], F_SETPIPE_SZ, BULK_PIPE);
  if (kind == KIND_FILE_WRITE && ends->ours[0] >= 0) (void)fcntl(ends->ours[0], F_SETPIPE_SZ, BULK_PIPE);
}

void ends_take(const struct ends *ends, bool merged) {
  if (ends->theirs[3] >= 0 && dup3(ends->theirs[3], TASK_STATUS, O_CLOEXEC) < 0) _exit(1);
  for (int i = 0; i < 3; i++) {
    if (ends->theirs[i] >= 0 && dup2(ends->theirs[i], i) < 0) _exit(1);
    if (ends->theirs[i] < 0 && fcntl(i, F_SETFD, 0) < 0) _exit(1);
  }
  if (merged && dup2(TASK_OUTPUT, TASK_ERROR) < 0) _exit(1);
  int root = workload_root_fd();
  if (root >= 0 && dup3(root, TASK_ROOT, O_CLOEXEC) < 0) _exit(1);
  if (ends->theirs[3] < 0) close(TASK_STATUS);
  if (syscall(SYS_close_range, root >= 0 ? TASK_FDS : TASK_ROOT, ~0U, 0) == 0) return;
  /* A kernel before 5.9; only when the agent is tested as an ordinary process. */
  for (int fd = TASK_FDS; fd < 4096; fd++) close(fd);
}
