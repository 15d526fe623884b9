#define _GNU_SOURCE
#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * The disk is read past the guest's page cache, and what can be is written past it or read right into the pages of the new
 * file: then the hypervisor moves the bytes, and the guest's processor touches none of them, which under emulation takes most of the time.
 */
enum { BLOCK = 4096, SMALL = 1 << 16, PIECE = 1 << 23, EXTENTS = 64 };

enum way { WAY_DIRECT, WAY_MAPPED, WAY_BUFFERED };

static uint8_t *buffer;
/* A file system that takes no direct writes: it is not asked again for each file. */
static bool knows_indirect;
static dev_t indirect;

static uint8_t *get_buffer(void) {
  if (buffer) return buffer;
  void *memory = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return NULL;
  /* One page of 2 MiB is pinned faster than 512 small ones; without it is only slower. */
  (void)madvise(memory, PIECE, MADV_HUGEPAGE);
  return buffer = memory;
}

static int read_at(int fd, uint8_t *bytes, size_t length, uint64_t at) {
  while (length > 0) {
    ssize_t got = pread(fd, bytes, length, (off_t)at);
    if (got < 0 && errno == EINTR) {
      copy_goes_on(0, false);
      continue;
    }
    if (got < 0) return errno;
    if (got == 0) return EIO;
    bytes += got;
    length -= (size_t)got;
    at += (uint64_t)got;
  }
  return 0;
}

static int write_at(int fd, const uint8_t *bytes, size_t length, uint64_t at) {
  while (length > 0) {
    ssize_t put = pwrite(fd, bytes, length, (off_t)at);
    if (put < 0 && errno == EINTR) {
      copy_goes_on(0, false);
      continue;
    }
    if (put < 0) return errno;
    bytes += put;
    length -= (size_t)put;
    at += (uint64_t)put;
  }
  return 0;
}

static int set_direct(int fd, bool direct) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return errno;
  return fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) < 0 ? errno : 0;
}

static int through_buffer(int from, int to, uint64_t at, size_t length) {
  if (!get_buffer()) return ENOMEM;
  int error = read_at(from, buffer, length, at);
  return error ? error : write_at(to, buffer, length, at);
}

/* Files in memory: the disk is read right into their pages. */
static int into_pages(int from, int to, uint64_t at, size_t length) {
  /* First, since a fault on a page that cannot be had would only say "bad address". */
  if (fallocate(to, 0, (off_t)at, (off_t)length) < 0) return errno == EOPNOTSUPP ? ENODEV : errno;
  uint8_t *pages = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, to, (off_t)at);
  if (pages == MAP_FAILED) return ENODEV;
  int error = read_at(from, pages, length, at);
  munmap(pages, length);
  return error;
}

/* `at` and `length` are whole blocks. */
static int copy_piece(int from, int to, uint64_t at, size_t length, enum way *way) {
  if (*way == WAY_DIRECT) {
    int error = through_buffer(from, to, at, length);
    if (error != EINVAL) return error;
    struct stat of;
    knows_indirect = fstat(to, &of) == 0;
    if (knows_indirect) indirect = of.st_dev;
    set_direct(to, false);
    *way = WAY_MAPPED;
  }
  if (*way == WAY_MAPPED) {
    int error = into_pages(from, to, at, length);
    if (error != ENODEV) return error;
    *way = WAY_BUFFERED;
  }
  return through_buffer(from, to, at, length);
}

static int copy_range(int from, int to, uint64_t at, uint64_t end, enum way *way) {
  while (at < end) {
    size_t length = end - at < PIECE ? (size_t)(end - at) : PIECE;
    int error = copy_piece(from, to, at, length, way);
    if (error) return error;
    at += length;
    copy_goes_on(length, false);
  }
  return 0;
}

/* What is left behind the last whole block. */
static int copy_tail(int from, int to, uint64_t size) {
  uint8_t bytes[BLOCK];
  uint64_t start = size - size % BLOCK;
  if (start == size) return 0;
  set_direct(from, false);
  set_direct(to, false);
  int error = read_at(from, bytes, (size_t)(size - start), start);
  return error ? error : write_at(to, bytes, (size_t)(size - start), start);
}

struct extents {
  struct fiemap map;
  struct fiemap_extent of[EXTENTS];
};

/* Where there is data, from `at` on; the kernel of the guest does not know it of this file system by SEEK_DATA. */
static int look_up(int from, uint64_t at, uint64_t end, struct extents *extents) {
  memset(extents, 0, sizeof *extents);
  extents->map.fm_start = at;
  extents->map.fm_length = end - at;
  extents->map.fm_extent_count = EXTENTS;
  if (ioctl(from, FS_IOC_FIEMAP, &extents->map) == 0) return 0;
  if (errno != EOPNOTSUPP && errno != ENOTTY) return errno;
  extents->map.fm_mapped_extents = 1;
  extents->of[0] = (struct fiemap_extent){.fe_logical = at, .fe_length = end - at, .fe_flags = FIEMAP_EXTENT_LAST};
  return 0;
}

static bool takes_direct(int to) {
  struct stat of;
  if (knows_indirect && fstat(to, &of) == 0 && of.st_dev == indirect) return false;
  return set_direct(to, true) == 0;
}

static int copy_data(int from, int to, uint64_t end) {
  static struct extents extents;
  enum way way = takes_direct(to) ? WAY_DIRECT : WAY_MAPPED;
  set_direct(from, true);
  for (uint64_t at = 0; at < end;) {
    int error = look_up(from, at, end, &extents);
    if (error) return error;
    if (extents.map.fm_mapped_extents == 0) return 0;
    for (uint32_t i = 0; i < extents.map.fm_mapped_extents; i++) {
      const struct fiemap_extent *extent = &extents.of[i];
      uint64_t stop = extent->fe_logical + extent->fe_length;
      if (stop > end) stop = end;
      uint64_t start = extent->fe_logical > at ? extent->fe_logical : at;
      if (start < stop) error = copy_range(from, to, start, stop, &way);
      if (error) return error;
      at = stop;
      if (extent->fe_flags & FIEMAP_EXTENT_LAST) at = end;
    }
  }
  return 0;
}

static int copy_small(int from, int to, size_t size) {
  static uint8_t bytes[SMALL];
  int error = read_at(from, bytes, size, 0);
  return error ? error : write_at(to, bytes, size, 0);
}

int copy_content(int from, int to, uint64_t size) {
  if (size == 0) return 0;
  if (size <= SMALL) return copy_small(from, to, (size_t)size);
  if (ftruncate(to, (off_t)size) < 0) return errno;
  int error = copy_data(from, to, size - size % BLOCK);
  return error ? error : copy_tail(from, to, size);
}
