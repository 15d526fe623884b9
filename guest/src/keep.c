#define _GNU_SOURCE
#include "keep.h"

#include "link.h"
#include "loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PIECE_HEADER = 4, PIECE_MAX = 16384, KEEP_MIN = 4096, ENDED_MAX = 64 };

/*
 * Pieces of output in the order in which they were read, each with its channel and length (u16 each). The oldest go when there is no room.
 */
struct keep {
  uint32_t size;
  uint32_t head;    /* of the oldest piece */
  uint32_t used;
  uint32_t told;    /* what of `used` the attached stream has been told */
  uint32_t part;    /* bytes of the next piece that it has been told */
  bool replaying;
  bool ended;       /* without anybody to hear of it */
  uint64_t lost;
  uint64_t order;
  uint8_t ring[];
};

int keep_begin(struct stream *stream, uint32_t size) {
  if (size < KEEP_MIN) size = KEEP_MIN;
  struct keep *keep = mmap(NULL, sizeof *keep + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (keep == MAP_FAILED) return errno;
  keep->size = size;
  stream->keep = keep;
  return 0;
}

void keep_drop(struct stream *stream) {
  if (stream->keep) munmap(stream->keep, sizeof *stream->keep + stream->keep->size);
  stream->keep = NULL;
}

uint64_t keep_lost(const struct stream *stream) { return stream->keep->lost; }

static void put(struct keep *keep, const uint8_t *bytes, uint32_t length) {
  uint32_t tail = (keep->head + keep->used) % keep->size;
  uint32_t first = length < keep->size - tail ? length : keep->size - tail;
  memcpy(keep->ring + tail, bytes, first);
  memcpy(keep->ring, bytes + first, length - first);
  keep->used += length;
}

static void get(const struct keep *keep, uint32_t offset, uint8_t *bytes, uint32_t length) {
  uint32_t at = (keep->head + offset) % keep->size;
  uint32_t first = length < keep->size - at ? length : keep->size - at;
  memcpy(bytes, keep->ring + at, first);
  memcpy(bytes + first, keep->ring, length - first);
}

static uint32_t piece_at(const struct keep *keep, uint32_t offset, int *channel) {
  uint8_t header[PIECE_HEADER];
  get(keep, offset, header, sizeof header);
  *channel = get_u16(header);
  return get_u16(header + 2);
}

static void make_room(struct keep *keep, uint32_t length) {
  while (keep->size - keep->used < length) {
    int channel;
    uint32_t oldest = piece_at(keep, 0, &channel);
    keep->lost += oldest;
    keep->head = (keep->head + PIECE_HEADER + oldest) % keep->size;
    keep->used -= PIECE_HEADER + oldest;
  }
}

void keep_add(struct stream *stream, int channel, const uint8_t *bytes, size_t length) {
  struct keep *keep = stream->keep;
  /* A quarter at most, so that one large piece does not push everything else out. */
  uint32_t most = keep->size / 4 < PIECE_MAX ? keep->size / 4 : PIECE_MAX;
  while (length > 0) {
    uint32_t piece = length < most ? (uint32_t)length : most;
    uint8_t header[PIECE_HEADER] = {(uint8_t)channel, 0, (uint8_t)piece, (uint8_t)(piece >> 8)};
    make_room(keep, PIECE_HEADER + piece);
    put(keep, header, sizeof header);
    put(keep, bytes, piece);
    bytes += piece;
    length -= piece;
  }
}

void keep_read(struct stream *stream, int channel) {
  static uint8_t bytes[PIECE_MAX];
  struct output *output = &stream->outputs[channel];
  if (output->fd < 0) return;
  ssize_t got = read(output->fd, bytes, sizeof bytes);
  if (got > 0) keep_add(stream, channel, bytes, (size_t)got);
  else if (got == 0 || (errno != EINTR && errno != EAGAIN)) stream_close_output(stream, channel);
}

bool keep_replays(const struct stream *stream) { return stream->keep && stream->keep->replaying; }

bool keep_can_replay(const struct stream *stream) {
  if (!keep_replays(stream)) return false;
  int channel;
  piece_at(stream->keep, stream->keep->told, &channel);
  return stream->outputs[channel].credit > 0;
}

void keep_replay(struct stream *stream) {
  struct keep *keep = stream->keep;
  if (!keep_can_replay(stream)) return;
  int channel;
  uint32_t length = piece_at(keep, keep->told, &channel);
  struct output *output = &stream->outputs[channel];
  uint32_t piece = length - keep->part;
  if (piece > output->credit) piece = output->credit;
  get(keep, keep->told + PIECE_HEADER + keep->part, link_data_space(stream->link), piece);
  link_data(stream->link, stream->id, (uint8_t)channel, piece);
  output->credit -= piece;
  keep->part += piece;
  if (keep->part < length) return;
  keep->told += PIECE_HEADER + length;
  keep->part = 0;
  keep->replaying = keep->told < keep->used;
}

void keep_ended(struct stream *stream) {
  static uint64_t order;
  stream->keep->ended = true;
  stream->keep->order = ++order;
  struct stream *oldest = NULL;
  int count = 0;
  for (uint32_t slot = 0; slot < STREAMS_MAX; slot++) {
    struct stream *other = stream_at(slot);
    if (!other || !other->keep || !other->keep->ended) continue;
    count++;
    if (!oldest || other->keep->order < oldest->keep->order) oldest = other;
  }
  if (count <= ENDED_MAX) return;
  keep_drop(oldest);
  stream_settle(oldest);
}

static struct stream *find(uint32_t pid) {
  struct stream *found = NULL;
  for (uint32_t slot = 0; slot < STREAMS_MAX; slot++) {
    struct stream *stream = stream_at(slot);
    if (!stream || !stream->keep || (uint32_t)stream->workload_pid != pid) continue;
    /* A number may have been used again after a command had ended. */
    if (!found || !stream->exited) found = stream;
  }
  return found;
}

int keep_attach(struct link *link, uint32_t id, uint32_t pid) {
  static const enum role roles[OUTPUTS] = {ROLE_OUTPUT, ROLE_ERROR};
  struct stream *stream = find(pid);
  if (!stream) return ESRCH;
  if (stream->link) return EBUSY;
  struct keep *keep = stream->keep;
  stream->id = id;
  stream->link = link;
  stream->due = DUE_STARTED;
  window_open(&stream->input.window, link->receive_window);
  stream->input.window.left -= stream->input.ring.used;
  keep->told = keep->part = 0;
  keep->replaying = keep->used > 0;
  keep->ended = false;
  for (int i = 0; i < OUTPUTS; i++) {
    struct output *output = &stream->outputs[i];
    output->credit = link->send_credit;
    output->open = true;
    output->readable = true;
    if (output->fd >= 0) loop_rewatch(output->fd, EPOLLIN | EPOLLET, roles[i], stream_slot(stream), stream->generation);
  }
  if (stream->exited) {
    if (stream->result_used == 0) stream->due |= DUE_EXITED;
    stream->in_grace = false;
  }
  stream_wake(stream);
  return 0;
}
