#define _GNU_SOURCE
#include "stream.h"

#include "cgroup.h"
#include "fuse.h"
#include "keep.h"
#include "link.h"
#include "loop.h"
#include "plan.h"
#include "session.h"
#include "task.h"
#include "workload.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct stream streams[STREAMS_MAX];
/* Slots from here on were never used, so that looking through the table touches little memory. */
static uint32_t slots_used;

int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void streams_init(void) { input_init(); }

uint32_t stream_slot(const struct stream *stream) { return (uint32_t)(stream - streams); }

static bool in_use(const struct stream *stream) { return stream->generation % 2 == 1; }

struct stream *stream_at(uint32_t slot) {
  return slot < slots_used && in_use(&streams[slot]) ? &streams[slot] : NULL;
}

struct stream *stream_find(const struct link *link, uint32_t id) {
  for (uint32_t i = 0; i < slots_used; i++) {
    if (in_use(&streams[i]) && streams[i].link == link && streams[i].id == id) return &streams[i];
  }
  return NULL;
}

static struct stream *allocate(void) {
  for (uint32_t i = 0; i < STREAMS_MAX; i++) {
    if (i == slots_used) slots_used++;
    if (in_use(&streams[i])) continue;
    uint32_t generation = streams[i].generation + 1;
    memset(&streams[i], 0, sizeof streams[i]);
    streams[i].generation = generation;
    return &streams[i];
  }
  return NULL;
}

/* A stream that cannot begin still gives its answer in order. */
static void fail_at_once(struct stream *stream, int error, const char *message) {
  struct writer writer = {.bytes = stream->result, .size = sizeof stream->result};
  write_failed(&writer, error, STAGE_OTHER, message);
  stream->result_used = writer.used;
}

static const char *refusal(const struct request *request, int *error) {
  *error = request->kind == KIND_ASSEMBLE ? EEXIST : ENXIO;
  bool needs_root = request->kind != KIND_ASSEMBLE && request->kind != KIND_SHUTDOWN;
  if (needs_root && !workload_ready()) return "no root file system has been assembled";
  if (request->kind == KIND_ASSEMBLE && workload_ready()) return "a root file system has already been assembled";
  return NULL;
}

/* Without a slot to remember it in; the link has room for an answer. */
static void refuse(struct link *link, uint32_t id) {
  uint8_t bytes[128];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_failed(&writer, EAGAIN, STAGE_OTHER, "1024 commands and file operations are under way already");
  struct frame frame = {.length = (uint32_t)writer.used, .type = FRAME_RESULT, .stream = id};
  link_frame(link, &frame, bytes);
}

const char *stream_open(struct link *link, uint32_t id, struct request *request) {
  int unattached = request->kind == KIND_ATTACH ? keep_attach(link, id, request->pid) : 0;
  if (request->kind == KIND_ATTACH && !unattached) return NULL;
  struct stream *stream = allocate();
  if (!stream) {
    if (request->kind == KIND_EXEC) plan_forget(request->exec.plan);
    refuse(link, id);
    return NULL;
  }
  stream->turn.serve = stream_serve;
  stream->id = id;
  stream->link = link;
  stream->kind = request->kind;
  stream->status_fd = -1;
  input_open(stream);
  for (int i = 0; i < OUTPUTS; i++) {
    stream->outputs[i].fd = -1;
    stream->outputs[i].credit = link->send_credit;
  }
  if (request->kind == KIND_EXEC) stream->plan = request->exec.plan;
  stream->has_steps = stream->plan != NULL;
  stream->tty = request->kind == KIND_EXEC && request->exec.flags & EXEC_TTY;
  if (request->kind == KIND_ASSEMBLE && request->assemble.hostname) session_set_hostname(request->assemble.hostname);
  int error = 0;
  const char *message = refusal(request, &error);
  if (!message && request->kind == KIND_FUSE && !fuse_reserve(stream)) {
    error = EUSERS;
    message = "as many host folders are mounted as can be";
  }
  if (unattached) {
    error = unattached;
    message = error == EBUSY ? "somebody is attached to the command already" : "there is no such command whose output is kept";
  } else if (!message) {
    error = task_start(stream, request);
    message = "the task could not be started";
    /* It may run all the same, without anybody to hear of it. */
    if (error && stream->pid > 0) stream_signal(stream, SIGKILL, true);
    if (error) stream->due = 0;
  }
  if (error) plan_drop(stream);
  if (error) fail_at_once(stream, error, message);
  stream_wake(stream);
  return NULL;
}

void stream_signal(const struct stream *stream, int signal, bool group) {
  if (stream->pid <= 0) return;
  /* Each command leads a session and so a group of its own; before it does, only the process is there. */
  if (group && kill(-stream->pid, signal) == 0) return;
  kill(stream->pid, signal);
}

void stream_close_output(struct stream *stream, int channel) {
  struct output *output = &stream->outputs[channel];
  if (output->fd >= 0) close(output->fd);
  output->fd = -1;
}

static void forget(struct stream *stream) {
  if (stream->link && stream->turn.queued) link_unready(stream->link, &stream->turn);
  stream->link = NULL;
  /* Who comes back to it can go on typing. */
  if (stream->keep) stream->input.ring.used = 0;
  else input_close(stream);
}

static void stop(struct stream *stream) {
  /* A built-in task removes what it has half done; before its pipe is closed, so that it sees no regular end. */
  plan_drop(stream);
  keep_drop(stream);
  if (stream->cgroup) cgroup_kill(stream->cgroup);
  if (stream->kind == KIND_EXEC) stream_signal(stream, SIGKILL, true);
  else stream_signal(stream, stream->kind == KIND_ASSEMBLE ? SIGKILL : SIGTERM, false);
  forget(stream);
  for (int i = 0; i < OUTPUTS; i++) stream_close_output(stream, i);
  if (stream->status_fd >= 0) close(stream->status_fd);
  stream->status_fd = -1;
  stream_settle(stream);
}

void stream_close(struct link *link, uint32_t id) {
  struct stream *stream = stream_find(link, id);
  if (stream) stop(stream);
}

/* The output of a process that outlives its stream is read and thrown away, so that it never blocks or dies of it. */
static void orphan(struct stream *stream) {
  forget(stream);
  output_orphan(stream);
  if (stream->keep && stream->exited) keep_ended(stream);
  stream_settle(stream);
}

void stream_detach(struct stream *stream) { orphan(stream); }

void streams_detach(struct link *link) {
  for (uint32_t i = 0; i < slots_used; i++) {
    struct stream *stream = &streams[i];
    if (!in_use(stream) || stream->link != link) continue;
    if (stream->kind == KIND_EXEC) orphan(stream);
    else stop(stream);
  }
}

void stream_settle(struct stream *stream) {
  bool open = stream->link != NULL || stream->pid > 0 || stream->status_fd >= 0 || stream->keep != NULL;
  for (int i = 0; i < OUTPUTS; i++) open |= stream->outputs[i].fd >= 0;
  if (open) return;
  plan_drop(stream);
  input_close(stream);
  if (stream->cgroup) cgroup_leave(stream->cgroup);
  ring_clear(&stream->input.ring);
  fuse_end(stream);
  stream->generation++;
}

/* --- what the kernel tells --- */

static void read_status(struct stream *stream) {
  while (stream->status_fd >= 0) {
    ssize_t got = read(stream->status_fd, stream->result + stream->result_used, RESULT_SIZE - stream->result_used);
    if (got > 0) {
      stream->result_used += (size_t)got;
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    close(stream->status_fd);
    stream->status_fd = -1;
    if (stream->kind == KIND_EXEC && !plan_stages(stream)) task_started_apart(stream);
  }
}

static bool said_done(const struct stream *stream) {
  return stream->result_used >= 2 && get_u16(stream->result) == RESULT_DONE;
}

/* The task that assembled the root stays as the workload's init and is no stream's process any more. */
static void adopt_init(struct stream *stream) {
  pid_t init = stream->pid;
  stream->pid = 0;
  int error = workload_adopt(init);
  if (!error) {
    session_name_root();
    return;
  }
  kill(init, SIGKILL);
  stream->result_used = 0;
  fail_at_once(stream, error, "the workload's namespaces cannot be joined");
}

void stream_event(uint32_t slot, uint32_t generation, unsigned role, uint32_t events) {
  struct stream *stream = &streams[slot % STREAMS_MAX];
  if (!in_use(stream) || stream->generation != generation) return;
  switch (role) {
    case ROLE_STATUS:
      read_status(stream);
      if (stream->kind == KIND_ASSEMBLE && stream->status_fd < 0 && said_done(stream)) adopt_init(stream);
      if (stream->kind == KIND_FUSE && stream->status_fd < 0) fuse_begin(stream);
      break;
    case ROLE_INPUT: input_pump(stream); break;
    case ROLE_OUTPUT: output_event(stream, 0, events); break;
    case ROLE_ERROR: output_event(stream, 1, events); break;
    default: break;
  }
  stream_settle(stream);
  if (in_use(stream)) stream_wake(stream);
}

struct stream *stream_of_process(pid_t pid) {
  for (uint32_t i = 0; i < slots_used; i++) {
    if (in_use(&streams[i]) && streams[i].pid == pid) return &streams[i];
  }
  return NULL;
}

void stream_exited(struct stream *stream, int wait_status) {
  if (stream->status_fd >= 0) read_status(stream);
  stream->pid = 0;
  if (stream->plan && plan_next(stream, wait_status)) {
    stream_wake(stream);
    return;
  }
  stream->exited = true;
  stream->wait_status = wait_status;
  if (stream->kind != KIND_EXEC && stream->result_used == 0) fail_at_once(stream, EIO, "the task was killed");
  if (stream->kind == KIND_EXEC) {
    if (stream->result_used == 0) stream->due |= DUE_EXITED;
    output_exited(stream);
    if (stream->keep && !stream->link) keep_ended(stream);
  }
  stream_settle(stream);
  if (in_use(stream)) stream_wake(stream);
}

/* --- grace periods --- */

int64_t streams_deadline(void) {
  int64_t first = INT64_MAX;
  for (uint32_t i = 0; i < slots_used; i++) {
    if (in_use(&streams[i]) && streams[i].in_grace && streams[i].grace_end_ms < first) first = streams[i].grace_end_ms;
  }
  return first;
}

void streams_expire(void) {
  for (uint32_t i = 0; i < slots_used; i++) {
    struct stream *stream = &streams[i];
    if (!in_use(stream) || !stream->in_grace || now_ms() < stream->grace_end_ms) continue;
    output_expire(stream);
    stream_settle(stream);
    if (in_use(stream)) stream_wake(stream);
  }
}

void streams_trim(void) {
  fuse_trim();
  while (slots_used > 0 && !in_use(&streams[slots_used - 1])) slots_used--;
}
