#define _GNU_SOURCE
#include "disk.h"
#include "paths.h"
#include "task.h"
#include "workload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NR_MOVE_MOUNT = 429, FROM_EMPTY_PATH = 4 };

#define EXT4_RESIZE _IOW('f', 16, uint64_t)

static _Noreturn void cannot(const char *doing, const char *path) {
  int error = errno;
  task_fail(error, STAGE_OTHER, "%s %.200s: %s", doing, path, strerror(error));
}

static uint64_t wait_for(const struct volume_request *request, char device[64]) {
  uint64_t size = disk_await(request->lun, request->timeout_ms, device);
  if (size > 0) return size;
  if (errno != ETIMEDOUT) cannot("listening for disks of", "the virtio-scsi controller");
  task_fail(ETIMEDOUT, STAGE_OTHER, "the volume for %.200s (LUN %u): no such disk appeared in time", request->path, request->lun);
}

/* A mount that is nowhere yet: the device has a name only here, in the agent's own root. */
static int mount_device(const char *device, const struct volume_request *request) {
  bool read_only = (request->flags & MOUNT_READ_ONLY) != 0;
  const struct mount_option options[] = {
    {"errors", "remount-ro"},
    /* What is deleted shrinks the file on the host; what was never used is not written there. */
    {read_only ? "ro" : "discard", NULL},
    {"noinit_itable", NULL},
    {NULL, NULL},
  };
  int mount = disk_mount("ext4", device, options, DISK_NO_DEVICES | (read_only ? DISK_READ_ONLY : 0));
  if (mount < 0) cannot("mounting the volume for", request->path);
  return mount;
}

static bool is_fresh(int folder) {
  DIR *entries = fdopendir(dup(folder));
  if (!entries) return false;
  bool fresh = true;
  struct dirent *entry;
  while (fresh && (entry = readdir(entries))) {
    fresh = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || strcmp(entry->d_name, "lost+found") == 0;
  }
  closedir(entries);
  return fresh;
}

/* A new volume takes the place of the image's folder, so it looks like it; and it is empty, as databases want it. */
static void begin(int folder, const struct stat *before) {
  if (!is_fresh(folder)) return;
  if (unlinkat(folder, "lost+found", AT_REMOVEDIR) < 0 && errno != ENOENT) return;
  if (fchown(folder, before->st_uid, before->st_gid) < 0 || fchmod(folder, before->st_mode & 07777) < 0) errno = 0;
}

/* The file may have grown since the file system was made. */
static void grow(int folder, uint64_t size, const char *path) {
  struct statfs of_volume;
  if (fstatfs(folder, &of_volume) < 0) cannot("looking at", path);
  uint64_t blocks = size / (uint64_t)of_volume.f_bsize;
  if (ioctl(folder, EXT4_RESIZE, &blocks) < 0) cannot("growing the volume at", path);
}

void volume_run(const struct volume_request *request) {
  static char path[PATH_LENGTH_MAX + 1];
  char device[64];
  struct stat before;
  uint64_t size = wait_for(request, device);
  int mount = mount_device(device, request);
  int error = workload_enter();
  if (error) task_fail(error, STAGE_OTHER, "the workload's root file system is not there: %s", strerror(error));
  snprintf(path, sizeof path, "%s", request->path);
  errno = path_follow(path);
  if (!errno) errno = path_make_folders(path, 0, 0);
  if (errno || stat(path, &before) < 0) cannot("making the folder", request->path);
  if (syscall(NR_MOVE_MOUNT, mount, "", AT_FDCWD, path, FROM_EMPTY_PATH) < 0) cannot("mounting a volume at", path);
  if (!(request->flags & MOUNT_READ_ONLY)) {
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) cannot("opening", path);
    grow(folder, size, path);
    begin(folder, &before);
    close(folder);
  }
  uint8_t bytes[RESULT_SIZE];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_kind(&writer, RESULT_DONE);
  task_done(&writer);
}
