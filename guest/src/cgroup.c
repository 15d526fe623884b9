#define _GNU_SOURCE
#include "cgroup.h"

#include "workload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "/cgroup"
#define PREFIX "command-"

enum { PATH_SIZE = 64 };

static uint32_t last;

static void path_of(char path[PATH_SIZE], uint32_t number, const char *file) {
  snprintf(path, PATH_SIZE, FOLDER "/" PREFIX "%u%s", number, file);
}

/* `favordynmods`: else each process that joins a group waits for the kernel's grace period. */
static bool mounted(void) {
  static bool done;
  if (done) return true;
  if (mkdir(FOLDER, 0700) < 0 && errno != EEXIST) return false;
  const char *const options[] = {"favordynmods", NULL};
  for (int i = 0; i < 2 && !done; i++) done = mount("cgroup2", FOLDER, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, options[i]) == 0;
  return done;
}

/* Those that former commands could not take along, since something still ran in them. */
static void sweep(void) {
  DIR *folder = opendir(FOLDER);
  if (!folder) return;
  for (struct dirent *entry; (entry = readdir(folder));) {
    if (strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1) == 0) (void)unlinkat(dirfd(folder), entry->d_name, AT_REMOVEDIR);
  }
  closedir(folder);
}

uint32_t cgroup_make(void) {
  char path[PATH_SIZE];
  if (!workload_isolated() || !mounted()) return 0;
  sweep();
  path_of(path, ++last, "");
  return mkdir(path, 0755) == 0 ? last : 0;
}

static bool write_to(uint32_t number, const char *file, const char *text) {
  char path[PATH_SIZE];
  path_of(path, number, file);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool done = write(fd, text, strlen(text)) > 0;
  close(fd);
  return done;
}

bool cgroup_join(uint32_t number, pid_t pid) {
  char text[16];
  snprintf(text, sizeof text, "%d", (int)pid);
  return write_to(number, "/cgroup.procs", text);
}

void cgroup_kill(uint32_t number) { (void)write_to(number, "/cgroup.kill", "1"); }

void cgroup_leave(uint32_t number) {
  char path[PATH_SIZE];
  path_of(path, number, "");
  (void)rmdir(path);
}
