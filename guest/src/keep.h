/* Output that outlives its stream: a ring of the last of it, and coming back to a command that has one. */
#ifndef KEEP_H
#define KEEP_H

#include "stream.h"

/* Gives the stream a ring for `size` bytes; 0 or an errno. */
int keep_begin(struct stream *stream, uint32_t size);
void keep_drop(struct stream *stream);

/* Nobody is there to hear of the command: reads what it has written into the ring. */
void keep_read(struct stream *stream, int channel);

/* What was read from the command, in order. */
void keep_add(struct stream *stream, int channel, const uint8_t *bytes, size_t length);

/* Whether an attached stream has still to be told what came before, and telling a piece of it. */
bool keep_replays(const struct stream *stream);
bool keep_can_replay(const struct stream *stream);
void keep_replay(struct stream *stream);

/* A command has ended and nobody has heard of it: of those, only the latest are kept. */
void keep_ended(struct stream *stream);

/* The number of bytes that the ring had no room for. */
uint64_t keep_lost(const struct stream *stream);

/* Connects the command whose first process is `pid` to a new stream; 0 or an errno. */
int keep_attach(struct link *link, uint32_t id, uint32_t pid);

#endif
