/* One of the two byte streams to the host: frames in, frames out, and its session. */
#ifndef LINK_H
#define LINK_H

#include "stream.h"

enum {
  LINKS = 2,
  LINK_CONTROL = 0,
  LINK_BULK = 1,
  IN_SIZE = FRAME_HEADER + FRAME_PAYLOAD_MAX + 4096,
  OUT_SIZE = 4 * 32768,
  /* Room that must be free before input is taken, for the answers that are made at once. */
  ROOM_TO_ANSWER = 1024,
  /* Room for a DATA frame of each channel and everything else one stream can have to say. */
  ROOM_TO_SERVE = 2 * (FRAME_HEADER + DATA_MAX) + 2048,
};

struct link {
  int fd;
  unsigned index;
  const char *name;
  uint32_t send_credit; /* what the host allows for each new channel */
  uint32_t receive_window;
  bool in_session;
  bool lost;            /* after a fault: everything up to the next mark is noise */
  bool readable;
  bool blocked;         /* the kernel took less than it was given; wait until it has room */
  bool starved;         /* input waits for room for its answers */
  uint32_t highest;     /* the highest stream opened in this session */
  uint32_t partial;     /* the stream whose OPEN is still coming in pieces, or 0 */
  size_t partial_used;
  uint8_t *partial_bytes;
  size_t in_used;
  size_t out_head;
  size_t out_tail;
  struct turn *ready_first;
  struct turn *ready_last;
  uint8_t *in;          /* IN_SIZE */
  uint8_t *out;         /* OUT_SIZE */
};

extern struct link links[LINKS];

void link_init(struct link *link, int fd);
void link_event(struct link *link, uint32_t events);

/* Moves what can be moved now; true when there is more to do without waiting. */
bool link_work(struct link *link);

/* Writes out everything that is buffered, waiting for at most `timeout_ms`. */
void link_drain(struct link *link, int timeout_ms);

/* Puts one on the list of those that have something to say, if it is not there; takes it off. */
void link_ready(struct link *link, struct turn *turn);
void link_unready(struct link *link, struct turn *turn);

/* Room for more output, in bytes. */
size_t link_room(struct link *link);

/* Adds raw bytes; the caller knows that there is room. */
void link_add(struct link *link, const void *bytes, size_t length);

/* Adds a frame; the caller knows that there is room. */
void link_frame(struct link *link, const struct frame *frame, const void *payload);

/* Where the payload of a DATA frame may be put, and its sending. */
uint8_t *link_data_space(struct link *link);
void link_data(struct link *link, uint32_t stream, uint8_t channel, size_t length);

/* Acts on a whole frame (dispatch.c). */
void link_dispatch(struct link *link, const struct frame *frame, uint8_t *payload);

/* Ends the session because of what the host sent. Nothing is believed until the next mark. */
void link_fault(struct link *link, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
