#include "window.h"

/* Of all windows together, since what the host sends beyond what is taken is kept in this guest's memory. */
enum { GROWTH_TOTAL = 16 << 20 };

static uint32_t grown;

void window_open(struct window *window, uint32_t size) { *window = (struct window){.size = size, .first = size, .left = size}; }

bool window_take(struct window *window, uint32_t length) {
  if (length > window->left) return false;
  window->left -= length;
  return true;
}

bool window_due(const struct window *window) { return window->consumed >= window->size / 4; }

static uint32_t grow(struct window *window, uint32_t most) {
  uint32_t more = window->consumed;
  if (window->size >= most) return 0;
  if (more > most - window->size) more = most - window->size;
  if (more > GROWTH_TOTAL - grown) more = GROWTH_TOTAL - grown;
  grown += more;
  window->size += more;
  return more;
}

void window_credit(struct window *window, uint32_t most, uint8_t bytes[4]) {
  uint32_t credit = window->consumed + grow(window, most);
  for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(credit >> 8 * i);
  window->left += credit;
  window->consumed = 0;
}

void window_close(struct window *window) {
  grown -= window->size - window->first;
  window->size = window->first;
}
