#define _GNU_SOURCE
#include "pax.h"

#include "task.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { BLOCK = 512, OUT = 1 << 16, EXTENDED_MAX = 1 << 20 };

static uint8_t out[OUT];
static size_t used;

/* Of the next entry. */
static uint8_t extended[EXTENDED_MAX];
static size_t extended_used;

static void flush(void) {
  for (size_t at = 0; at < used;) {
    ssize_t written = write(TASK_OUTPUT, out + at, used - at);
    if (written < 0 && errno == EINTR) continue;
    /* Whoever read it is gone. */
    if (written < 0) _exit(1);
    at += (size_t)written;
  }
  used = 0;
}

static void put(const void *bytes, size_t length) {
  for (const uint8_t *at = bytes; length > 0;) {
    size_t part = length < OUT - used ? length : OUT - used;
    memcpy(out + used, at, part);
    used += part;
    at += part;
    length -= part;
    if (used == OUT) flush();
  }
}

static void pad(uint64_t size) {
  static const uint8_t zeros[BLOCK];
  put(zeros, (BLOCK - size % BLOCK) % BLOCK);
}

void pax_extend(const char *key, const void *value, size_t length) {
  /* The length counts itself: "30 mtime=1350244992.023960108\n". */
  size_t rest = strlen(key) + length + 3, digits = 1, total;
  for (;; digits++) {
    char number[24];
    total = rest + digits;
    if ((size_t)snprintf(number, sizeof number, "%zu", total) == digits) break;
  }
  if (total + 1 > EXTENDED_MAX - extended_used) task_fail(E2BIG, STAGE_OTHER, "a file has more than 1 MiB of attributes");
  uint8_t *at = extended + extended_used;
  at += sprintf((char *)at, "%zu %s=", total, key);
  memcpy(at, value, length);
  at[length] = '\n';
  extended_used += total;
}

static void extend_number(const char *key, uint64_t value) {
  char text[24];
  int length = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
  pax_extend(key, text, (size_t)length);
}

/* Octal digits and a NUL; false when there are too many. */
static bool octal(uint8_t *header, size_t at, size_t size, uint64_t value) {
  char text[32];
  int length = snprintf(text, sizeof text, "%0*llo", (int)size - 1, (unsigned long long)value);
  bool fits = (size_t)length < size;
  memcpy(header + at, fits ? text : "00000000000", size);
  header[at + size - 1] = 0;
  return fits;
}

static void text_field(uint8_t *header, size_t at, const char *text, const char *key) {
  size_t length = strlen(text);
  if (length > 100) pax_extend(key, text, length);
  memcpy(header + at, text, length < 100 ? length : 100);
}

static void number_field(uint8_t *header, size_t at, size_t size, uint64_t value, const char *key) {
  if (!octal(header, at, size, value)) extend_number(key, value);
}

static void put_header(uint8_t *header, char type) {
  header[156] = (uint8_t)type;
  memcpy(header + 257, "ustar\0" "00", 8);
  memset(header + 148, ' ', 8);
  unsigned sum = 0;
  for (size_t i = 0; i < BLOCK; i++) sum += header[i];
  snprintf((char *)header + 148, 8, "%06o", sum);
  put(header, BLOCK);
}

static void put_extended(void) {
  uint8_t header[BLOCK] = {0};
  memcpy(header, "pax", 3);
  octal(header, 100, 8, 0644);
  octal(header, 108, 8, 0);
  octal(header, 116, 8, 0);
  octal(header, 124, 12, extended_used);
  octal(header, 136, 12, 0);
  put_header(header, 'x');
  put(extended, extended_used);
  pad(extended_used);
  extended_used = 0;
}

void pax_entry(const char *name, char type, const struct stat *stat, const char *link, uint64_t size) {
  uint8_t header[BLOCK] = {0};
  bool device = type == '3' || type == '4';
  text_field(header, 0, name, "path");
  text_field(header, 157, link, "linkpath");
  octal(header, 100, 8, stat->st_mode & 07777);
  number_field(header, 108, 8, stat->st_uid, "uid");
  number_field(header, 116, 8, stat->st_gid, "gid");
  number_field(header, 124, 12, size, "size");
  /* Whole seconds, as other builders write them; there was no time before 1970. */
  number_field(header, 136, 12, stat->st_mtim.tv_sec < 0 ? 0 : (uint64_t)stat->st_mtim.tv_sec, "mtime");
  number_field(header, 329, 8, device ? major(stat->st_rdev) : 0, "SCHILY.devmajor");
  number_field(header, 337, 8, device ? minor(stat->st_rdev) : 0, "SCHILY.devminor");
  if (extended_used > 0) put_extended();
  put_header(header, type);
}

void pax_content(int fd, uint64_t size, const char *name) {
  static uint8_t chunk[OUT];
  for (uint64_t left = size; left > 0;) {
    size_t wanted = left < sizeof chunk ? (size_t)left : sizeof chunk;
    ssize_t got = read(fd, chunk, wanted);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) task_fail(errno, STAGE_OTHER, "reading %.200s: %s", name, strerror(errno));
    if (got == 0) memset(chunk, 0, wanted);
    put(chunk, got == 0 ? wanted : (size_t)got);
    left -= got == 0 ? wanted : (size_t)got;
  }
  pad(size);
}

void pax_end(void) {
  static const uint8_t zeros[2 * BLOCK];
  put(zeros, sizeof zeros);
  flush();
}
