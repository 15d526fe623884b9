#define _GNU_SOURCE
#include "copy.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Address space, of which only what is used becomes memory: a million files with several names, of 256 bytes of path each. */
enum { SLOTS = 1 << 21, MOST = SLOTS / 2, TEXT_SIZE = 1 << 28 };

struct known {
  uint64_t inode; /* 0: a free slot */
  uint64_t device;
  uint32_t path;
};

static struct known *table;
static char *text;
static size_t text_used;
static size_t count;

static void *reserve(size_t size) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) copy_fail(errno, "remembering the names of");
  return memory;
}

static struct known *slot(uint64_t device, uint64_t inode) {
  if (!table) {
    table = reserve(SLOTS * sizeof *table);
    text = reserve(TEXT_SIZE);
  }
  size_t at = (size_t)((inode ^ device << 40) * 0x9e3779b97f4a7c15ULL >> 43);
  while (table[at].inode && (table[at].inode != inode || table[at].device != device)) at = (at + 1) % SLOTS;
  return &table[at];
}

const char *copy_link_known(const struct stat *of) {
  struct known *known = slot(of->st_dev, of->st_ino);
  return known->inode ? text + known->path : NULL;
}

void copy_link_note(const struct stat *of, const char *path) {
  size_t length = strlen(path) + 1;
  if (count == MOST || text_used + length > TEXT_SIZE) copy_fail(ENOMEM, "remembering the names of");
  struct known *known = slot(of->st_dev, of->st_ino);
  *known = (struct known){.inode = of->st_ino, .device = of->st_dev, .path = (uint32_t)text_used};
  memcpy(text + text_used, path, length);
  text_used += length;
  count++;
}
