/* Disks of the host that are mounted where nothing but the task can see the device. */
#ifndef DISK_H
#define DISK_H

#include <stdint.h>

/* One option of a file system; a flag without a value. */
struct mount_option {
  const char *name;
  const char *value;
};

enum { DISK_READ_ONLY = 1, DISK_NO_DEVICES = 4 };

/* Waits until the LUN's disk is there and gives its device; its size in bytes, or 0 and errno. 0 ms are the default of 10 s. */
uint64_t disk_await(uint16_t lun, uint32_t timeout_ms, char device[64]);

/* Mounts the device nowhere: the descriptor is all there is of the mount. -1 and errno. The last option has no name. */
int disk_mount(const char *type, const char *device, const struct mount_option *options, unsigned attributes);

#endif
