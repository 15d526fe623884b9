#define _GNU_SOURCE
#include "stream.h"

#include "fuse.h"
#include "keep.h"
#include "link.h"
#include "loop.h"
#include "power.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  GRACE_MS = 200,
  DISCARD_SIZE = 16384,
  /* A pipe that nobody has widened has no more in it than so many times what is read at once. */
  PIECES_LEFT = 8,
};

static void discard(struct stream *stream, int channel) {
  static uint8_t bytes[DISCARD_SIZE];
  struct output *output = &stream->outputs[channel];
  if (output->fd < 0) return;
  ssize_t got = read(output->fd, bytes, sizeof bytes);
  if (got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN))) return;
  stream_close_output(stream, channel);
}

/* For a command that has ended: what is left in its pipe. */
static void keep_rest(struct stream *stream, int channel) {
  for (int pieces = 0; stream->keep && stream->outputs[channel].fd >= 0 && pieces < PIECES_LEFT; pieces++) keep_read(stream, channel);
  stream_close_output(stream, channel);
}

void output_orphan(struct stream *stream) {
  static const enum role roles[OUTPUTS] = {ROLE_OUTPUT, ROLE_ERROR};
  for (int i = 0; i < OUTPUTS; i++) {
    int fd = stream->outputs[i].fd;
    if (fd < 0) continue;
    /* Told again and again while there is something, so that each turn is short. */
    bool watched = !stream->exited && loop_rewatch(fd, EPOLLIN, roles[i], stream_slot(stream), stream->generation);
    if (!watched) keep_rest(stream, i);
  }
}

void output_event(struct stream *stream, int channel, uint32_t events) {
  struct output *output = &stream->outputs[channel];
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) output->readable = true;
  if (events & EPOLLHUP) output->hung_up = true;
  if (stream->link) return;
  if (stream->keep) keep_read(stream, channel);
  else discard(stream, channel);
}

void output_exited(struct stream *stream) {
  for (int i = 0; i < OUTPUTS; i++) {
    struct output *output = &stream->outputs[i];
    if (output->fd < 0) continue;
    if (!stream->link) {
      keep_rest(stream, i);
      continue;
    }
    int inside = 0;
    if (ioctl(output->fd, FIONREAD, &inside) == 0) output->owed = inside;
    output->readable = true;
    stream->in_grace = true;
  }
  stream->grace_end_ms = now_ms() + GRACE_MS;
}

static void cut(struct stream *stream, int channel) {
  stream->outputs[channel].truncated = true;
  stream_close_output(stream, channel);
}

void output_expire(struct stream *stream) {
  stream->in_grace = false;
  for (int i = 0; i < OUTPUTS; i++) {
    if (stream->outputs[i].fd >= 0 && stream->outputs[i].owed <= 0) cut(stream, i);
  }
}

/* Reads into the link's own buffer, so that nothing waits anywhere else. */
static void send_output(struct stream *stream, int channel) {
  struct output *output = &stream->outputs[channel];
  if (stream->relay) {
    if (channel == 0) fuse_send(stream);
    return;
  }
  if (output->fd < 0 || !output->readable || output->credit == 0) return;
  size_t most = output->credit < DATA_MAX ? output->credit : DATA_MAX;
  ssize_t got = read(output->fd, link_data_space(stream->link), most);
  if (got < 0 && errno == EINTR) return;
  if (got < 0 && errno == EAGAIN) {
    output->readable = false;
    output->owed = 0;
  } else if (got <= 0) {
    /* End of file; a terminal without processes says EIO. */
    stream_close_output(stream, channel);
  } else {
    if (stream->keep) keep_add(stream, channel, link_data_space(stream->link), (size_t)got);
    link_data(stream->link, stream->id, (uint8_t)channel, (size_t)got);
    output->credit -= (uint32_t)got;
    output->owed -= got;
    /* Less than asked for: the pipe is empty, and epoll tells of more, but not again of the end. */
    if ((size_t)got < most && !output->hung_up && !stream->tty) output->readable = false;
  }
  bool late = stream->kind == KIND_EXEC && stream->exited && !stream->in_grace;
  if (late && output->fd >= 0 && output->owed <= 0) cut(stream, channel);
}

static void send_end(struct stream *stream, int channel) {
  struct output *output = &stream->outputs[channel];
  if (!output->open || output->fd >= 0 || keep_replays(stream)) return;
  output->open = false;
  struct frame frame = {
    .type = FRAME_END,
    .channel = (uint8_t)channel,
    .flags = output->truncated ? FLAG_TRUNCATED : 0,
    .stream = stream->id,
  };
  link_frame(stream->link, &frame, NULL);
}

static void send_result(struct stream *stream, const uint8_t *payload, size_t length) {
  struct frame frame = {.length = (uint32_t)length, .type = FRAME_RESULT, .stream = stream->id};
  link_frame(stream->link, &frame, payload);
}

static void send_started(struct stream *stream) {
  uint8_t bytes[48];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_kind(&writer, RESULT_STARTED);
  write_uint(&writer, 1, 4, (uint64_t)stream->workload_pid);
  if (stream->keep) write_uint(&writer, 2, 8, keep_lost(stream));
  if (stream->keep) write_uint(&writer, 3, 4, (stream->tty ? 1 : 0) | (stream->input.fd >= 0 ? 2 : 0));
  send_result(stream, bytes, writer.used);
}

static void send_exited(struct stream *stream) {
  uint8_t bytes[32];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  int status = stream->wait_status;
  write_kind(&writer, RESULT_EXITED);
  if (WIFSIGNALED(status)) write_uint(&writer, 2, 4, (uint64_t)WTERMSIG(status));
  else write_uint(&writer, 1, 4, (uint64_t)WEXITSTATUS(status));
  if (stream->has_steps) write_uint(&writer, 3, 4, stream->step);
  send_result(stream, bytes, writer.used);
}

static void send_credit(struct stream *stream) {
  uint8_t bytes[4];
  window_credit(&stream->input.window, 0, bytes);
  struct frame frame = {.length = sizeof bytes, .type = FRAME_CREDIT, .stream = stream->id};
  link_frame(stream->link, &frame, bytes);
}

/* From here on the stream ends in good order whenever the folder is unmounted. */
static void send_mounted(struct stream *stream) {
  send_result(stream, stream->result, stream->result_used);
  struct writer writer = {.bytes = stream->result, .size = sizeof stream->result};
  write_kind(&writer, RESULT_DONE);
  stream->result_used = writer.used;
}

static void send_due(struct stream *stream) {
  if (stream->due & DUE_STARTED) send_started(stream);
  if (stream->due & DUE_MOUNTED) send_mounted(stream);
  if (stream->due & DUE_CREDIT) send_credit(stream);
  if (stream->due & DUE_EXITED) send_exited(stream);
  stream->due = 0;
}

/* A task that has not yet said whether it runs; until then nothing of it is passed on. */
static bool is_starting(const struct stream *stream) {
  return stream->status_fd >= 0 && (stream->kind == KIND_EXEC || stream->kind == KIND_FUSE);
}

static bool outputs_ended(const struct stream *stream) {
  for (int i = 0; i < OUTPUTS; i++) {
    if (stream->outputs[i].open) return false;
  }
  return true;
}

static bool has_failed(const struct stream *stream) {
  return stream->result_used >= 2 && get_u16(stream->result) == RESULT_FAILED;
}

static bool is_over(const struct stream *stream) {
  /* Where a later step failed, there may still be output of those before. */
  bool nothing_comes = outputs_ended(stream) || (has_failed(stream) && !stream->has_steps);
  return stream->pid == 0 && stream->status_fd < 0 && nothing_comes;
}

/* The end of a stream: all is said, so its number means nothing from here on. */
static void finish(struct stream *stream) {
  if (!is_over(stream)) return;
  if (stream->has_steps && has_failed(stream)) {
    struct writer writer = {.bytes = stream->result, .size = RESULT_SIZE, .used = stream->result_used};
    write_uint(&writer, 4, 4, stream->step);
    stream->result_used = writer.used;
  }
  if (stream->result_used > 0) send_result(stream, stream->result, stream->result_used);
  for (int i = 0; i < OUTPUTS; i++) stream_close_output(stream, i);
  input_close(stream);
  keep_drop(stream);
  if (stream->kind == KIND_SHUTDOWN && !has_failed(stream)) power_off_soon();
  stream->link = NULL;
  stream_settle(stream);
}

static bool has_something(const struct stream *stream) {
  if (stream->due) return true;
  if (is_starting(stream)) return false;
  if (fuse_has_rest(stream) && stream->outputs[0].credit > 0) return true;
  if (keep_replays(stream)) return keep_can_replay(stream);
  for (int i = 0; i < OUTPUTS; i++) {
    const struct output *output = &stream->outputs[i];
    if (output->fd < 0 ? output->open : output->readable && output->credit > 0) return true;
  }
  return is_over(stream);
}

void stream_wake(struct stream *stream) {
  if (stream->link && !stream->turn.queued && has_something(stream)) link_ready(stream->link, &stream->turn);
}

void stream_serve(struct turn *turn) {
  struct stream *stream = (struct stream *)((uint8_t *)turn - offsetof(struct stream, turn));
  send_due(stream);
  keep_replay(stream);
  for (int i = 0; i < OUTPUTS && !is_starting(stream) && !keep_replays(stream); i++) {
    send_output(stream, i);
    send_end(stream, i);
  }
  finish(stream);
  stream_wake(stream);
}
