#define _GNU_SOURCE
#include "tar.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A disk is written past the page cache, and large content right from the pages of its file: the hypervisor moves the bytes. */
enum { STAGE = 1 << 20, DIRECT_MIN = 1 << 17, WINDOW = 1 << 23 };

static struct tar_output output;
static uint64_t position; /* of what is written */
static uint8_t *stage;
static size_t staged;

static void goes_on(uint64_t bytes) {
  if (output.goes_on) output.goes_on(bytes);
}

int tar_begin(const struct tar_output *to) {
  output = *to;
  void *memory = mmap(NULL, STAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return errno;
  (void)madvise(memory, STAGE, MADV_HUGEPAGE);
  stage = memory;
  return 0;
}

/* To a disk, `length` is a multiple of the block; `moved` says how much got there. */
static int put(const uint8_t *bytes, size_t length, size_t *moved) {
  *moved = 0;
  if (length > output.size - position) return ENOSPC;
  while (*moved < length) {
    ssize_t put = write(output.fd, bytes + *moved, length - *moved);
    if (put < 0 && errno == EINTR) goes_on(0);
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

int tar_add(const void *bytes, size_t length) {
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
    int error = tar_add(zeros, count);
    if (error) return error;
    length -= count;
  }
  return 0;
}

int tar_pad(uint64_t stored) { return add_zeros((TAR_BLOCK - stored % TAR_BLOCK) % TAR_BLOCK); }

/* Through the stage, whose room is filled by reads right into it. */
static int add_read(int file, uint64_t offset, uint64_t length) {
  while (length > 0) {
    size_t room = STAGE - staged < length ? STAGE - staged : (size_t)length;
    ssize_t got = pread(file, stage + staged, room, (off_t)offset);
    if (got < 0 && errno == EINTR) {
      goes_on(0);
      continue;
    }
    if (got < 0) return errno;
    if (got == 0) return add_zeros(length);
    staged += (size_t)got;
    offset += (uint64_t)got;
    length -= (uint64_t)got;
    int error = staged == STAGE ? flush() : 0;
    if (error) return error;
    goes_on((uint64_t)got);
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
    goes_on(moved);
    /* A page that is gone, since the file has become shorter: reading tells. */
    if (error == EFAULT) return 0;
  }
  return error;
}

int tar_content(int file, uint64_t offset, uint64_t length) {
  uint64_t done = 0;
  int error = output.is_disk && length >= DIRECT_MIN ? put_pages(file, offset, length, &done) : 0;
  return error ? error : add_read(file, offset + done, length - done);
}

int tar_end(uint64_t *length) {
  int error = add_zeros(2 * TAR_BLOCK);
  if (!error) error = flush();
  *length = position;
  return error;
}
