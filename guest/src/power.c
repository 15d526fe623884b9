#define _GNU_SOURCE
#include "power.h"

#include "link.h"
#include "log.h"
#include "task.h"
#include "unmount.h"
#include "workload.h"

#include <errno.h>
#include <signal.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

enum { DRAIN_MS = 500, POLL_MS = 10, GRACE_MAX_MS = 60000, UNMOUNT_MS = 3000 };

static bool wanted;

void power_off_soon(void) { wanted = true; }

void power_check(void) {
  if (!wanted) return;
  for (int i = 0; i < LINKS; i++) link_drain(&links[i], DRAIN_MS);
  if (getpid() != 1) _exit(0);
  /* The workload's mounts go with its namespaces, and those with its init. */
  if (workload_init_pid() > 0) kill(workload_init_pid(), SIGKILL);
  sync();
  reboot(RB_POWER_OFF);
  fatal("the machine cannot be powered off");
}

static bool anybody_left(void) { return kill(-1, 0) == 0; }

/* Runs as a member of the workload's PID namespace, where -1 means everybody but the init and oneself. */
void shutdown_run(uint32_t grace_ms) {
  uint8_t bytes[RESULT_SIZE];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_kind(&writer, RESULT_DONE);
  if (!workload_isolated()) task_done(&writer);
  int64_t end = now_ms() + (grace_ms < GRACE_MAX_MS ? grace_ms : GRACE_MAX_MS);
  kill(-1, SIGTERM);
  while (anybody_left() && now_ms() < end) {
    struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    nanosleep(&pause, NULL);
  }
  kill(-1, SIGKILL);
  sync();
  if (workload_enter() == 0) unmount_all(now_ms() + UNMOUNT_MS);
  task_done(&writer);
}
