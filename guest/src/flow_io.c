#define _GNU_SOURCE
#include "flow.h"

#include "task.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- from the host to the socket --- */

/* Gives how much the socket took. */
static uint32_t write_some(struct flow *flow, const uint8_t *bytes, uint32_t length) {
  uint32_t done = 0;
  while (done < length) {
    ssize_t written = send(flow->fd, bytes + done, length - done, MSG_NOSIGNAL);
    if (written >= 0) {
      done += (uint32_t)written;
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      flow_fail(flow, errno);
      break;
    }
  }
  flow->window.consumed += done;
  return done;
}

static void shut(struct flow *flow) {
  if (shutdown(flow->fd, SHUT_WR) < 0) {
    flow_fail(flow, errno);
    return;
  }
  flow->shut = true;
}

void flow_pump(struct flow *flow) {
  while (flow->state == FLOW_OPEN && flow->ring.used > 0) {
    uint32_t first = 0;
    const uint8_t *bytes = ring_first(&flow->ring, &first);
    uint32_t done = write_some(flow, bytes, first);
    ring_drop(&flow->ring, done);
    if (done < first) break;
  }
  if (flow->state == FLOW_OPEN && flow->ring.used == 0 && flow->ending && !flow->shut) shut(flow);
  flow_wake(flow);
}

static void take_datagram(struct flow *flow, const uint8_t *bytes, uint32_t length) {
  flow->window.consumed += length;
  if (flow->state != FLOW_OPEN) return;
  /* What does not fit is lost; that nobody listens is the sender's to know. */
  if (send(flow->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == ECONNREFUSED) flow_fail(flow, errno);
}

const char *flow_data(struct flow *flow, const struct frame *frame, const uint8_t *bytes) {
  if (frame->channel != 0) return "an unknown channel";
  if (flow->ending) return "DATA after END";
  if (!window_take(&flow->window, frame->length)) return "more bytes than were allowed";
  if (flow->datagrams) {
    take_datagram(flow, bytes, frame->length);
  } else if (flow->state != FLOW_FAILED) {
    uint32_t done = flow->state == FLOW_OPEN && flow->ring.used == 0 ? write_some(flow, bytes, frame->length) : 0;
    if (flow->state != FLOW_FAILED && done < frame->length) ring_keep(&flow->ring, bytes + done, frame->length - done);
  }
  flow_wake(flow);
  return NULL;
}

const char *flow_end(struct flow *flow) {
  flow->ending = true;
  flow_pump(flow);
  return NULL;
}

const char *flow_credit(struct flow *flow, uint32_t more) {
  if (more > UINT32_MAX - flow->credit) return "a credit above 4 GiB";
  flow->credit += more;
  flow_wake(flow);
  return NULL;
}

/* --- from the socket to the host --- */

static void send_small(struct flow *flow, enum frame_type type, const uint8_t *payload, size_t length) {
  struct frame frame = {.length = (uint32_t)length, .type = (uint8_t)type, .stream = flow->id};
  link_frame(flow->link, &frame, payload);
}

static void send_result(struct flow *flow, enum result_kind kind, int error) {
  uint8_t bytes[64];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  if (kind == RESULT_FAILED) write_failed(&writer, error, STAGE_OTHER, "");
  else write_kind(&writer, kind);
  send_small(flow, FRAME_RESULT, bytes, writer.used);
}

static void send_credit(struct flow *flow) {
  uint8_t bytes[4];
  bool keeps_up = !flow->datagrams && flow->ring.used == 0;
  window_credit(&flow->window, keeps_up ? FLOW_WINDOW_MOST : 0, bytes);
  send_small(flow, FRAME_CREDIT, bytes, sizeof bytes);
}

/* The largest datagram has a frame of its own; what the host does not allow yet is lost. */
static size_t most(const struct flow *flow) {
  if (flow->datagrams) return DATAGRAM_MAX;
  return flow->credit < DATA_MAX ? flow->credit : DATA_MAX;
}

static void take_end(struct flow *flow) {
  flow->end_sent = true;
  send_small(flow, FRAME_END, NULL, 0);
}

/* Reads into the link's own buffer, so that nothing waits anywhere else. */
static void send_some(struct flow *flow) {
  if (flow->state != FLOW_OPEN || !flow->readable || flow->end_sent || flow->credit == 0) return;
  size_t wanted = most(flow);
  ssize_t got = recv(flow->fd, link_data_space(flow->link), wanted, 0);
  if (got < 0 && errno == EINTR) return;
  if (got < 0 && errno == EAGAIN) {
    flow->readable = false;
  } else if (got < 0) {
    flow_fail(flow, errno);
  } else if (got == 0 && !flow->datagrams) {
    take_end(flow);
  } else if ((size_t)got <= flow->credit) {
    link_data(flow->link, flow->id, 0, (size_t)got);
    flow->credit -= (uint32_t)got;
    /* Less than asked for: there is no more, and epoll tells when there is, but not again of the end. */
    if (!flow->datagrams && (size_t)got < wanted && !flow->hung_up) flow->readable = false;
  }
}

static bool over(const struct flow *flow) { return flow->state == FLOW_FAILED || (flow->end_sent && flow->shut); }

static bool has_something(const struct flow *flow) {
  if (flow->started_due || window_due(&flow->window) || over(flow)) return true;
  return flow->state == FLOW_OPEN && flow->readable && !flow->end_sent && flow->credit > 0;
}

void flow_wake(struct flow *flow) {
  if (!flow->turn.queued && has_something(flow)) link_ready(flow->link, &flow->turn);
}

void flow_serve(struct turn *turn) {
  struct flow *flow = (struct flow *)((uint8_t *)turn - offsetof(struct flow, turn));
  if (flow->started_due) send_result(flow, RESULT_STARTED, 0);
  flow->started_due = false;
  if (window_due(&flow->window)) send_credit(flow);
  send_some(flow);
  if (over(flow)) {
    send_result(flow, flow->state == FLOW_FAILED ? RESULT_FAILED : RESULT_DONE, flow->error);
    flow_free(flow);
  } else {
    flow_wake(flow);
  }
}
