#define _GNU_SOURCE
#include "boot.h"

#include "first_connection.h"
#include "log.h"
#include "network.h"
#include "stream.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PORTS_TIMEOUT_MS = 20000, POLL_MS = 2, SYSLOG_ACTION_CONSOLE_LEVEL = 8, EMERGENCIES_ONLY = 1, OPEN_FILES = 1048576 };

#define PORTS "/sys/class/virtio-ports"

static void mount_at(const char *type, const char *path, unsigned long flags, const char *options) {
  if (mkdir(path, 0755) < 0 && errno != EEXIST) fatal("mkdir %s: %s", path, strerror(errno));
  if (mount(type, path, type, flags, options) < 0 && errno != EBUSY) fatal("mounting %s: %s", path, strerror(errno));
}

/* The initramfs itself cannot be pivoted away from, so the agent lives on a tmpfs over it. */
static void leave_initramfs(void) {
  mount_at("tmpfs", "/agent", 0, "mode=0755,size=16m");
  static const char *const moved[] = {"proc", "sys", "dev"};
  for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) {
    char from[16], to[32];
    snprintf(from, sizeof from, "/%s", moved[i]);
    snprintf(to, sizeof to, "/agent/%s", moved[i]);
    if (mkdir(to, 0755) < 0 || mount(from, to, NULL, MS_MOVE, NULL) < 0) fatal("moving %s: %s", from, strerror(errno));
  }
  if (mkdir("/agent/mnt", 0755) < 0 || chdir("/agent") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0) {
    fatal("leaving the initramfs: %s", strerror(errno));
  }
}

static void set_kernel(const char *path, const char *value) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, value, strlen(value)) < 0) log_line("%s cannot be set: %s", path, strerror(errno));
  if (fd >= 0) close(fd);
}

/*
 * How much of a file the kernel maps around a page that is touched: `fault_around_bytes` of its command line, which reaches us as a
 * variable. It can be set nowhere but in debugfs.
 */
static void set_fault_around(void) {
  const char *bytes = getenv("fault_around_bytes");
  if (!bytes) return;
  mount_at("debugfs", "/debug", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  set_kernel("/debug/fault_around_bytes", bytes);
  if (umount("/debug") < 0) log_line("unmounting debugfs: %s", strerror(errno));
}

/*
 * What the kernel does several times a second for the sake of machines that are large or run for long: it wakes an idle guest, and a
 * restored one has to translate it.
 */
static void calm_kernel(void) {
  set_kernel("/proc/sys/vm/compaction_proactiveness", "0");
  set_kernel("/proc/sys/vm/stat_interval", "60");
}

/* A guest without a network is still worth something. */
static void raise_network(void) {
  const char *step = NULL;
  int error = network_set_up(&step);
  if (error) log_line("the network cannot be set up: %s: %s", step, strerror(error));
  else make_first_connections();
}

static bool read_name(const char *port, char name[64]) {
  char path[320];
  snprintf(path, sizeof path, PORTS "/%s/name", port);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, name, 63);
  if (fd >= 0) close(fd);
  if (got <= 0) return false;
  name[got] = 0;
  name[strcspn(name, "\n")] = 0;
  return true;
}

/* Opens the port of that name if it is there by now. */
static int open_port(const char *wanted) {
  DIR *ports = opendir(PORTS);
  if (!ports) return -1;
  int fd = -1;
  struct dirent *entry;
  while (fd < 0 && (entry = readdir(ports))) {
    char name[64], path[300];
    if (entry->d_name[0] == '.' || !read_name(entry->d_name, name) || strcmp(name, wanted) != 0) continue;
    snprintf(path, sizeof path, "/dev/%s", entry->d_name);
    fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  }
  closedir(ports);
  return fd;
}

static int wait_for_port(const char *name) {
  int64_t end = now_ms() + PORTS_TIMEOUT_MS;
  for (;;) {
    int fd = open_port(name);
    if (fd >= 0) return fd;
    if (now_ms() >= end) fatal("no virtio-serial port named %s appeared in %d s", name, PORTS_TIMEOUT_MS / 1000);
    struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    nanosleep(&pause, NULL);
  }
}

void boot(int fds[2]) {
  umask(022);
  mount_at("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
  log_open("/dev/console");
  mount_at("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_at("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  modules_load();
  set_fault_around();
  calm_kernel();
  leave_initramfs();
  raise_network();
  struct rlimit files = {.rlim_cur = OPEN_FILES, .rlim_max = OPEN_FILES};
  if (setrlimit(RLIMIT_NOFILE, &files) < 0) log_line("the limit of open files cannot be raised: %s", strerror(errno));
  fds[0] = wait_for_port("supermachine.control");
  fds[1] = wait_for_port("supermachine.bulk");
  if (klogctl(SYSLOG_ACTION_CONSOLE_LEVEL, NULL, EMERGENCIES_ONLY) < 0) log_line("klogctl: %s", strerror(errno));
}
