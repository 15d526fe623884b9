#define _GNU_SOURCE
#include "stream.h"

#include "link.h"
#include "loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

/* The largest window of an input. */
enum { RING_SIZE = 1 << 18 };

/* One ring a slot. */
static uint8_t *rings;

void input_init(void) { rings = rings_map(STREAMS_MAX, RING_SIZE); }

void input_open(struct stream *stream) {
  stream->input.fd = -1;
  window_open(&stream->input.window, stream->link->receive_window);
  stream->input.ring = (struct ring){.space = rings + (size_t)stream_slot(stream) * RING_SIZE, .size = RING_SIZE};
}

void input_close(struct stream *stream) {
  if (stream->input.fd >= 0) close(stream->input.fd);
  stream->input.fd = -1;
  stream->input.ring.used = 0;
}

void input_consumed(struct stream *stream, uint32_t length) {
  struct window *window = &stream->input.window;
  window->consumed += length;
  if (stream->link && window_due(window)) stream->due |= DUE_CREDIT;
}

/* Writes to the pipe; gives how much it took. A pipe that nobody reads takes everything: it is thrown away. */
static uint32_t write_input(struct stream *stream, const uint8_t *bytes, uint32_t length) {
  struct input *input = &stream->input;
  uint32_t done = 0;
  while (input->fd >= 0 && done < length) {
    ssize_t written = write(input->fd, bytes + done, length - done);
    if (written >= 0) {
      done += (uint32_t)written;
    } else if (errno == EAGAIN) {
      uint32_t events = EPOLLOUT | EPOLLET;
      if (!input->watched) loop_watch(input->fd, events, ROLE_INPUT, stream_slot(stream), stream->generation);
      input->watched = true;
      break;
    } else if (errno != EINTR) {
      input_close(stream);
    }
  }
  if (input->fd < 0) done = length;
  input_consumed(stream, done);
  return done;
}

void input_take(struct stream *stream, const uint8_t *bytes, uint32_t length) {
  uint32_t done = stream->input.ring.used == 0 ? write_input(stream, bytes, length) : 0;
  if (done < length) ring_keep(&stream->input.ring, bytes + done, length - done);
}

/* A terminal has no end of file but the character that means it; when it is too full to take it, it has not been read anyway. */
static void end_input(struct stream *stream) {
  static const uint8_t end_of_transmission = 4;
  if (stream->tty) (void)write_input(stream, &end_of_transmission, 1);
  input_close(stream);
}

void input_pump(struct stream *stream) {
  struct input *input = &stream->input;
  while (input->ring.used > 0) {
    uint32_t first = 0;
    const uint8_t *bytes = ring_first(&input->ring, &first);
    uint32_t done = write_input(stream, bytes, first);
    if (input->fd < 0) break;
    ring_drop(&input->ring, done);
    if (done < first) return;
  }
  if (input->ring.used == 0) ring_clear(&input->ring);
  if (input->ending) end_input(stream);
}
