/* What the parsers of requests are made of. */
#ifndef REQUEST_PARTS_H
#define REQUEST_PARTS_H

#include "request.h"

static inline const char *read_uint(const struct field *field, size_t size, uint64_t *value) {
  return field_uint(field, size, value) ? NULL : "an integer field of the wrong size";
}

#define READ_UINT(FIELD, TARGET)                                          \
  do {                                                                    \
    uint64_t value_ = 0;                                                  \
    const char *wrong_ = read_uint((FIELD), sizeof(TARGET), &value_);     \
    if (wrong_) return wrong_;                                            \
    (TARGET) = (__typeof__(TARGET))value_;                                \
  } while (0)

static inline const char *read_string(struct field *field, size_t max, const char **target) {
  *target = field_string(field, max);
  return *target ? NULL : "a string that is too long or holds a NUL";
}

static inline const char *unknown(const struct field *field) { return field_ignorable(field) ? NULL : "an unknown field"; }

/* Those of files (request_files.c). */
const char *parse_file_field(struct request *request, struct field *field);
const char *missing_of_file(const struct request *request);

/* Those of builds (request_build.c). */
const char *parse_mount_field(struct mount_request *mount, struct field *field);
const char *parse_layer_field(struct layer_request *layer, struct field *field);
const char *parse_place(struct assemble_request *assemble, struct field *field);

#endif
