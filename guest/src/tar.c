#define _GNU_SOURCE
#include "tar.h"

#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

/*
 * The device is written past the page cache, and large content right from the pages of its file: the hypervisor moves the bytes.
 * POSIX ustar with PAX headers for what does not fit there: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html; sparse files
 * in GNU's format 1.0.
 */
enum { STAGE = 1 << 20, DIRECT_MIN = 1 << 17, WINDOW = 1 << 23, PAX_MAX = 1 << 19, NAMES_MAX = 1 << 16, VALUE_MAX = 1 << 16 };

static int device = -1;
static uint64_t device_size, position; /* of what is on the device */
static uint8_t *stage;
static size_t staged;
static char pax[PAX_MAX];
static size_t pax_used;
static bool pax_full;

int tar_begin(int fd, uint64_t size) {
  device = fd;
  device_size = size;
  void *memory = mmap(NULL, STAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return errno;
  (void)madvise(memory, STAGE, MADV_HUGEPAGE);
  stage = memory;
  return 0;
}

/* `length` is a multiple of the block; `moved` says how much got there. */
static int put(const uint8_t *bytes, size_t length, size_t *moved) {
  *moved = 0;
  if (length > device_size - position) return ENOSPC;
  while (*moved < length) {
    ssize_t put = pwrite(device, bytes + *moved, length - *moved, (off_t)position);
    if (put < 0 && errno == EINTR) copy_goes_on(0, false);
    else if (put <= 0) return put < 0 ? errno : EIO;
    else {
      *moved += (size_t)put;
      position += (uint64_t)put;
    }
  }
  return 0;
}

static int flush(void) {
  size_t moved;
  int error = put(stage, staged, &moved);
  staged = 0;
  return error;
}

static int add(const void *bytes, size_t length) {
  const uint8_t *at = bytes;
  while (length > 0) {
    size_t count = STAGE - staged < length ? STAGE - staged : length;
    memcpy(stage + staged, at, count);
    staged += count;
    at += count;
    length -= count;
    int error = staged == STAGE ? flush() : 0;
    if (error) return error;
  }
  return 0;
}

static int add_zeros(uint64_t length) {
  static const uint8_t zeros[4096];
  while (length > 0) {
    size_t count = length < sizeof zeros ? (size_t)length : sizeof zeros;
    int error = add(zeros, count);
    if (error) return error;
    length -= count;
  }
  return 0;
}

int tar_pad(uint64_t stored) { return add_zeros((TAR_BLOCK - stored % TAR_BLOCK) % TAR_BLOCK); }

/* --- headers --- */

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
  return add(block, sizeof block);
}

/* `LENGTH KEY=VALUE\n`, LENGTH counting itself. */
static void record(const char *key, const void *value, size_t size) {
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

static void record_text(const char *key, const char *value) { record(key, value, strlen(value)); }

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

static void record_xattrs(int file) {
  static char names[NAMES_MAX], key[300];
  static uint8_t value[VALUE_MAX];
  ssize_t length = flistxattr(file, names, sizeof names);
  for (char *name = names; length > 0 && name < names + length; name += strlen(name) + 1) {
    ssize_t size = fgetxattr(file, name, value, sizeof value);
    if (size < 0) continue;
    snprintf(key, sizeof key, "SCHILY.xattr.%.255s", name);
    record(key, value, (size_t)size);
  }
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
  pax_used = 0;
  pax_full = false;
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
  if (entry->attributes >= 0) record_xattrs(entry->attributes);
  if (pax_full) return E2BIG;
  if (pax_used == 0) return 0;
  static const struct stat plain = {.st_mode = 0644};
  int error = add_block("PaxHeader", NULL, 'x', &plain, pax_used);
  if (!error) error = add(pax, pax_used);
  return error ? error : tar_pad(pax_used);
}

int tar_header(const struct tar_entry *entry) {
  static char map[TAR_SEGMENTS_MAX * 42 + 24];
  size_t map_length = entry->segments ? map_text(entry, map, sizeof map) : 0;
  uint64_t map_blocks = (map_length + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
  uint64_t size = entry->stored + map_blocks;
  int error = add_pax(entry, size);
  if (!error) error = add_block(entry->name, entry->link, entry->type, entry->of, size);
  if (!error && map_length) error = add(map, map_length);
  return error ? error : tar_pad(map_length);
}

/* --- content --- */

/* Through the stage, whose room is filled by reads right into it. */
static int add_read(int file, uint64_t offset, uint64_t length) {
  while (length > 0) {
    size_t room = STAGE - staged < length ? STAGE - staged : (size_t)length;
    ssize_t got = pread(file, stage + staged, room, (off_t)offset);
    if (got < 0 && errno == EINTR) {
      copy_goes_on(0, false);
      continue;
    }
    if (got < 0) return errno;
    if (got == 0) return add_zeros(length);
    staged += (size_t)got;
    offset += (uint64_t)got;
    length -= (uint64_t)got;
    int error = staged == STAGE ? flush() : 0;
    if (error) return error;
    copy_goes_on((uint64_t)got, false);
  }
  return 0;
}

/* Gives how many bytes went; fewer when that is not possible, and the rest is for the stage. */
static int put_pages(int file, uint64_t offset, uint64_t length, uint64_t *done) {
  *done = 0;
  /* The archive must be at a block on the device, and the pages begin at one of the file. */
  if (offset % 4096 || staged % TAR_BLOCK) return 0;
  int error = flush();
  while (!error && length - *done >= DIRECT_MIN) {
    size_t count = length - *done < WINDOW ? (size_t)(length - *done) / 4096 * 4096 : WINDOW, moved = 0;
    uint8_t *pages = mmap(NULL, count, PROT_READ, MAP_SHARED, file, (off_t)(offset + *done));
    if (pages == MAP_FAILED) return 0;
    error = put(pages, count, &moved);
    munmap(pages, count);
    *done += moved;
    copy_goes_on(moved, false);
    /* A page that is gone, since the file has become shorter: reading tells. */
    if (error == EFAULT) return 0;
  }
  return error;
}

int tar_content(int file, uint64_t offset, uint64_t length) {
  uint64_t done = 0;
  int error = length >= DIRECT_MIN ? put_pages(file, offset, length, &done) : 0;
  return error ? error : add_read(file, offset + done, length - done);
}

int tar_end(uint64_t *length) {
  int error = add_zeros(2 * TAR_BLOCK);
  if (!error) error = flush();
  *length = position;
  return error;
}
