#include "request_parts.h"

#include <string.h>

/* Touched only as far as a request needs. The last entry of each stays NULL. */
static char *argv_table[STRINGS_MAX + 1];
static char *env_table[STRINGS_MAX + 1];

static const char *add_string(struct field *field, char **table, size_t *count) {
  if (*count == STRINGS_MAX) return "more than 16384 strings";
  const char *string = NULL;
  const char *wrong = read_string(field, OPEN_MAX, &string);
  if (wrong) return wrong;
  table[(*count)++] = (char *)string;
  table[*count] = NULL;
  return NULL;
}

/* Of a plan, only the argv of the wanted step is kept; the others must be strings all the same. */
static const char *argument(struct exec_request *exec, struct field *field) {
  exec->step_argc++;
  if (exec->step == exec->steps - 1) return add_string(field, argv_table, &exec->argc);
  const char *passed = NULL;
  return read_string(field, OPEN_MAX, &passed);
}

/* u32 resource, u64 soft, u64 hard */
static const char *limit(struct exec_request *exec, const struct field *field) {
  if (exec->limit_count == LIMITS_MAX) return "more than 16 limits";
  if (field->length != 20) return "a limit of the wrong size";
  struct limit *limit = &exec->limits[exec->limit_count++];
  limit->resource = get_u32(field->bytes);
  limit->soft = get_u64(field->bytes + 4);
  limit->hard = get_u64(field->bytes + 12);
  if (limit->resource >= LIMIT_RESOURCES) return "an unknown resource";
  return limit->soft > limit->hard ? "a limit above its hard limit" : NULL;
}

static const char *exec_field(struct exec_request *exec, struct field *field) {
  switch (field->tag) {
    case 1: return argument(exec, field);
    case 2: return add_string(field, env_table, &exec->envc);
    case 3: return read_string(field, PATH_LENGTH_MAX, &exec->cwd);
    case 4: return read_string(field, USER_LENGTH_MAX, &exec->user);
    case 5: READ_UINT(field, exec->flags); return (exec->flags & ~(uint32_t)EXEC_FLAGS) ? "an unknown exec flag" : NULL;
    case 6: READ_UINT(field, exec->rows); return NULL;
    case 7: READ_UINT(field, exec->cols); return NULL;
    case 32: return limit(exec, field);
    case 33: READ_UINT(field, exec->keep); return exec->keep > KEEP_MAX ? "more output to keep than 16 MiB" : NULL;
    default: return unknown(field);
  }
}

/* u32 mode, u16 length of the path, the path, the content. */
static const char *extra_file(struct extra_file *files, size_t *count, struct field *field) {
  if (*count == EXTRA_FILES_MAX) return "more than 64 extra files";
  if (field->length < 6) return "an extra file without a path";
  struct extra_file *file = &files[(*count)++];
  file->mode = get_u32(field->bytes);
  uint32_t path_length = get_u16(field->bytes + 4);
  if (file->mode > 07777) return "a file mode above 07777";
  if (path_length > field->length - 6) return "an extra file whose path is longer than its field";
  struct field path = {0, path_length, field->bytes + 6};
  file->content = field->bytes + 6 + path_length;
  file->length = field->length - 6 - path_length;
  return read_string(&path, PATH_LENGTH_MAX, &file->path);
}

/* "name=value", the name without what could lead out of /proc/sys. */
static const char *sysctl(struct assemble_request *assemble, struct field *field) {
  if (assemble->sysctl_count == SYSCTLS_MAX) return "more than 64 sysctls";
  const char **text = &assemble->sysctls[assemble->sysctl_count++];
  const char *wrong = read_string(field, SYSCTL_LENGTH_MAX, text);
  if (wrong) return wrong;
  const char *end = strchr(*text, '=');
  if (!end || end == *text || **text == '/') return "a sysctl without a name";
  for (const char *at = *text; at < end; at++) {
    if (at[0] == '.' && at[1] == '.') return "a sysctl with a name that is none";
  }
  return NULL;
}

static const char *assemble_field(struct assemble_request *assemble, struct field *field) {
  switch (field->tag) {
    case 1:
      if (assemble->layers == LAYERS_MAX) return "more than 256 layers";
      READ_UINT(field, assemble->luns[assemble->layers]);
      return assemble->luns[assemble->layers++] > LUN_MAX ? "a LUN above 16383" : NULL;
    case 2: READ_UINT(field, assemble->tmpfs_bytes); return NULL;
    case 3: READ_UINT(field, assemble->timeout_ms); return NULL;
    case 4: return read_string(field, HOSTNAME_LENGTH_MAX, &assemble->hostname);
    case 5: return extra_file(assemble->files, &assemble->file_count, field);
    case 32: return sysctl(assemble, field);
    case 33: READ_UINT(field, assemble->shm_bytes); return NULL;
    case 34: READ_UINT(field, assemble->disk); return assemble->disk == 0 || assemble->disk > LUN_MAX ? "a disk that is none of 1 to 16383" : NULL;
    case 64: READ_UINT(field, assemble->flags); return (assemble->flags & ~(uint32_t)ASSEMBLE_FLAGS) ? "an unknown assemble flag" : NULL;
    case 65: return parse_place(assemble, field);
    default: return unknown(field);
  }
}

static const char *plan_field(struct exec_request *exec, struct field *field) {
  switch (field->tag) {
    case 34:
      if (field->length != 0 || exec->step_argc == 0) return "a step without a command";
      exec->step_argc = 0;
      exec->steps++;
      return NULL;
    case 35: return extra_file(exec->files, &exec->file_count, field);
    default: return exec_field(exec, field);
  }
}

static const char *attach_field(struct request *request, struct field *field) {
  if (field->tag != 1) return unknown(field);
  READ_UINT(field, request->pid);
  return NULL;
}

static const char *signal_field(struct signal_request *signal, struct field *field) {
  uint8_t group = 0;
  switch (field->tag) {
    case 1: READ_UINT(field, signal->pid); return NULL;
    case 2: READ_UINT(field, signal->signal); return signal->signal > 64 ? "an unknown signal" : NULL;
    case 3: READ_UINT(field, group); signal->group = group != 0; return NULL;
    default: return unknown(field);
  }
}

static const char *shutdown_field(struct request *request, struct field *field) {
  if (field->tag != 1) return unknown(field);
  READ_UINT(field, request->grace_ms);
  return NULL;
}

static const char *listener_field(struct listener_request *listener, struct field *field) {
  switch (field->tag) {
    case 1: READ_UINT(field, listener->port); return NULL;
    case 2: READ_UINT(field, listener->timeout_ms); return NULL;
    default: return unknown(field);
  }
}

static const char *volume_field(struct volume_request *volume, struct field *field) {
  switch (field->tag) {
    case 1: READ_UINT(field, volume->lun); return volume->lun > LUN_MAX ? "a LUN above 16383" : NULL;
    case 2: return read_string(field, PATH_LENGTH_MAX, &volume->path);
    case 3: READ_UINT(field, volume->flags); return (volume->flags & ~(uint32_t)MOUNT_FLAGS) ? "an unknown mount flag" : NULL;
    case 4: READ_UINT(field, volume->timeout_ms); return NULL;
    default: return unknown(field);
  }
}

static const char *copy_field(struct copy_request *copy, struct field *field) {
  switch (field->tag) {
    case 1: READ_UINT(field, copy->lun); return copy->lun > LUN_MAX ? "a LUN above 16383" : NULL;
    case 2: return read_string(field, PATH_LENGTH_MAX, &copy->path);
    case 3: READ_UINT(field, copy->flags); return (copy->flags & ~(uint32_t)COPY_FLAGS) ? "an unknown copy flag" : NULL;
    case 4: READ_UINT(field, copy->timeout_ms); return NULL;
    case 5: return read_string(field, PATH_LENGTH_MAX, &copy->on_disk);
    case 6: return read_string(field, USER_LENGTH_MAX, &copy->owner);
    default: return unknown(field);
  }
}

static const char *fuse_field(struct fuse_request *fuse, struct field *field) {
  switch (field->tag) {
    case 1: return read_string(field, PATH_LENGTH_MAX, &fuse->path);
    case 2: READ_UINT(field, fuse->flags); return (fuse->flags & ~(uint32_t)MOUNT_FLAGS) ? "an unknown mount flag" : NULL;
    case 3: return read_string(field, USER_LENGTH_MAX, &fuse->user);
    default: return unknown(field);
  }
}

static const char *network_field(struct network_request *network, struct field *field) {
  if (field->tag != 1) return unknown(field);
  uint32_t flags = 0;
  READ_UINT(field, flags);
  network->allowed = flags & 1;
  return flags > 1 ? "an unknown network flag" : NULL;
}

static const char *accept_field(struct accept_request *accept, struct field *field) {
  if (field->tag != 1) return unknown(field);
  return syn_read(&accept->syn, field->bytes, field->length) ? NULL : "a packet that is no SYN";
}

static const char *connect_field(struct connect_request *connect, struct field *field) {
  switch (field->tag) {
    case 1: READ_UINT(field, connect->port); return NULL;
    case 2:
      if (field->length != ADDRESS_SIZE) return "an address of the wrong size";
      memcpy(connect->address, field->bytes, ADDRESS_SIZE);
      return NULL;
    default: return unknown(field);
  }
}

static const char *open_field(struct request *request, struct field *field) {
  switch (request->kind) {
    case KIND_EXEC: return exec_field(&request->exec, field);
    case KIND_FILE_READ:
    case KIND_FILE_WRITE:
    case KIND_FILE_CHANGE:
    case KIND_FILE_LIST:
    case KIND_FILE_WATCH: return parse_file_field(request, field);
    case KIND_ASSEMBLE: return assemble_field(&request->assemble, field);
    case KIND_SHUTDOWN: return shutdown_field(request, field);
    case KIND_AWAIT_LISTENER: return listener_field(&request->listener, field);
    case KIND_VOLUME: return volume_field(&request->volume, field);
    case KIND_COPY_IN:
    case KIND_COPY_OUT: return copy_field(&request->copy, field);
    case KIND_FUSE: return fuse_field(&request->fuse, field);
    case KIND_LAYER: return parse_layer_field(&request->layer, field);
    case KIND_MOUNT: return parse_mount_field(&request->mount, field);
    case KIND_SOCKET: return field->tag == 2 ? parse_mount_field(&request->mount, field) : unknown(field);
    case KIND_PLAN: return plan_field(&request->exec, field);
    case KIND_ATTACH: return attach_field(request, field);
    case KIND_PROCESSES: return unknown(field);
    case KIND_SIGNAL: return signal_field(&request->signal, field);
    case KIND_NETWORK: return network_field(&request->network, field);
    case KIND_ACCEPT: return accept_field(&request->accept, field);
    case KIND_CONNECT:
    case KIND_CONNECT_UDP: return connect_field(&request->connect, field);
  }
  return "an unknown kind";
}

static bool is_known(uint16_t kind) {
  bool of_network = kind >= KIND_NETWORK && kind <= KIND_CONNECT_UDP;
  bool of_processes = kind >= KIND_PLAN && kind <= KIND_FILE_WATCH;
  bool other = kind == KIND_AWAIT_LISTENER || (kind >= KIND_VOLUME && kind <= KIND_COPY_OUT) || kind == KIND_FUSE || (kind >= KIND_LAYER && kind <= KIND_SOCKET);
  return (kind >= KIND_EXEC && kind <= KIND_SHUTDOWN) || of_network || of_processes || other;
}

static const char *prepare(struct request *request, uint16_t kind) {
  if (!is_known(kind)) return "an unknown kind";
  memset(request, 0, sizeof *request);
  request->kind = (enum request_kind)kind;
  if (kind == KIND_EXEC || kind == KIND_PLAN) {
    request->exec.steps = 1;
    argv_table[0] = env_table[0] = NULL;
    request->exec.argv = argv_table;
    request->exec.env = env_table;
  }
  if (kind == KIND_FILE_READ) request->file.length = UINT64_MAX;
  return NULL;
}

static const char *missing(const struct request *request) {
  if (request->kind == KIND_EXEC || request->kind == KIND_PLAN) {
    if (request->exec.argc == 0 || request->exec.step_argc == 0) return "no command";
  }
  if ((request->kind == KIND_ATTACH && request->pid == 0) || (request->kind == KIND_SIGNAL && request->signal.pid == 0)) return "no pid";
  if (request->kind == KIND_AWAIT_LISTENER && request->listener.port == 0) return "no port";
  const char *wrong = missing_of_file(request);
  if (wrong) return wrong;
  if (request->kind == KIND_VOLUME && (!request->volume.path || request->volume.path[0] != '/')) return "no absolute path";
  bool mounts = request->kind == KIND_MOUNT || request->kind == KIND_SOCKET;
  if (mounts && (!request->mount.path || request->mount.path[0] != '/')) return "no absolute path";
  bool copies = request->kind == KIND_COPY_IN || request->kind == KIND_COPY_OUT;
  if (copies && (!request->copy.path || request->copy.path[0] != '/')) return "no absolute path";
  if (request->kind == KIND_FUSE && (!request->fuse.path || request->fuse.path[0] != '/')) return "no absolute path";
  if (request->kind == KIND_ACCEPT && request->accept.syn.length == 0) return "no SYN";
  bool connects = request->kind == KIND_CONNECT || request->kind == KIND_CONNECT_UDP;
  if (connects && request->connect.port == 0) return "no port";
  const struct extra_file *files = request->kind == KIND_ASSEMBLE ? request->assemble.files : request->exec.files;
  size_t count = request->kind == KIND_ASSEMBLE ? request->assemble.file_count : 0;
  if (request->kind == KIND_PLAN) count = request->exec.file_count;
  for (size_t i = 0; i < count; i++) {
    if (files[i].path[0] != '/') return "an extra file whose path is not absolute";
  }
  return NULL;
}

const char *parse_plan(struct request *request, uint8_t *payload, size_t length, uint32_t step) {
  if (length < 2) return "no kind";
  const char *wrong = prepare(request, get_u16(payload));
  if (step > 0) request->exec.step = step;
  struct fields fields = {payload + 2, payload + length};
  struct field field;
  int more = 1;
  while (!wrong && (more = fields_next(&fields, &field)) > 0) wrong = open_field(request, &field);
  if (!wrong && more < 0) wrong = "a field that is longer than its frame";
  return wrong ? wrong : missing(request);
}

const char *parse_open(struct request *request, uint8_t *payload, size_t length) {
  return parse_plan(request, payload, length, 0);
}
