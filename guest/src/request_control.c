#include "request_parts.h"

#include <string.h>

static const char *control_field(struct control_request *request, const struct field *field) {
  if (request->operation == CONTROL_SIGNAL) {
    switch (field->tag) {
      case 1: READ_UINT(field, request->signal); return request->signal > 64 ? "an unknown signal" : NULL;
      case 2: {
        uint8_t group = 0;
        READ_UINT(field, group);
        request->group = group != 0;
        return NULL;
      }
      default: return unknown(field);
    }
  }
  if (request->operation == CONTROL_DETACH) return unknown(field);
  switch (field->tag) {
    case 1: READ_UINT(field, request->rows); return NULL;
    case 2: READ_UINT(field, request->cols); return NULL;
    default: return unknown(field);
  }
}

const char *parse_control(struct control_request *request, uint8_t *payload, size_t length) {
  memset(request, 0, sizeof *request);
  if (length < 2) return "no operation";
  uint16_t operation = get_u16(payload);
  if (operation < CONTROL_SIGNAL || operation > CONTROL_DETACH) return "an unknown operation";
  request->operation = (enum control_operation)operation;
  struct fields fields = {payload + 2, payload + length};
  struct field field;
  const char *wrong = NULL;
  int more = 1;
  while (!wrong && (more = fields_next(&fields, &field)) > 0) wrong = control_field(request, &field);
  if (!wrong && more < 0) wrong = "a field that is longer than its frame";
  return wrong;
}
