#define _GNU_SOURCE
#include "stream.h"

#include "fuse.h"
#include "link.h"
#include "pty.h"

#include <signal.h>

static const char *known(const struct link *link, const struct frame *frame) {
  return frame->stream % 2 == 1 && frame->stream <= link->highest ? NULL : "a stream that was never opened";
}

const char *stream_data(struct link *link, const struct frame *frame, const uint8_t *bytes) {
  struct stream *stream = stream_find(link, frame->stream);
  /* One that has just ended here is not yet known to have ended there. */
  if (!stream) return known(link, frame);
  if (frame->channel != 0) return "an unknown channel";
  if (stream->input.ending) return "DATA after END";
  if (!window_take(&stream->input.window, frame->length)) return "more bytes than were allowed";
  const char *wrong = NULL;
  if (stream->kind == KIND_FUSE) wrong = fuse_take(stream, bytes, frame->length);
  else input_take(stream, bytes, frame->length);
  stream_wake(stream);
  return wrong;
}

const char *stream_end(struct link *link, const struct frame *frame) {
  struct stream *stream = stream_find(link, frame->stream);
  if (!stream) return known(link, frame);
  if (frame->channel != 0) return "an unknown channel";
  if (frame->length != 0) return "a payload where none belongs";
  stream->input.ending = true;
  input_pump(stream);
  return NULL;
}

const char *stream_credit(struct link *link, const struct frame *frame, const uint8_t *bytes) {
  if (frame->length != 4) return "a credit that is not four bytes";
  struct stream *stream = stream_find(link, frame->stream);
  if (!stream) return known(link, frame);
  if (frame->channel >= OUTPUTS) return "an unknown channel";
  struct output *output = &stream->outputs[frame->channel];
  uint32_t more = get_u32(bytes);
  if (more > UINT32_MAX - output->credit) return "a credit above 4 GiB";
  output->credit += more;
  stream_wake(stream);
  return NULL;
}

const char *stream_control(struct link *link, const struct frame *frame, uint8_t *bytes) {
  struct control_request request;
  const char *wrong = parse_control(&request, bytes, frame->length);
  if (wrong) return wrong;
  struct stream *stream = stream_find(link, frame->stream);
  if (!stream) return known(link, frame);
  bool copies = stream->kind == KIND_COPY_IN || stream->kind == KIND_COPY_OUT;
  /* A copy that is to end cleans up behind it before it says that it has. */
  if (copies && request.operation == CONTROL_SIGNAL) stream_signal(stream, SIGTERM, false);
  if (copies) return request.operation == CONTROL_SIGNAL ? NULL : "a CONTROL that is not for a copy";
  if (stream->kind != KIND_EXEC) return "a CONTROL for a stream that is not a command";
  if (request.operation == CONTROL_DETACH) stream_detach(stream);
  else if (request.operation == CONTROL_SIGNAL) stream_signal(stream, (int)request.signal, request.group);
  else if (stream->tty && stream->outputs[0].fd >= 0) pty_resize(stream->outputs[0].fd, request.rows, request.cols);
  return NULL;
}
