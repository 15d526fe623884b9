#define _GNU_SOURCE
#include "boot.h"
#include "link.h"
#include "log.h"
#include "loop.h"
#include "network.h"
#include "session.h"
#include "task.h"
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * PID 1 of a microVM; or, for tests, an ordinary process: `agent --links FD,FD --root DIR [--network]`, which serves the control
 * and the bulk link on two sockets and runs its tasks in DIR. With --network it takes over the network namespace that it is in.
 */
static void take_arguments(int argc, char **argv, int fds[2]) {
  bool network = argc == 6 && strcmp(argv[5], "--network") == 0;
  if ((argc != 5 && !network) || strcmp(argv[1], "--links") != 0 || strcmp(argv[3], "--root") != 0) {
    fatal("usage: %s --links FD,FD --root DIR [--network]", argv[0]);
  }
  if (sscanf(argv[2], "%d,%d", &fds[0], &fds[1]) != 2) fatal("--links %s: not two descriptors", argv[2]);
  workload_init_folder(argv[4]);
  const char *step = NULL;
  int error = network ? network_set_up(&step) : 0;
  if (error) fatal("%s: %s", step, strerror(error));
}

/* Out of the range that children use for their own. */
static int move_up(int fd) {
  int moved = fcntl(fd, F_DUPFD_CLOEXEC, 16);
  if (moved < 0 || fcntl(moved, F_SETFL, O_NONBLOCK) < 0) fatal("descriptor %d: %s", fd, strerror(errno));
  close(fd);
  return moved;
}

int main(int argc, char **argv) {
  bool first = getpid() == 1;
  int fds[2] = {-1, -1};
  if (first) boot(fds);
  else take_arguments(argc, argv, fds);
  session_init(first);
  loop_init();
  for (int i = 0; i < LINKS; i++) fds[i] = move_up(fds[i]);
  tasks_init();
  streams_init();
  network_init();
  for (int i = 0; i < LINKS; i++) link_init(&links[i], fds[i]);
  loop_run();
}
