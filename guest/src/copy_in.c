#define _GNU_SOURCE
#include "copy.h"

#include "disk.h"
#include "paths.h"
#include "task.h"
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char target[PATH_LENGTH_MAX + 1];
static char beside[PATH_LENGTH_MAX + 32];

static _Noreturn void cannot(const char *doing, const char *path) {
  int error = errno;
  task_fail(error, STAGE_OTHER, "%s %.200s: %s", doing, path, strerror(error));
}

/* The disk's files, which have no place in any root: they are gone with this task. */
static int open_disk(const struct copy_request *request) {
  static const struct mount_option options[] = {{"ro", NULL}, {NULL, NULL}};
  char device[64];
  if (!disk_await(request->lun, request->timeout_ms, device)) cannot("waiting for", "the disk of the copy");
  int disk = disk_mount("erofs", device, options, DISK_READ_ONLY | DISK_NO_DEVICES);
  if (disk < 0) cannot("mounting", "the disk of the copy");
  copy_reads_ahead_of(open(device, O_RDONLY | O_CLOEXEC));
  return disk;
}

static int open_in(int disk, const char *path, int flags) {
  struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT};
  return (int)syscall(SYS_openat2, disk, path, &how, sizeof how);
}

static const char *base_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static int open_folder_of(const char *path) {
  char folder[PATH_LENGTH_MAX + 1];
  snprintf(folder, sizeof folder, "%.*s", (int)(base_of(path) - path), path);
  return open(folder[0] ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* A folder that is not there yet is made beside its place, so that it is there as a whole or not at all. */
static void make_folder(int source, const struct stat *of) {
  int used = snprintf(beside, sizeof beside, "%.*s.supermachine-%d", (int)(base_of(target) - target), target, (int)getpid());
  if (used < 0 || used > PATH_LENGTH_MAX) copy_fail(ENAMETOOLONG, "making");
  if (mkdir(beside, 0700) < 0) cannot("making the folder", target);
  copy_is_made_at(beside);
  int folder = open(beside, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  int attributes = fcntl(source, F_DUPFD_CLOEXEC, 0);
  if (folder < 0 || attributes < 0) copy_fail(errno, "opening");
  copy_children(source, folder);
  copy_attributes(attributes, folder, of);
  close(attributes);
  if (syscall(SYS_renameat2, AT_FDCWD, beside, AT_FDCWD, target, RENAME_NOREPLACE) < 0) copy_fail(errno, "naming");
  copy_is_made_at(NULL);
}

static void copy_whole_folder(int source, const struct stat *of) {
  int folder = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) copy_children(source, folder);
  else if (errno == ENOENT) make_folder(source, of);
  else cannot("opening", target);
}

static void copy_single(int disk, const char *source) {
  char folder[PATH_LENGTH_MAX + 1];
  snprintf(folder, sizeof folder, "/%.*s", (int)(base_of(source) - source), source);
  int from = open_in(disk, folder, O_RDONLY | O_DIRECTORY);
  int to = open_folder_of(target);
  if (from < 0 || to < 0) cannot("opening the folder of", target);
  copy_entry(from, base_of(source), to, base_of(target));
  close(from);
  close(to);
}

void copy_in_run(const struct copy_request *request) {
  struct stat of;
  int disk = open_disk(request);
  int error = workload_enter();
  if (error) task_fail(error, STAGE_OTHER, "the workload's root file system is not there: %s", strerror(error));
  copy_begin(request);
  const char *path = request->on_disk ? request->on_disk : "/";
  int source = open_in(disk, path, O_PATH | O_NOFOLLOW);
  if (source < 0 || fstat(source, &of) < 0) cannot("finding on the disk of the copy", path);
  close(source);
  snprintf(target, sizeof target, "%s", request->path);
  errno = path_follow(target);
  if (errno) cannot("following", target);
  if (S_ISDIR(of.st_mode)) copy_whole_folder(open_in(disk, path, O_RDONLY | O_DIRECTORY), &of);
  else copy_single(disk, path);
  close(disk);
  copy_reads_ahead_of(-1);
  copy_done(0);
}
