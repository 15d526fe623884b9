#define _GNU_SOURCE
#include "disk.h"

#include "lun.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From linux/mount.h, which cannot be included beside the C library's own header; the numbers are the same on all architectures. */
enum { NR_FSOPEN = 430, NR_FSCONFIG = 431, NR_FSMOUNT = 432, CLOEXEC = 1, SET_FLAG = 0, SET_STRING = 1, CREATE = 6 };

enum { DEFAULT_TIMEOUT_MS = 10000, WAIT_MS = 20 };

uint64_t disk_await(uint16_t lun, uint32_t timeout_ms, char device[64]) {
  int64_t end = now_ms() + (timeout_ms ? timeout_ms : DEFAULT_TIMEOUT_MS);
  errno = lun_listen();
  if (errno) return 0;
  if (lun_find(lun, device) != 0) lun_rescan(lun);
  for (;;) {
    uint64_t size = lun_find(lun, device) == 0 ? lun_size(lun, device) : 0;
    if (size > 0) return size;
    if (now_ms() >= end) break;
    lun_wait(WAIT_MS);
  }
  errno = ETIMEDOUT;
  return 0;
}

static int configure(int context, const char *device, const struct mount_option *options) {
  if (syscall(NR_FSCONFIG, context, SET_STRING, "source", device, 0) < 0) return -1;
  for (; options->name; options++) {
    unsigned command = options->value ? SET_STRING : SET_FLAG;
    if (syscall(NR_FSCONFIG, context, command, options->name, options->value, 0) < 0) return -1;
  }
  return (int)syscall(NR_FSCONFIG, context, CREATE, NULL, NULL, 0);
}

int disk_mount(const char *type, const char *device, const struct mount_option *options, unsigned attributes) {
  int context = (int)syscall(NR_FSOPEN, type, CLOEXEC);
  if (context < 0) return -1;
  int mount = configure(context, device, options) < 0 ? -1 : (int)syscall(NR_FSMOUNT, context, CLOEXEC, attributes);
  int error = errno;
  close(context);
  errno = error;
  return mount;
}
