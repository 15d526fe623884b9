/* What the host may send on one channel, and what it is to be allowed anew. */
#ifndef WINDOW_H
#define WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct window {
  uint32_t size;      /* so much may be on the way or wait here */
  uint32_t first;     /* its size at the beginning */
  uint32_t left;      /* what the host may still send */
  uint32_t consumed;  /* what it is to be allowed again */
};

void window_open(struct window *window, uint32_t size);

/* The host sends so much; false when that is more than it was allowed. */
bool window_take(struct window *window, uint32_t length);

/* Whether a CREDIT is due: few of them, but always before the host runs dry. */
bool window_due(const struct window *window);

/* The credit that is due, in the form of its frame. Up to `most` it is more than was consumed: for one who keeps up. */
void window_credit(struct window *window, uint32_t most, uint8_t bytes[4]);

/* Gives back by how much it has grown. */
void window_close(struct window *window);

#endif
