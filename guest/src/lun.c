#define _GNU_SOURCE
#include "lun.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { UEVENTS = 1, RECEIVE_BUFFER = 1 << 20 };

static int uevents = -1;
static int controller = -1;

static bool is_virtio(const char *host) {
  char path[320], name[32];
  snprintf(path, sizeof path, "/sys/class/scsi_host/%s/proc_name", host);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, name, sizeof name - 1);
  if (fd >= 0) close(fd);
  return got > 0 && strncmp(name, "virtio_scsi", strlen("virtio_scsi")) == 0;
}

/* The number of the virtio-scsi controller: there is one. */
static int find_controller(void) {
  DIR *hosts = opendir("/sys/class/scsi_host");
  if (!hosts) return -1;
  int number = -1;
  struct dirent *entry;
  while (number < 0 && (entry = readdir(hosts))) {
    if (strncmp(entry->d_name, "host", 4) == 0 && is_virtio(entry->d_name)) number = atoi(entry->d_name + 4);
  }
  closedir(hosts);
  return number;
}

int lun_listen(void) {
  controller = find_controller();
  if (controller < 0) return ENODEV;
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = UEVENTS};
  uevents = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
  if (uevents < 0) return errno;
  int size = RECEIVE_BUFFER;
  /* Too small a buffer loses events, which the bounded wait makes up for. */
  (void)setsockopt(uevents, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  return bind(uevents, (struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;
}

void lun_rescan(uint16_t lun) {
  char path[64], what[32];
  snprintf(path, sizeof path, "/sys/class/scsi_host/host%d/scan", controller);
  int length = snprintf(what, sizeof what, "0 %u %u", lun >> 8, lun & 255);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  /* A LUN that is not there yet announces itself later. */
  if (write(fd, what, (size_t)length) < 0) errno = 0;
  close(fd);
}

int lun_find(uint16_t lun, char path[64]) {
  char folder[96];
  snprintf(folder, sizeof folder, "/sys/bus/scsi/devices/%d:0:%u:%u/block", controller, lun >> 8, lun & 255);
  DIR *block = opendir(folder);
  if (!block) return ENOENT;
  int error = ENOENT;
  struct dirent *entry;
  while (error && (entry = readdir(block))) {
    if (entry->d_name[0] == '.' || strlen(entry->d_name) > 32) continue;
    snprintf(path, 64, "/dev/%.32s", entry->d_name);
    error = access(path, F_OK) < 0 ? ENOENT : 0;
  }
  closedir(block);
  return error;
}

static void ask_again(uint16_t lun) {
  char path[96];
  snprintf(path, sizeof path, "/sys/bus/scsi/devices/%d:0:%u:%u/rescan", controller, lun >> 8, lun & 255);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  /* Whether it helped is seen when the size is looked at next. */
  if (write(fd, "1", 1) < 0) errno = 0;
  close(fd);
}

uint64_t lun_size(uint16_t lun, const char *device) {
  uint64_t size = 0;
  int fd = open(device, O_RDONLY | O_CLOEXEC);
  if (fd >= 0 && ioctl(fd, BLKGETSIZE64, &size) < 0) size = 0;
  if (fd >= 0) close(fd);
  if (size == 0) ask_again(lun);
  return size;
}

void lun_wait(int timeout_ms) {
  char event[4096];
  struct pollfd wait = {.fd = uevents, .events = POLLIN};
  if (poll(&wait, 1, timeout_ms) <= 0) return;
  while (recv(uevents, event, sizeof event, 0) > 0) continue;
}
