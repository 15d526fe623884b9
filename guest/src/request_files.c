#include "request_parts.h"

static const char *mode(const struct field *field, uint32_t *target) {
  READ_UINT(field, *target);
  return *target > 07777 ? "a file mode above 07777" : NULL;
}

static const char *flags(const struct field *field, uint32_t known, uint32_t *target) {
  READ_UINT(field, *target);
  return *target & ~known ? "an unknown flag" : NULL;
}

static const char *read_field(struct file_request *file, struct field *field) {
  switch (field->tag) {
    case 1: return read_string(field, PATH_LENGTH_MAX, &file->path);
    case 2: READ_UINT(field, file->offset); return NULL;
    case 3: READ_UINT(field, file->length); return NULL;
    default: return unknown(field);
  }
}

static const char *write_field(struct file_request *file, struct field *field) {
  switch (field->tag) {
    case 1: return read_string(field, PATH_LENGTH_MAX, &file->path);
    case 2: file->has_mode = true; return mode(field, &file->mode);
    case 3: return read_string(field, USER_LENGTH_MAX, &file->user);
    case 4: return flags(field, WRITE_FLAGS, &file->flags);
    case 5: READ_UINT(field, file->offset); return NULL;
    default: return unknown(field);
  }
}

static const char *change_field(struct change_request *change, struct field *field) {
  switch (field->tag) {
    case 1: return read_string(field, PATH_LENGTH_MAX, &change->path);
    case 2: change->has_mode = true; return mode(field, &change->mode);
    case 3: return read_string(field, USER_LENGTH_MAX, &change->user);
    case 4: return flags(field, CHANGE_FLAGS, &change->flags);
    case 5: return read_string(field, PATH_LENGTH_MAX, &change->target);
    case 6:
      READ_UINT(field, change->change);
      return change->change < CHANGE_MKDIR || change->change > CHANGE_SYMLINK ? "an unknown change" : NULL;
    default: return unknown(field);
  }
}

static const char *look_field(struct look_request *look, uint32_t known, struct field *field) {
  switch (field->tag) {
    case 1: return read_string(field, PATH_LENGTH_MAX, &look->path);
    case 4: return flags(field, known, &look->flags);
    default: return unknown(field);
  }
}

const char *parse_file_field(struct request *request, struct field *field) {
  switch (request->kind) {
    case KIND_FILE_READ: return read_field(&request->file, field);
    case KIND_FILE_WRITE: return write_field(&request->file, field);
    case KIND_FILE_CHANGE: return change_field(&request->change, field);
    case KIND_FILE_LIST: return look_field(&request->look, LIST_FLAGS, field);
    case KIND_FILE_WATCH: return look_field(&request->look, WATCH_FLAGS, field);
    default: return "an unknown kind";
  }
}

static const char *missing_of_change(const struct change_request *change) {
  if (!change->path || !change->path[0]) return "no path";
  switch (change->change) {
    case CHANGE_RENAME:
    case CHANGE_SYMLINK: return change->target && change->target[0] ? NULL : "no target";
    case CHANGE_CHMOD: return change->has_mode ? NULL : "no mode";
    case CHANGE_CHOWN: return change->user && change->user[0] ? NULL : "no owner";
    case 0: return "no change";
    default: return NULL;
  }
}

const char *missing_of_file(const struct request *request) {
  switch (request->kind) {
    case KIND_FILE_READ:
    case KIND_FILE_WRITE: return request->file.path && request->file.path[0] ? NULL : "no path";
    case KIND_FILE_CHANGE: return missing_of_change(&request->change);
    case KIND_FILE_LIST:
    case KIND_FILE_WATCH: return request->look.path && request->look.path[0] ? NULL : "no path";
    default: return NULL;
  }
}
