#define _GNU_SOURCE
#include "stream.h"

#include "link.h"
#include "log.h"
#include "loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

/* The largest window of an input. */
enum { RING_SIZE = 1 << 18 };

/* One ring a slot, in address space that becomes memory only where a task does not read as fast as the host sends. */
static uint8_t *rings;

void input_init(void) {
  size_t size = (size_t)STREAMS_MAX * RING_SIZE;
  rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (rings == MAP_FAILED) fatal("mmap: %s", strerror(errno));
  madvise(rings, size, MADV_NOHUGEPAGE);
  madvise(rings, size, MADV_DONTFORK);
}

static uint8_t *ring_of(uint32_t slot) { return rings + (size_t)slot * RING_SIZE; }

void input_close(struct stream *stream) {
  if (stream->input.fd >= 0) close(stream->input.fd);
  stream->input.fd = -1;
  stream->input.used = 0;
}

void input_trim(uint32_t slot) {
  madvise(ring_of(slot), RING_SIZE, MADV_DONTNEED);
}

void input_consumed(struct stream *stream, uint32_t length) {
  struct input *input = &stream->input;
  input->consumed += length;
  /* Few frames of credit, but always before the host runs dry. */
  if (stream->link && input->consumed >= stream->link->receive_window / 4) stream->due |= DUE_CREDIT;
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

static void keep(struct stream *stream, const uint8_t *bytes, uint32_t length) {
  struct input *input = &stream->input;
  uint8_t *ring = ring_of(stream_slot(stream));
  if (input->used == 0) input->head = 0;
  uint32_t tail = (input->head + input->used) % RING_SIZE;
  uint32_t first = length < RING_SIZE - tail ? length : RING_SIZE - tail;
  memcpy(ring + tail, bytes, first);
  memcpy(ring, bytes + first, length - first);
  input->used += length;
  input->touched = true;
}

void input_take(struct stream *stream, const uint8_t *bytes, uint32_t length) {
  uint32_t done = stream->input.used == 0 ? write_input(stream, bytes, length) : 0;
  if (done < length) keep(stream, bytes + done, length - done);
}

/* A terminal has no end of file but the character that means it; when it is too full to take it, it has not been read anyway. */
static void end_input(struct stream *stream) {
  static const uint8_t end_of_transmission = 4;
  if (stream->tty) (void)write_input(stream, &end_of_transmission, 1);
  input_close(stream);
}

void input_pump(struct stream *stream) {
  struct input *input = &stream->input;
  const uint8_t *ring = ring_of(stream_slot(stream));
  while (input->used > 0) {
    uint32_t first = input->used < RING_SIZE - input->head ? input->used : RING_SIZE - input->head;
    uint32_t done = write_input(stream, ring + input->head, first);
    if (input->fd < 0) break;
    input->head = (input->head + done) % RING_SIZE;
    input->used -= done;
    if (done < first) return;
  }
  if (input->touched && input->used == 0) {
    input_trim(stream_slot(stream));
    input->touched = false;
  }
  if (input->ending) end_input(stream);
}
