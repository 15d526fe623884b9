#define _GNU_SOURCE
#include "network.h"

#include "flow.h"
#include "interfaces.h"
#include "log.h"
#include "loop.h"
#include "task.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS_PER_TURN = 64, SOURCE_SYNS = 0, SOURCE_LISTENER = 1, SOURCE_DATAGRAMS = 2 };
enum message { MESSAGE_SYN = 1, MESSAGE_DATAGRAM = 2, MESSAGE_REFUSE_SYN = 3, MESSAGE_REFUSE_DATAGRAM = 4 };

/* The stream on which the host is asked; with `link` NULL there is none, and everything waits. */
static struct {
  struct turn turn;
  struct link *link;
  uint32_t id;
  bool allowed;       /* the host wants to be asked */
  uint32_t credit;
  uint32_t consumed;
  bool syns_readable; /* since the last session too: they are reported once */
  bool datagrams_readable;
} net;

static struct interception sockets = {-1, -1, -1};

int network_set_up(const char **step) { return interfaces_set_up(&sockets, step); }

void network_init(void) {
  flows_init();
  if (sockets.syns < 0) return;
  if (!loop_watch(sockets.syns, EPOLLIN | EPOLLET, ROLE_NETWORK, SOURCE_SYNS, 0) ||
      !loop_watch(sockets.datagrams, EPOLLIN | EPOLLET, ROLE_NETWORK, SOURCE_DATAGRAMS, 0) ||
      !loop_watch(sockets.listener, EPOLLIN, ROLE_NETWORK, SOURCE_LISTENER, 0)) {
    fatal("epoll_ctl of the network: %s", strerror(errno));
  }
}

/* --- asking the host --- */

static void wake(void) {
  bool something = net.credit > 0 && (net.syns_readable || net.datagrams_readable);
  if (net.consumed >= FLOW_WINDOW / 4) something = true;
  if (net.link && !net.turn.queued && something) link_ready(net.link, &net.turn);
}

static void put_u16(uint8_t *at, uint16_t value) {
  at[0] = (uint8_t)value;
  at[1] = (uint8_t)(value >> 8);
}

static void write_header(uint8_t *at, enum message kind, const struct endpoints *ends) {
  put_u16(at, (uint16_t)kind);
  put_u16(at + 2, 0);
  put_u16(at + 4, ends->source_port);
  put_u16(at + 6, ends->destination_port);
  memcpy(at + 8, ends->source, ADDRESS_SIZE);
  memcpy(at + 24, ends->destination, ADDRESS_SIZE);
}

/* What is more than the host allows is lost, as in a router's full queue: TCP sends its SYN again. */
static void send_message(uint8_t *space, enum message kind, const struct endpoints *ends, size_t content) {
  size_t length = MESSAGE_HEADER + content;
  if (length > net.credit) return;
  write_header(space, kind, ends);
  link_data(net.link, net.id, 0, length);
  net.credit -= (uint32_t)length;
}

static void ask_for_connection(void) {
  uint8_t packet[256];
  ssize_t got = intercept_syn(&sockets, packet, sizeof packet);
  if (got < 0) net.syns_readable = errno == EINTR;
  struct syn syn;
  if (got < 0 || !syn_read(&syn, packet, (size_t)got)) return;
  uint8_t answer[PACKET_SMALL];
  if (!net.allowed) {
    intercept_send(answer, packet_syn_unreachable(answer, &syn, UNREACHABLE_NET));
    return;
  }
  uint8_t *space = link_data_space(net.link);
  size_t length = packet_syn(space + MESSAGE_HEADER, &syn);
  send_message(space, MESSAGE_SYN, &syn.ends, length);
}

static void ask_for_datagram(void) {
  struct endpoints ends;
  uint8_t *space = link_data_space(net.link);
  ssize_t got = intercept_datagram(&sockets, &ends, space + MESSAGE_HEADER, MESSAGE_CONTENT_MAX);
  if (got < 0) {
    net.datagrams_readable = errno != EAGAIN;
  } else if (net.allowed) {
    send_message(space, MESSAGE_DATAGRAM, &ends, (size_t)got);
  } else {
    uint8_t answer[PACKET_SMALL];
    /* Of the errors that IPv6 has, a UDP socket hears of this one. */
    enum unreachable why = address_is_v4(ends.source) ? UNREACHABLE_NET : UNREACHABLE_PROHIBITED;
    intercept_send(answer, packet_udp_unreachable(answer, &ends, why));
  }
}

static void give_credit(void) {
  uint32_t credit = net.consumed;
  if (credit < FLOW_WINDOW / 4) return;
  uint8_t bytes[4] = {(uint8_t)credit, (uint8_t)(credit >> 8), (uint8_t)(credit >> 16), (uint8_t)(credit >> 24)};
  struct frame frame = {.length = sizeof bytes, .type = FRAME_CREDIT, .stream = net.id};
  link_frame(net.link, &frame, bytes);
  net.consumed = 0;
}

/* At most one SYN and one datagram, so that everybody has a turn; all of it fits into ROOM_TO_SERVE. */
static void serve(struct turn *turn) {
  (void)turn;
  give_credit();
  if (net.syns_readable && net.credit > 0) ask_for_connection();
  if (net.datagrams_readable && net.credit > 0) ask_for_datagram();
  wake();
}

static void accept_some(void) {
  struct endpoints ends;
  for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
    int fd = intercept_accept(&sockets, &ends);
    if (fd < 0) return;
    if (flow_accepted(fd, &ends)) continue;
    struct linger at_once = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
  }
}

void network_event(uint32_t slot) {
  if (slot == SOURCE_LISTENER) accept_some();
  if (slot == SOURCE_SYNS) net.syns_readable = true;
  if (slot == SOURCE_DATAGRAMS) net.datagrams_readable = true;
  wake();
}

/* --- what the host answers --- */

static enum unreachable reason(uint16_t error) {
  switch (error) {
    case ENETUNREACH: return UNREACHABLE_NET;
    case ECONNREFUSED: return UNREACHABLE_PORT;
    case EACCES: return UNREACHABLE_PROHIBITED;
    default: return UNREACHABLE_HOST;
  }
}

static const char *refuse_syn(uint16_t error, const uint8_t *packet, size_t length) {
  struct syn syn;
  uint8_t answer[PACKET_SMALL];
  if (!syn_read(&syn, packet, length)) return "a refusal without its SYN";
  if (error == ECONNREFUSED) intercept_send(answer, packet_reset(answer, &syn));
  else intercept_send(answer, packet_syn_unreachable(answer, &syn, reason(error)));
  return NULL;
}

static void read_ends(struct endpoints *ends, const uint8_t *header) {
  ends->source_port = get_u16(header + 4);
  ends->destination_port = get_u16(header + 6);
  memcpy(ends->source, header + 8, ADDRESS_SIZE);
  memcpy(ends->destination, header + 24, ADDRESS_SIZE);
}

static const char *take_message(const uint8_t *bytes, size_t length) {
  if (length < MESSAGE_HEADER) return "a message without its header";
  struct endpoints ends;
  read_ends(&ends, bytes);
  const uint8_t *content = bytes + MESSAGE_HEADER;
  size_t rest = length - MESSAGE_HEADER;
  uint8_t answer[PACKET_SMALL];
  switch (get_u16(bytes)) {
    case MESSAGE_DATAGRAM:
      if (rest > DATAGRAM_MAX) return "a datagram that is too long";
      intercept_send_datagram(&ends, content, rest);
      return NULL;
    case MESSAGE_REFUSE_SYN: return refuse_syn(get_u16(bytes + 2), content, rest);
    case MESSAGE_REFUSE_DATAGRAM:
      if (address_is_v4(ends.source) != address_is_v4(ends.destination)) return "ends of two families";
      intercept_send(answer, packet_udp_unreachable(answer, &ends, reason(get_u16(bytes + 2))));
      return NULL;
    default: return "an unknown message";
  }
}

static void forget(void) {
  if (net.turn.queued) link_unready(net.link, &net.turn);
  net.link = NULL;
}

static const char *take_own(struct link *link, const struct frame *frame, const uint8_t *bytes) {
  const char *wrong = NULL;
  switch (frame->type) {
    case FRAME_DATA:
      net.consumed += frame->length;
      if (net.consumed > link->receive_window) return "more bytes than were allowed";
      wrong = take_message(bytes, frame->length);
      break;
    case FRAME_CREDIT:
      if (frame->length != 4) return "a credit that is not four bytes";
      if (get_u32(bytes) > UINT32_MAX - net.credit) return "a credit above 4 GiB";
      net.credit += get_u32(bytes);
      break;
    case FRAME_CLOSE: forget(); return NULL;
    default: return "a frame that does not belong to the network's stream";
  }
  wake();
  return wrong;
}

static const char *take_flow(struct flow *flow, const struct frame *frame, const uint8_t *bytes) {
  switch (frame->type) {
    case FRAME_DATA: return flow_data(flow, frame, bytes);
    case FRAME_END: return frame->channel || frame->length ? "a malformed END" : flow_end(flow);
    case FRAME_CREDIT: return frame->length == 4 ? flow_credit(flow, get_u32(bytes)) : "a credit that is not four bytes";
    case FRAME_CLOSE: flow_reset(flow); return NULL;
    default: return "a frame that does not belong to a connection";
  }
}

bool network_owns(const struct link *link, uint32_t id) {
  return (net.link == link && net.id == id) || flow_find(link, id) != NULL;
}

const char *network_frame(struct link *link, const struct frame *frame, const uint8_t *bytes) {
  if (net.link == link && net.id == frame->stream) return take_own(link, frame, bytes);
  return take_flow(flow_find(link, frame->stream), frame, bytes);
}

/* --- what the host opens --- */

static void refuse(struct link *link, uint32_t id, int error, const char *message) {
  uint8_t bytes[128];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_failed(&writer, error, STAGE_OTHER, message);
  struct frame frame = {.length = (uint32_t)writer.used, .type = FRAME_RESULT, .stream = id};
  link_frame(link, &frame, bytes);
}

static void open_own(struct link *link, uint32_t id, const struct network_request *request) {
  if (sockets.syns < 0) {
    refuse(link, id, ENXIO, "this agent has no network");
    return;
  }
  if (net.link) {
    refuse(link, id, EBUSY, "the network has been opened already");
    return;
  }
  net.turn = (struct turn){.serve = serve};
  net.link = link;
  net.id = id;
  net.allowed = request->allowed;
  net.credit = link->send_credit;
  net.consumed = 0;
  wake();
}

static void open_flow(struct link *link, uint32_t id, const struct request *request) {
  struct flow *flow = flow_allocate(link, id);
  if (!flow) {
    refuse(link, id, EMFILE, "4096 connections are open already");
    return;
  }
  if (request->kind == KIND_ACCEPT) {
    uint8_t packet[PACKET_SMALL];
    flow_await(flow, &request->accept.syn.ends);
    intercept_send(packet, packet_syn(packet, &request->accept.syn));
  } else {
    const struct connect_request *connect = &request->connect;
    flow_connect(flow, connect->address, connect->port, request->kind == KIND_CONNECT_UDP);
  }
}

const char *network_open(struct link *link, uint32_t id, const struct request *request) {
  if (request->kind == KIND_NETWORK) open_own(link, id, &request->network);
  else if (request->kind == KIND_ACCEPT && sockets.syns < 0) refuse(link, id, ENXIO, "this agent has no network");
  else open_flow(link, id, request);
  return NULL;
}

void network_detach(struct link *link) {
  flows_detach(link);
  if (net.link == link) forget();
}
