#define _GNU_SOURCE
#include "tar.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/*
 * POSIX ustar with PAX headers for what does not fit there: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html; sparse files
 * in GNU's format 1.0.
 */
enum { PAX_MAX = 1 << 20 };

/* Of the next entry. */
static char pax[PAX_MAX];
static size_t pax_used;
static bool pax_full;

/* Octal digits and a NUL; what does not fit is said in the PAX header. */
static void octal(uint8_t *field, size_t size, uint64_t value) {
  if (value >> (3 * (size - 1))) value = 0;
  for (size_t i = size - 1; i-- > 0; value >>= 3) field[i] = (uint8_t)('0' + (value & 7));
}

static bool fits(uint64_t value, size_t size) { return value >> (3 * (size - 1)) == 0; }

static int add_block(const char *name, const char *link, char type, const struct stat *of, uint64_t size) {
  uint8_t block[TAR_BLOCK] = {0};
  strncpy((char *)block, name, 100);
  if (link) strncpy((char *)block + 157, link, 100);
  octal(block + 100, 8, of->st_mode & 07777);
  octal(block + 108, 8, of->st_uid);
  octal(block + 116, 8, of->st_gid);
  octal(block + 124, 12, size);
  octal(block + 136, 12, of->st_mtim.tv_sec < 0 ? 0 : (uint64_t)of->st_mtim.tv_sec);
  block[156] = (uint8_t)type;
  memcpy(block + 257, "ustar\00000", 8);
  uint64_t device_major = (of->st_rdev >> 8 & 0xfff) | (of->st_rdev >> 32 & ~0xfffULL);
  uint64_t device_minor = (of->st_rdev & 0xff) | (of->st_rdev >> 12 & ~0xffULL);
  octal(block + 329, 8, type == '3' || type == '4' ? device_major : 0);
  octal(block + 337, 8, type == '3' || type == '4' ? device_minor : 0);
  unsigned sum = 8 * ' ';
  for (int i = 0; i < TAR_BLOCK; i++) sum += block[i];
  snprintf((char *)block + 148, 8, "%06o", sum);
  block[155] = ' ';
  return tar_add(block, sizeof block);
}

/* `LENGTH KEY=VALUE\n`, LENGTH counting itself. */
void tar_record(const char *key, const void *value, size_t size) {
  size_t rest = strlen(key) + size + 3, length = rest + 1;
  while (length != rest + (size_t)snprintf(NULL, 0, "%zu", length)) length++;
  if (length > PAX_MAX - pax_used) {
    pax_full = true;
    return;
  }
  pax_used += (size_t)sprintf(pax + pax_used, "%zu %s=", length, key);
  memcpy(pax + pax_used, value, size);
  pax_used += size;
  pax[pax_used++] = '\n';
}

static void record_text(const char *key, const char *value) { tar_record(key, value, strlen(value)); }

static void record_number(const char *key, uint64_t value) {
  char digits[24];
  snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
  record_text(key, digits);
}

static void record_time(const struct timespec *time) {
  char digits[48];
  bool before = time->tv_sec < 0 && time->tv_nsec > 0;
  long long seconds = (long long)time->tv_sec + before;
  long nanoseconds = before ? 1000000000 - time->tv_nsec : time->tv_nsec;
  const char *sign = time->tv_sec < 0 && seconds == 0 ? "-" : "";
  if (nanoseconds) snprintf(digits, sizeof digits, "%s%lld.%09ld", sign, seconds, nanoseconds);
  else snprintf(digits, sizeof digits, "%lld", seconds);
  record_text("mtime", digits);
}

/* The map of a sparse file comes before its content, and counts as such. */
static size_t map_text(const struct tar_entry *entry, char *text, size_t size) {
  size_t used = (size_t)snprintf(text, size, "%zu\n", entry->segment_count);
  for (size_t i = 0; i < entry->segment_count; i++) {
    const struct segment *segment = &entry->segments[i];
    used += (size_t)snprintf(text + used, size - used, "%llu\n%llu\n", (unsigned long long)segment->offset, (unsigned long long)segment->length);
  }
  return used;
}

static int add_pax(const struct tar_entry *entry, uint64_t size) {
  const struct stat *of = entry->of;
  if (entry->segments) {
    record_number("GNU.sparse.major", 1);
    record_number("GNU.sparse.minor", 0);
    record_text("GNU.sparse.name", entry->name);
    record_number("GNU.sparse.realsize", (uint64_t)of->st_size);
  } else if (strlen(entry->name) > 100) {
    record_text("path", entry->name);
  }
  if (entry->link && strlen(entry->link) > 100) record_text("linkpath", entry->link);
  if (!fits(size, 12)) record_number("size", size);
  if (!fits(of->st_uid, 8)) record_number("uid", of->st_uid);
  if (!fits(of->st_gid, 8)) record_number("gid", of->st_gid);
  if (of->st_mtim.tv_nsec || of->st_mtim.tv_sec < 0 || !fits((uint64_t)of->st_mtim.tv_sec, 12)) record_time(&of->st_mtim);
  if (pax_full) return E2BIG;
  if (pax_used == 0) return 0;
  static const struct stat plain = {.st_mode = 0644};
  int error = add_block("PaxHeader", NULL, 'x', &plain, pax_used);
  if (!error) error = tar_add(pax, pax_used);
  if (!error) error = tar_pad(pax_used);
  pax_used = 0;
  return error;
}

int tar_header(const struct tar_entry *entry) {
  static char map[TAR_SEGMENTS_MAX * 42 + 24];
  size_t map_length = entry->segments ? map_text(entry, map, sizeof map) : 0;
  uint64_t map_blocks = (map_length + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
  uint64_t size = entry->stored + map_blocks;
  int error = add_pax(entry, size);
  if (!error) error = add_block(entry->name, entry->link, entry->type, entry->of, size);
  if (!error && map_length) error = tar_add(map, map_length);
  return error ? error : tar_pad(map_length);
}
