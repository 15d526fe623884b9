#define _GNU_SOURCE
#include "link.h"

#include "flow.h"
#include "log.h"
#include "plan.h"
#include "network.h"
#include "session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void detach(struct link *link) {
  streams_detach(link);
  network_detach(link);
}

static void reset(struct link *link) {
  detach(link);
  link->in_session = false;
  link->highest = 0;
  link->partial = 0;
  link->partial_used = 0;
  link->out_head = link->out_tail = 0;
}

void link_fault(struct link *link, const char *format, ...) {
  char reason[200];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof reason, format, arguments);
  va_end(arguments);
  log_line("the host broke the protocol on the %s link: %s", link->name, reason);
  bool in_session = link->in_session;
  detach(link);
  link->in_session = false;
  link->lost = true;
  struct frame frame = {.length = (uint32_t)strlen(reason), .type = FRAME_FAULT};
  if (in_session && link_room(link) >= sizeof reason + FRAME_HEADER) link_frame(link, &frame, reason);
}

static void begin_session(struct link *link, uint8_t *payload, size_t length) {
  struct session_request request;
  const char *wrong = parse_session(&request, payload, length);
  if (wrong) {
    link_fault(link, "SESSION: %s", wrong);
    return;
  }
  reset(link);
  session_begin(&request);
  link_add(link, MARK, MARK_SIZE);
  link_add(link, request.nonce, NONCE_SIZE);
  uint8_t answer[128];
  struct writer writer = {.bytes = answer, .size = sizeof answer};
  session_answer(&writer);
  struct frame frame = {.length = (uint32_t)writer.used, .type = FRAME_SESSION_OK};
  link_frame(link, &frame, answer);
  link->in_session = true;
}

static const char *begin_stream(struct link *link, uint32_t id, uint8_t *payload, size_t length) {
  static struct request request;
  struct plan *plan = NULL;
  if (!plan_keep(&plan, payload, length)) return "more plans than there is memory for";
  const char *wrong = parse_open(&request, payload, length);
  if (wrong) {
    plan_forget(plan);
    return wrong;
  }
  if (plan) {
    request.kind = KIND_EXEC;
    request.exec.plan = plan;
  }
  bool of_network = request.kind >= KIND_NETWORK && request.kind <= KIND_CONNECT_UDP;
  return of_network ? network_open(link, id, &request) : stream_open(link, id, &request);
}

/* The pieces of one OPEN follow each other directly. */
static const char *take_open(struct link *link, const struct frame *frame, uint8_t *payload) {
  if (frame->flags & ~FLAG_MORE) return "unknown flags";
  if (!link->partial) {
    if (frame->stream % 2 == 0 || frame->stream <= link->highest) return "a stream number that is even or not new";
    link->highest = frame->stream;
    if (!(frame->flags & FLAG_MORE)) return begin_stream(link, frame->stream, payload, frame->length);
    link->partial = frame->stream;
  }
  if (frame->stream != link->partial) return "another stream's OPEN before the end of the last one";
  if (frame->length > OPEN_MAX - link->partial_used) return "an OPEN of more than 1 MiB";
  memcpy(link->partial_bytes + link->partial_used, payload, frame->length);
  link->partial_used += frame->length;
  if (frame->flags & FLAG_MORE) return NULL;
  const char *wrong = begin_stream(link, link->partial, link->partial_bytes, link->partial_used);
  link->partial = 0;
  link->partial_used = 0;
  madvise(link->partial_bytes, OPEN_MAX, MADV_DONTNEED);
  return wrong;
}

static const char *take_close(struct link *link, const struct frame *frame) {
  if (frame->stream > link->highest || frame->stream % 2 == 0) return "a stream that was never opened";
  if (network_owns(link, frame->stream)) network_frame(link, frame, NULL);
  else stream_close(link, frame->stream);
  struct frame answer = {.type = FRAME_CLOSE, .stream = frame->stream};
  link_frame(link, &answer, NULL);
  return NULL;
}

/* Gives back the whole pages of `bytes` from `used` on. */
static void forget(uint8_t *bytes, size_t used, size_t size) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t from = ((uintptr_t)bytes + used + page - 1) & ~(page - 1);
  uintptr_t to = ((uintptr_t)bytes + size) & ~(page - 1);
  if (from < to) madvise((void *)from, to - from, MADV_DONTNEED);
}

/* A snapshot should not hold what only past traffic needed. */
static void trim(struct link *link) {
  forget(link->in, link->in_used, IN_SIZE);
  forget(link->out, link->out_tail + ROOM_TO_ANSWER, OUT_SIZE);
}

static const char *take_quiesce(struct link *link) {
  streams_trim();
  flows_trim();
  trim(link);
  struct frame answer = {.type = FRAME_QUIESCED};
  link_frame(link, &answer, NULL);
  return NULL;
}

static const char *take_resume(const struct frame *frame, uint8_t *payload) {
  struct resume_request request;
  const char *wrong = parse_resume(&request, payload, frame->length);
  if (!wrong) session_resume(request.time_ns);
  return wrong;
}

static const char *take_frame(struct link *link, const struct frame *frame, uint8_t *payload) {
  if (link->partial && frame->type != FRAME_OPEN) return "a frame within an OPEN";
  if (frame->type != FRAME_OPEN && frame->flags) return "unknown flags";
  bool to_stream = frame->type == FRAME_DATA || frame->type == FRAME_END || frame->type == FRAME_CREDIT;
  if (to_stream && network_owns(link, frame->stream)) return network_frame(link, frame, payload);
  switch (frame->type) {
    case FRAME_QUIESCE: return take_quiesce(link);
    case FRAME_RESUME: return take_resume(frame, payload);
    case FRAME_OPEN: return take_open(link, frame, payload);
    case FRAME_DATA: return stream_data(link, frame, payload);
    case FRAME_END: return stream_end(link, frame);
    case FRAME_CREDIT: return stream_credit(link, frame, payload);
    case FRAME_CONTROL: return stream_control(link, frame, payload);
    case FRAME_CLOSE: return take_close(link, frame);
    default: return "an unknown frame type";
  }
}

void link_dispatch(struct link *link, const struct frame *frame, uint8_t *payload) {
  if (frame->type == FRAME_SESSION) {
    begin_session(link, payload, frame->length);
    return;
  }
  const char *wrong = link->in_session ? take_frame(link, frame, payload) : "a frame before SESSION";
  if (wrong) link_fault(link, "frame type %u of stream %u: %s", frame->type, frame->stream, wrong);
}
