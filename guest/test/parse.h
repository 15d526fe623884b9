/* Feeds one payload to every parser of the agent. */
#ifndef PARSE_H
#define PARSE_H

#include "request.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* An exact copy on the heap, so that a sanitizer sees each byte too far; the parsers write into their payload. */
static uint8_t *exact_copy(const uint8_t *bytes, size_t length) {
  uint8_t *copy = malloc(length ? length : 1);
  if (!copy) abort();
  if (length) memcpy(copy, bytes, length);
  return copy;
}

static void check(int holds) {
  if (!holds) abort();
}

static void check_files(const struct extra_file *files, size_t count, const uint8_t *end) {
  check(count <= EXTRA_FILES_MAX);
  for (size_t i = 0; i < count; i++) {
    check(files[i].path[0] == '/' && strlen(files[i].path) <= PATH_LENGTH_MAX && files[i].mode <= 07777);
    check(files[i].content + files[i].length <= end);
  }
}

/* What the rest of the agent takes for granted of a request that was let through. */
/* What was read as a SYN is one again once it has been rebuilt, and whatever is built of it fits. */
static void check_syn(const struct syn *syn) {
  uint8_t packet[PACKET_SMALL];
  struct syn again;
  check(syn->length >= 20 && syn->length <= sizeof syn->tcp);
  size_t length = packet_syn(packet, syn);
  check(length <= SYN_MAX && syn_read(&again, packet, length) && again.length == syn->length);
  check(memcmp(&again.ends, &syn->ends, sizeof again.ends) == 0);
  check(packet_reset(packet, syn) <= SYN_MAX);
  check(packet_syn_unreachable(packet, syn, UNREACHABLE_NET) <= PACKET_SMALL);
  check(packet_udp_unreachable(packet, &syn->ends, UNREACHABLE_PORT) <= PACKET_SMALL);
}

static void check_request(const struct request *request, const uint8_t *payload, size_t length) {
  const char *end = (const char *)payload + length;
  switch (request->kind) {
    case KIND_PLAN:
      check(request->exec.step_argc >= 1 && request->exec.steps >= 1 && request->exec.file_count <= EXTRA_FILES_MAX);
      check_files(request->exec.files, request->exec.file_count, payload + length);
      /* fall through */
    case KIND_EXEC:
      check(request->exec.limit_count <= LIMITS_MAX && request->exec.keep <= KEEP_MAX);
      for (size_t i = 0; i < request->exec.limit_count; i++) check(request->exec.limits[i].resource < LIMIT_RESOURCES);
      check(request->exec.argc >= 1 && request->exec.argc <= STRINGS_MAX && request->exec.envc <= STRINGS_MAX);
      check(request->exec.argv[request->exec.argc] == NULL && request->exec.env[request->exec.envc] == NULL);
      for (size_t i = 0; i < request->exec.argc; i++) check(request->exec.argv[i] + strlen(request->exec.argv[i]) < end);
      for (size_t i = 0; i < request->exec.envc; i++) check(request->exec.env[i] + strlen(request->exec.env[i]) < end);
      check(!request->exec.cwd || strlen(request->exec.cwd) <= PATH_LENGTH_MAX);
      check(!request->exec.user || strlen(request->exec.user) <= USER_LENGTH_MAX);
      break;
    case KIND_FILE_READ:
    case KIND_FILE_WRITE:
      check(request->file.path && request->file.path[0] && strlen(request->file.path) <= PATH_LENGTH_MAX);
      check(request->file.mode <= 07777);
      break;
    case KIND_ASSEMBLE:
      check(request->assemble.layers <= LAYERS_MAX && request->assemble.file_count <= EXTRA_FILES_MAX);
      for (size_t i = 0; i < request->assemble.layers; i++) check(request->assemble.luns[i] <= LUN_MAX);
      check_files(request->assemble.files, request->assemble.file_count, payload + length);
      check(request->assemble.place_count <= EXTRA_FILES_MAX);
      check(request->assemble.sysctl_count <= SYSCTLS_MAX);
      for (size_t i = 0; i < request->assemble.sysctl_count; i++) {
        const char *text = request->assemble.sysctls[i];
        check(strchr(text, '=') != NULL && text[0] != '/' && text + strlen(text) < end);
      }
      break;
    case KIND_VOLUME:
      check(request->volume.lun <= LUN_MAX && request->volume.path[0] == '/');
      check(strlen(request->volume.path) <= PATH_LENGTH_MAX);
      break;
    case KIND_COPY_IN:
    case KIND_COPY_OUT:
      check(request->copy.lun <= LUN_MAX && request->copy.path[0] == '/' && strlen(request->copy.path) <= PATH_LENGTH_MAX);
      check(!request->copy.on_disk || strlen(request->copy.on_disk) <= PATH_LENGTH_MAX);
      check(!request->copy.owner || strlen(request->copy.owner) <= USER_LENGTH_MAX);
      break;
    case KIND_FUSE:
      check(request->fuse.path[0] == '/' && strlen(request->fuse.path) <= PATH_LENGTH_MAX);
      check(!request->fuse.user || strlen(request->fuse.user) <= USER_LENGTH_MAX);
      break;
    case KIND_LAYER:
      check(request->layer.count <= EXTRA_FILES_MAX);
      check(request->layer.folder_count <= EXTRA_FILES_MAX);
      for (size_t i = 0; i < request->layer.count; i++) check(strlen(request->layer.left_out[i]) <= PATH_LENGTH_MAX);
      break;
    case KIND_MOUNT:
      check(request->mount.layers <= LAYERS_MAX && request->mount.path[0] == '/' && strlen(request->mount.path) <= PATH_LENGTH_MAX);
      for (size_t i = 0; i < request->mount.layers; i++) check(request->mount.luns[i] <= LUN_MAX);
      check(!request->mount.source || strlen(request->mount.source) <= PATH_LENGTH_MAX);
      break;
    case KIND_SOCKET: check(request->mount.path[0] == '/' && strlen(request->mount.path) <= PATH_LENGTH_MAX && request->mount.layers == 0); break;
    case KIND_ATTACH: check(request->pid != 0); break;
    case KIND_SIGNAL: check(request->signal.pid != 0 && request->signal.signal <= 64); break;
    case KIND_PROCESSES: break;
    case KIND_FILE_CHANGE:
      check(request->change.path[0] && strlen(request->change.path) <= PATH_LENGTH_MAX && request->change.mode <= 07777);
      check(request->change.change >= CHANGE_MKDIR && request->change.change <= CHANGE_SYMLINK);
      break;
    case KIND_FILE_LIST:
    case KIND_FILE_WATCH: check(request->look.path[0] && strlen(request->look.path) <= PATH_LENGTH_MAX); break;
    case KIND_SHUTDOWN: break;
    case KIND_NETWORK: break;
    case KIND_ACCEPT: check_syn(&request->accept.syn); break;
    case KIND_CONNECT:
    case KIND_CONNECT_UDP: check(request->connect.port > 0); break;
    case KIND_AWAIT_LISTENER: check(request->listener.port > 0); break;
  }
}

static void parse_everything(const uint8_t *bytes, size_t length) {
  static struct request request;
  struct session_request session;
  struct control_request control;
  struct resume_request resume;
  uint8_t *copy = exact_copy(bytes, length);
  if (!parse_open(&request, copy, length)) check_request(&request, copy, length);
  free(copy);
  for (uint32_t step = 1; step < 3; step++) {
    copy = exact_copy(bytes, length);
    if (length >= 2 && get_u16(copy) == KIND_PLAN && !parse_plan(&request, copy, length, step)) check_request(&request, copy, length);
    free(copy);
  }
  copy = exact_copy(bytes, length);
  if (!parse_session(&session, copy, length)) {
    check(session.has_nonce && session.version == PROTOCOL_VERSION);
    check(!session.hostname || strlen(session.hostname) <= HOSTNAME_LENGTH_MAX);
    check(!session.machine_id || strlen(session.machine_id) == MACHINE_ID_SIZE);
  }
  free(copy);
  copy = exact_copy(bytes, length);
  struct syn syn;
  if (syn_read(&syn, copy, length)) check_syn(&syn);
  free(copy);
  copy = exact_copy(bytes, length);
  if (!parse_control(&control, copy, length)) check(control.signal <= 64);
  free(copy);
  copy = exact_copy(bytes, length);
  if (!parse_resume(&resume, copy, length) && length == 0) check(resume.time_ns == 0);
  free(copy);
}

#endif
