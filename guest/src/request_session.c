#include "request_parts.h"

#include <string.h>

static const char *read_exactly(const struct field *field, void *target, size_t size, bool *has) {
  if (field->length != size) return "a field of the wrong size";
  memcpy(target, field->bytes, size);
  *has = true;
  return NULL;
}

static const char *machine_id(struct session_request *request, struct field *field) {
  const char *wrong = read_string(field, MACHINE_ID_SIZE, &request->machine_id);
  if (wrong) return wrong;
  return strspn(request->machine_id, "0123456789abcdef") == MACHINE_ID_SIZE ? NULL : "a machine id that is not 32 hex digits";
}

static const char *session_field(struct session_request *request, struct field *field) {
  switch (field->tag) {
    case 1: READ_UINT(field, request->version); return NULL;
    case 2: return read_exactly(field, request->nonce, NONCE_SIZE, &request->has_nonce);
    case 3: READ_UINT(field, request->time_ns); request->has_time = true; return NULL;
    case 4: return read_exactly(field, request->seed, SEED_SIZE, &request->has_seed);
    case 5: return read_string(field, HOSTNAME_LENGTH_MAX, &request->hostname);
    case 6: return machine_id(request, field);
    default: return unknown(field);
  }
}

const char *parse_session(struct session_request *request, uint8_t *payload, size_t length) {
  memset(request, 0, sizeof *request);
  struct fields fields = {payload, payload + length};
  struct field field;
  const char *wrong = NULL;
  int more = 1;
  while (!wrong && (more = fields_next(&fields, &field)) > 0) wrong = session_field(request, &field);
  if (wrong) return wrong;
  if (more < 0) return "a field that is longer than its frame";
  if (!request->has_nonce) return "no nonce";
  return request->version == PROTOCOL_VERSION ? NULL : "another version of the protocol";
}

const char *parse_resume(struct resume_request *request, uint8_t *payload, size_t length) {
  memset(request, 0, sizeof *request);
  struct fields fields = {payload, payload + length};
  struct field field;
  const char *wrong = NULL;
  int more = 1;
  while (!wrong && (more = fields_next(&fields, &field)) > 0) {
    wrong = field.tag == 3 ? read_uint(&field, sizeof request->time_ns, &request->time_ns) : unknown(&field);
  }
  if (!wrong && more < 0) wrong = "a field that is longer than its frame";
  return wrong;
}
