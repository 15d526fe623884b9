#define _GNU_SOURCE
#include "reap.h"

#include "hold.h"
#include "log.h"
#include "stream.h"
#include "workload.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* Has ended and been told of. Until it is buried its number is nobody else's. */
static pid_t unburied;

static void tell(pid_t pid, int status) {
  hold_end(pid);
  struct stream *stream = stream_of_process(pid);
  if (stream) stream_exited(stream, status);
  else if (workload_ended(pid)) log_line("the workload's init has ended (wait status %d)", status);
}

void reap(void) {
  siginfo_t ended = {.si_pid = 0};
  if (unburied || waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) < 0 || ended.si_pid == 0) return;
  unburied = ended.si_pid;
  tell(unburied, ended.si_code == CLD_EXITED ? W_EXITCODE(ended.si_status, 0) : W_EXITCODE(0, ended.si_status));
}

bool reap_rest(void) {
  if (!unburied) return false;
  if (waitpid(unburied, NULL, 0) < 0) log_line("waitpid: %s", strerror(errno));
  unburied = 0;
  reap();
  return unburied != 0;
}
