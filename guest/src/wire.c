#include "wire.h"

#include <string.h>

enum { FIELD_HEADER = 6, IGNORABLE = 0x8000 };

const uint8_t MARK[MARK_SIZE] = {0x89, 'S', 'M', 'S', 'Y', 'N', 'C', '\n'};

static void put(uint8_t *at, size_t size, uint64_t value) {
  for (size_t i = 0; i < size; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *at, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; i++) value |= (uint64_t)at[i] << (8 * i);
  return value;
}

uint16_t get_u16(const uint8_t *at) { return (uint16_t)get(at, 2); }
uint32_t get_u32(const uint8_t *at) { return (uint32_t)get(at, 4); }
uint64_t get_u64(const uint8_t *at) { return get(at, 8); }

void frame_encode(uint8_t out[FRAME_HEADER], const struct frame *frame) {
  put(out, 4, frame->length);
  out[4] = frame->type;
  out[5] = frame->channel;
  put(out + 6, 2, frame->flags);
  put(out + 8, 4, frame->stream);
}

void frame_decode(struct frame *frame, const uint8_t in[FRAME_HEADER]) {
  frame->length = get_u32(in);
  frame->type = in[4];
  frame->channel = in[5];
  frame->flags = get_u16(in + 6);
  frame->stream = get_u32(in + 8);
}

int fields_next(struct fields *fields, struct field *field) {
  size_t left = (size_t)(fields->end - fields->at);
  if (left == 0) return 0;
  if (left < FIELD_HEADER) return -1;
  field->tag = get_u16(fields->at);
  field->length = get_u32(fields->at + 2);
  field->bytes = fields->at + FIELD_HEADER;
  if (field->length > left - FIELD_HEADER) return -1;
  fields->at = field->bytes + field->length;
  return 1;
}

bool field_uint(const struct field *field, size_t size, uint64_t *value) {
  if (field->length != size) return false;
  *value = get(field->bytes, size);
  return true;
}

char *field_string(struct field *field, size_t max) {
  if (field->length > max || memchr(field->bytes, 0, field->length) != NULL) return NULL;
  char *string = (char *)field->bytes - 1;
  memmove(string, field->bytes, field->length);
  string[field->length] = 0;
  return string;
}

bool field_ignorable(const struct field *field) { return (field->tag & IGNORABLE) != 0; }

static uint8_t *reserve(struct writer *writer, size_t length) {
  if (length > writer->size - writer->used) {
    writer->full = true;
    return NULL;
  }
  uint8_t *at = writer->bytes + writer->used;
  writer->used += length;
  return at;
}

void write_kind(struct writer *writer, uint16_t kind) {
  uint8_t *at = reserve(writer, 2);
  if (at) put(at, 2, kind);
}

void write_uint(struct writer *writer, uint16_t tag, size_t size, uint64_t value) {
  uint8_t bytes[8];
  put(bytes, size, value);
  write_bytes(writer, tag, bytes, size);
}

void write_bytes(struct writer *writer, uint16_t tag, const void *bytes, size_t length) {
  uint8_t *at = reserve(writer, FIELD_HEADER + length);
  if (!at) return;
  put(at, 2, tag);
  put(at + 2, 4, length);
  memcpy(at + FIELD_HEADER, bytes, length);
}

void write_string(struct writer *writer, uint16_t tag, const char *string) {
  write_bytes(writer, tag, string, strlen(string));
}
