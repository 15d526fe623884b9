#define _GNU_SOURCE
#include "boot.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FOLDER "/modules/"

/* The file is freed with its loading: the initramfs would keep it in memory for ever. */
static void load(const char *name) {
  char path[512];
  snprintf(path, sizeof path, FOLDER "%s", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fatal("the module %s cannot be opened: %s", path, strerror(errno));
  if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST) fatal("the module %s cannot be loaded: %s", name, strerror(errno));
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
