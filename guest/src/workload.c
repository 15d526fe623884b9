#define _GNU_SOURCE
#include "workload.h"

#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *folder;       /* host mode */
static pid_t init_pid;
static int mount_namespace = -1;
static int root = -1;            /* the assembled root, for the agent's own small files */
static int layer = -1;           /* the root's writable layer, if it is kept */
static int terminals = -1;       /* the workload's /dev/pts */

void workload_init_folder(const char *path) { folder = path; }

bool workload_ready(void) { return folder != NULL || init_pid > 0; }

bool workload_isolated(void) { return init_pid > 0; }

pid_t workload_init_pid(void) { return init_pid; }

unsigned long workload_clone_flags(void) { return folder ? 0 : CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC; }

int workload_root_fd(void) { return mount_namespace; }

static int open_of(pid_t pid, const char *what, int flags) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, what);
  return open(path, flags | O_CLOEXEC);
}

static int join_for_children(pid_t init, const char *what, int type) {
  int fd = open_of(init, what, O_RDONLY);
  if (fd < 0) return errno;
  int error = setns(fd, type) < 0 ? errno : 0;
  close(fd);
  return error;
}

int workload_adopt(pid_t init) {
  if (folder) return 0;
  mount_namespace = open_of(init, "ns/mnt", O_RDONLY);
  root = open_of(init, "root", O_PATH | O_DIRECTORY);
  terminals = open_of(init, "root/dev/pts", O_PATH | O_DIRECTORY);
  /* Its standard input is /dev/null otherwise. */
  layer = open_of(init, "fd/0", O_RDONLY | O_DIRECTORY);
  if (mount_namespace < 0 || root < 0 || terminals < 0) return errno;
  int error = join_for_children(init, "ns/ipc", CLONE_NEWIPC);
  if (!error) error = join_for_children(init, "ns/pid", CLONE_NEWPID);
  if (!error) init_pid = init;
  return error;
}

bool workload_ended(pid_t pid) {
  if (pid != init_pid) return false;
  init_pid = 0;
  return true;
}

int workload_enter(void) {
  if (!folder) return setns(TASK_ROOT, CLONE_NEWNS) < 0 ? errno : 0;
  if (strcmp(folder, "/") == 0) return chdir("/") < 0 ? errno : 0;
  return chroot(folder) < 0 || chdir("/") < 0 ? errno : 0;
}

int workload_keep_layer(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  int error = dup2(fd, TASK_INPUT) < 0 ? errno : 0;
  close(fd);
  return error;
}

int workload_enter_layer(void) {
  if (folder) return chdir(folder) < 0 ? errno : 0;
  if (layer < 0) return ENXIO;
  return fchdir(layer) < 0 ? errno : 0;
}

int workload_open_ptmx(int flags) {
  return folder ? open("/dev/ptmx", flags) : openat(terminals, "ptmx", flags);
}

int workload_put(const char *path, const char *content, mode_t mode) {
  if (root < 0) return 0;
  /* The workload may have put anything there: a pipe, a link, another file system. */
  struct open_how how = {
    .flags = O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
    .mode = mode,
    .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
  };
  int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
  if (fd < 0) return errno;
  struct stat stat;
  size_t length = strlen(content);
  int error = 0;
  if (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode)) error = EINVAL;
  else if (ftruncate(fd, 0) < 0 || write(fd, content, length) != (ssize_t)length) error = errno;
  close(fd);
  return error;
}
