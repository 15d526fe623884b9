/* Frames and fields as bytes (docs/agent-protocol.md). Nothing here does I/O. */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  PROTOCOL_VERSION = 1,
  FRAME_HEADER = 12,
  FRAME_PAYLOAD_MAX = 65536,
  /* A DATA frame with its header is exactly the 32 KiB that virtio_console takes in one write. */
  DATA_MAX = 32768 - FRAME_HEADER,
  OPEN_MAX = 1 << 20,
  NONCE_SIZE = 16,
  MARK_SIZE = 8,
};

enum frame_type {
  FRAME_SESSION = 1,
  FRAME_SESSION_OK,
  FRAME_QUIESCE,
  FRAME_QUIESCED,
  FRAME_OPEN,
  FRAME_DATA,
  FRAME_END,
  FRAME_CREDIT,
  FRAME_CONTROL,
  FRAME_RESULT,
  FRAME_CLOSE,
  FRAME_FAULT,
  FRAME_RESUME,
};

enum { FLAG_MORE = 1, FLAG_TRUNCATED = 2 };

enum result_kind { RESULT_STARTED = 1, RESULT_EXITED, RESULT_DONE, RESULT_FAILED };

extern const uint8_t MARK[MARK_SIZE];

struct frame {
  uint32_t length;
  uint8_t type;
  uint8_t channel;
  uint16_t flags;
  uint32_t stream;
};

void frame_encode(uint8_t out[FRAME_HEADER], const struct frame *frame);
void frame_decode(struct frame *frame, const uint8_t in[FRAME_HEADER]);

uint16_t get_u16(const uint8_t *at);
uint32_t get_u32(const uint8_t *at);
uint64_t get_u64(const uint8_t *at);

/* The fields of a payload that are still to be read. */
struct fields {
  uint8_t *at;
  uint8_t *end;
};

struct field {
  uint16_t tag;
  uint32_t length;
  uint8_t *bytes;
};

/* 1: a field was read; 0: there are no more; -1: what is left is not a field. */
int fields_next(struct fields *fields, struct field *field);

/* The value of an integer field; false when its size is not the given one. */
bool field_uint(const struct field *field, size_t size, uint64_t *value);

/* The field as a C string, terminated in place over its own header; NULL when it is longer than `max` or holds a NUL. */
char *field_string(struct field *field, size_t max);

/* Whether an unknown field may be passed over. */
bool field_ignorable(const struct field *field);

/* Builds a payload; `full` tells that something did not fit and was left out. */
struct writer {
  uint8_t *bytes;
  size_t size;
  size_t used;
  bool full;
};

void write_kind(struct writer *writer, uint16_t kind);
void write_uint(struct writer *writer, uint16_t tag, size_t size, uint64_t value);
void write_bytes(struct writer *writer, uint16_t tag, const void *bytes, size_t length);
void write_string(struct writer *writer, uint16_t tag, const char *string);

#endif
