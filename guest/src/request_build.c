#include "request_parts.h"

static const char *add_lun(struct mount_request *mount, const struct field *field) {
  if (mount->layers == LAYERS_MAX) return "more than 256 layers";
  READ_UINT(field, mount->luns[mount->layers]);
  return mount->luns[mount->layers++] > LUN_MAX ? "a LUN above 16383" : NULL;
}

const char *parse_mount_field(struct mount_request *mount, struct field *field) {
  switch (field->tag) {
    case 1: return add_lun(mount, field);
    case 2: return read_string(field, PATH_LENGTH_MAX, &mount->path);
    case 3: READ_UINT(field, mount->flags); return (mount->flags & ~(uint32_t)(MOUNT_FLAGS | MOUNT_FILE)) ? "an unknown mount flag" : NULL;
    case 4: READ_UINT(field, mount->timeout_ms); return NULL;
    case 5: return read_string(field, PATH_LENGTH_MAX, &mount->source);
    case 6: READ_UINT(field, mount->bytes); return NULL;
    default: return unknown(field);
  }
}

const char *parse_layer_field(struct layer_request *layer, struct field *field) {
  if (field->tag != 1 && field->tag != 2) return unknown(field);
  const char **paths = field->tag == 1 ? layer->left_out : layer->folders;
  size_t *count = field->tag == 1 ? &layer->count : &layer->folder_count;
  if (*count == EXTRA_FILES_MAX) return "more than 64 paths to leave out";
  return read_string(field, PATH_LENGTH_MAX, &paths[(*count)++]);
}

const char *parse_place(struct assemble_request *assemble, struct field *field) {
  if (assemble->place_count == EXTRA_FILES_MAX) return "more than 64 places to mount upon";
  const char *wrong = read_string(field, PATH_LENGTH_MAX, &assemble->places[assemble->place_count]);
  if (wrong) return wrong;
  return assemble->places[assemble->place_count++][0] == '/' ? NULL : "a place that is not absolute";
}
