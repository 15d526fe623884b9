#define _GNU_SOURCE
#include "ring.h"

#include "log.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

uint8_t *rings_map(size_t count, uint32_t size) {
  size_t all = count * size;
  uint8_t *space = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (space == MAP_FAILED) fatal("mmap: %s", strerror(errno));
  madvise(space, all, MADV_NOHUGEPAGE);
  madvise(space, all, MADV_DONTFORK);
  return space;
}

static uint32_t smaller(uint32_t one, uint32_t other) { return one < other ? one : other; }

void ring_keep(struct ring *ring, const uint8_t *bytes, uint32_t length) {
  if (ring->used == 0) ring->head = 0;
  uint32_t tail = (ring->head + ring->used) % ring->size;
  uint32_t first = smaller(length, ring->size - tail);
  memcpy(ring->space + tail, bytes, first);
  memcpy(ring->space, bytes + first, length - first);
  ring->used += length;
  ring->touched = true;
}

const uint8_t *ring_first(const struct ring *ring, uint32_t *length) {
  *length = smaller(ring->used, ring->size - ring->head);
  return ring->space + ring->head;
}

void ring_drop(struct ring *ring, uint32_t length) {
  ring->head = (ring->head + length) % ring->size;
  ring->used -= length;
}

void ring_clear(struct ring *ring) {
  if (ring->touched) madvise(ring->space, ring->size, MADV_DONTNEED);
  ring->touched = false;
  ring->used = 0;
}
