/* What somebody does not take as fast as the host sends it. */
#ifndef RING_H
#define RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
  uint8_t *space;
  uint32_t size;   /* of the largest window that the host is given, so that what it may send always fits */
  uint32_t head;
  uint32_t used;
  bool touched;    /* its pages are to be given back */
};

/* Address space for rings, which becomes memory only where bytes are kept, and is not copied to children. */
uint8_t *rings_map(size_t count, uint32_t size);

/* Adds bytes; the caller knows that they fit. */
void ring_keep(struct ring *ring, const uint8_t *bytes, uint32_t length);

/* The first bytes that are kept, as many as lie together. */
const uint8_t *ring_first(const struct ring *ring, uint32_t *length);
void ring_drop(struct ring *ring, uint32_t length);

/* Forgets what is kept, and gives the memory back. */
void ring_clear(struct ring *ring);

#endif
