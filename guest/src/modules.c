#define _GNU_SOURCE
#include "boot.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/module.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FOLDER "/modules/"

#ifndef MODULE_INIT_COMPRESSED_FILE
#define MODULE_INIT_COMPRESSED_FILE 4
#endif

static bool compressed(const char *name) {
  const char *end = strrchr(name, '.');
  return end && (strcmp(end, ".xz") == 0 || strcmp(end, ".zst") == 0 || strcmp(end, ".gz") == 0);
}

/* The file is freed with its loading: the initramfs would keep it in memory for ever. */
static void load(const char *name) {
  char path[512];
  snprintf(path, sizeof path, FOLDER "%s", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fatal("the module %s cannot be opened: %s", path, strerror(errno));
  int flags = compressed(name) ? MODULE_INIT_COMPRESSED_FILE : 0;
  if (syscall(SYS_finit_module, fd, "", flags) < 0 && errno != EEXIST) fatal("the module %s cannot be loaded: %s", name, strerror(errno));
  close(fd);
  unlink(path);
}

void modules_load(void) {
  FILE *order = fopen(FOLDER "order", "re");
  if (!order && errno == ENOENT) return;
  if (!order) fatal(FOLDER "order cannot be read: %s", strerror(errno));
  char name[256];
  while (fgets(name, sizeof name, order)) {
    name[strcspn(name, "\r\n")] = 0;
    if (name[0]) load(name);
  }
  fclose(order);
}
