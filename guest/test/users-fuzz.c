/* libFuzzer's entry: whatever an image has as /etc/passwd and /etc/group, and whoever is asked for in it. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int fuzz_open(const char *path, int flags, ...);
#define open fuzz_open
#include "../src/users.c"
#undef open

static const uint8_t *content;
static size_t content_length;

/* Both files have the same content, in memory. */
static int fuzz_open(const char *path, int flags, ...) {
  (void)path;
  (void)flags;
  int fd = memfd_create("users", MFD_CLOEXEC);
  if (fd < 0 || write(fd, content, content_length) != (ssize_t)content_length || lseek(fd, 0, SEEK_SET) != 0) abort();
  return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  static struct user user;
  char spec[2 * USER_LENGTH_MAX] = "";
  size_t size = 0;
  /* The first line is who is asked for. */
  while (size < length && size < sizeof spec - 1 && bytes[size] != '\n') size++;
  memcpy(spec, bytes, size);
  content = bytes + size;
  content_length = length - size;
  last.valid = false;
  if (user_resolve(&user, spec) != 0) return 0;
  if (user.group_count > GROUPS_MAX || strlen(user.home) >= HOME_MAX || user.uid > ID_MAX || user.gid > ID_MAX) abort();
  return 0;
}
