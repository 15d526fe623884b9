#define _GNU_SOURCE
#include "disk.h"
#include "root.h"
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From linux/mount.h, which cannot be included beside the C library's own header. */
enum { NR_MOVE_MOUNT = 429, FROM_EMPTY_PATH = 4 };

static _Noreturn void cannot(const char *doing, const char *what) {
  int error = errno;
  task_fail(error, STAGE_OTHER, "%s %s: %s", doing, what, strerror(error));
}

void root_mount_memory(const char *folder, uint64_t bytes) {
  char options[64];
  int used = snprintf(options, sizeof options, "mode=0755");
  if (bytes) snprintf(options + used, sizeof options - (size_t)used, ",size=%llu", (unsigned long long)bytes);
  if (mkdir(folder, 0755) < 0) cannot("making", folder);
  if (mount("tmpfs", folder, "tmpfs", 0, options) < 0) cannot("mounting a tmpfs for", folder);
}

/* Nobody ever mounts it again: what it is after a crash does not matter, but what is deleted is to be free on the host. */
static const struct mount_option FLEETING[] = {
  {"discard", NULL}, {"noinit_itable", NULL}, {"nobarrier", NULL}, {"noauto_da_alloc", NULL}, {"errors", "continue"},
  {"data", "writeback"}, {"commit", "300"}, {NULL, NULL},
};

static void mount_disk(const struct assemble_request *request, const char *folder) {
  char device[64];
  if (disk_await(request->disk, request->timeout_ms, device) == 0) {
    if (errno != ETIMEDOUT) cannot("listening for disks of", "the virtio-scsi controller");
    task_fail(ETIMEDOUT, STAGE_OTHER, "the writable layer's disk (LUN %u): no such disk appeared in time", request->disk);
  }
  int mount = disk_mount("ext4", device, FLEETING, 0);
  if (mount < 0) cannot("mounting the disk of", "the writable layer");
  if (mkdir(folder, 0755) < 0) cannot("making", folder);
  if (syscall(NR_MOVE_MOUNT, mount, "", AT_FDCWD, folder, FROM_EMPTY_PATH) < 0) cannot("mounting the disk at", folder);
  close(mount);
}

void root_mount_upper(const struct assemble_request *request, const char *folder) {
  if (request->disk) mount_disk(request, folder);
  else root_mount_memory(folder, request->tmpfs_bytes);
}
