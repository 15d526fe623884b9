#define _GNU_SOURCE
#include "log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/reboot.h>
#include <unistd.h>

static int log_fd = STDERR_FILENO;

void log_open(const char *path) {
  int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return;
  /* Out of the way of the descriptors that the agent and its children take for themselves. */
  int high = fcntl(fd, F_DUPFD_CLOEXEC, 16);
  log_fd = high >= 0 ? high : fd;
  if (high >= 0) close(fd);
}

static void write_line(const char *format, va_list arguments) {
  char line[512];
  int used = snprintf(line, sizeof line, "supermachine-agent: ");
  int more = vsnprintf(line + used, sizeof line - (size_t)used - 1, format, arguments);
  if (more < 0) return;
  size_t length = (size_t)used + (size_t)more;
  if (length > sizeof line - 2) length = sizeof line - 2;
  line[length++] = '\n';
  /* A console that cannot take the line loses it; there is nowhere else to say so. */
  if (write(log_fd, line, length) < 0) return;
}

void log_line(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  write_line(format, arguments);
  va_end(arguments);
}

void fatal(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  write_line(format, arguments);
  va_end(arguments);
  if (getpid() == 1) {
    sync();
    reboot(RB_POWER_OFF);
  }
  _exit(1);
}
