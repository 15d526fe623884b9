#define _GNU_SOURCE
#include "root.h"
#include "session.h"
#include "task.h"
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Reaps whatever the workload leaves behind, for as long as there is a workload. */
static _Noreturn void be_init(void) {
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  sigprocmask(SIG_BLOCK, &children, NULL);
  for (;;) {
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
    sigwaitinfo(&children, NULL);
  }
}

/* Without its init everything ends, so it must be the last to go when memory is short. */
static void outlive_others(void) {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (write(fd, "-1000", 5) < 0) errno = 0;
  close(fd);
}

/* Runs as the first process of new PID, mount and IPC namespaces, and stays as their init. */
void assemble_run(const struct assemble_request *request) {
  uint8_t bytes[RESULT_SIZE];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_kind(&writer, RESULT_DONE);
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
    task_fail(errno, STAGE_OTHER, "the mount namespace cannot be made private: %s", strerror(errno));
  }
  umask(022);
  if (mount("tmpfs", "/mnt", "tmpfs", 0, "mode=0755,size=1m") < 0 || chdir("/mnt") < 0) {
    task_fail(errno, STAGE_OTHER, "no place to assemble the root in: %s", strerror(errno));
  }
  root_stack(request);
  bool keeps_layer = request->flags & ASSEMBLE_KEEPS_LAYER;
  if (keeps_layer) root_keep_layer(request);
  root_enter();
  if (keeps_layer) root_cover_files(request);
  else root_write_files(request);
  root_populate(request);
  root_set_sysctls(request);
  outlive_others();
  prctl(PR_SET_NAME, "init");
  task_report(&writer);
  /* Closes the status pipe, which tells the agent that this is the init from here on. */
  syscall(SYS_close_range, TASK_STATUS, ~0U, 0);
  be_init();
}
