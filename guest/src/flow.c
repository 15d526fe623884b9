#define _GNU_SOURCE
#include "flow.h"

#include "loop.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUCKETS = 1024, ACCEPT_TIMEOUT_MS = 10000 };

static struct flow flows[FLOWS_MAX];
static struct flow *by_id[BUCKETS];
/* Slots from here on were never used. */
static uint32_t used_slots;
static struct flow *free_slots;
/* In the order in which their time runs out. */
static struct flow *awaited_first, *awaited_last;
/* One ring a slot. */
static uint8_t *rings;

void flows_init(void) { rings = rings_map(FLOWS_MAX, FLOW_WINDOW_MOST); }

static uint32_t slot_of(const struct flow *flow) { return (uint32_t)(flow - flows); }

static struct flow **bucket_of(uint32_t id) { return &by_id[id / 2 % BUCKETS]; }

struct flow *flow_find(const struct link *link, uint32_t id) {
  struct flow *flow = *bucket_of(id);
  while (flow && (flow->id != id || flow->link != link)) flow = flow->next_of_id;
  return flow;
}

static struct flow *take_slot(void) {
  struct flow *flow = free_slots;
  if (flow) free_slots = flow->next_free;
  else if (used_slots < FLOWS_MAX) flow = &flows[used_slots++];
  return flow;
}

struct flow *flow_allocate(struct link *link, uint32_t id) {
  struct flow *flow = take_slot();
  if (!flow) return NULL;
  uint32_t generation = flow->generation + 1;
  struct flow **bucket = bucket_of(id);
  memset(flow, 0, sizeof *flow);
  *flow = (struct flow){.link = link, .id = id, .generation = generation, .fd = -1, .next_of_id = *bucket};
  flow->turn.serve = flow_serve;
  flow->credit = FLOW_CREDIT;
  window_open(&flow->window, FLOW_WINDOW);
  flow->ring = (struct ring){.space = rings + (size_t)slot_of(flow) * FLOW_WINDOW_MOST, .size = FLOW_WINDOW_MOST};
  *bucket = flow;
  return flow;
}

static void stop_awaiting(struct flow *flow) {
  struct flow **at = &awaited_first, *before = NULL;
  while (*at && *at != flow) {
    before = *at;
    at = &before->next_awaited;
  }
  if (!*at) return;
  *at = flow->next_awaited;
  if (awaited_last == flow) awaited_last = before;
}

void flow_free(struct flow *flow) {
  if (flow->state == FLOW_AWAITED) stop_awaiting(flow);
  if (flow->turn.queued) link_unready(flow->link, &flow->turn);
  if (flow->fd >= 0) close(flow->fd);
  ring_clear(&flow->ring);
  window_close(&flow->window);
  struct flow **at = bucket_of(flow->id);
  while (*at != flow) at = &(*at)->next_of_id;
  *at = flow->next_of_id;
  flow->link = NULL;
  flow->state = FLOW_FREE;
  flow->fd = -1;
  flow->generation++;
  flow->next_free = free_slots;
  free_slots = flow;
}

static void reset_socket(int fd) {
  struct linger at_once = {.l_onoff = 1};
  /* Closing it is then a reset. On a datagram socket it means nothing. */
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void flow_reset(struct flow *flow) {
  if (flow->fd >= 0) reset_socket(flow->fd);
  flow_free(flow);
}

void flow_fail(struct flow *flow, int error) {
  if (flow->state == FLOW_AWAITED) stop_awaiting(flow);
  if (flow->fd >= 0) {
    reset_socket(flow->fd);
    close(flow->fd);
  }
  flow->fd = -1;
  flow->state = FLOW_FAILED;
  flow->error = error;
  flow_wake(flow);
}

void flows_detach(const struct link *link) {
  for (uint32_t i = 0; i < used_slots; i++) {
    if (flows[i].state != FLOW_FREE && flows[i].link == link) flow_reset(&flows[i]);
  }
}

/* --- how one begins --- */

bool flow_watch(struct flow *flow) {
  return loop_watch(flow->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, ROLE_FLOW, slot_of(flow), flow->generation);
}

static void begin(struct flow *flow) {
  int one = 1;
  if (!flow->datagrams) (void)setsockopt(flow->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  flow->state = FLOW_OPEN;
  flow->started_due = true;
  flow->readable = true;
  flow_pump(flow);
}

void flow_await(struct flow *flow, const struct endpoints *ends) {
  flow->state = FLOW_AWAITED;
  flow->ends = *ends;
  flow->until_ms = now_ms() + ACCEPT_TIMEOUT_MS;
  flow->next_awaited = NULL;
  if (awaited_last) awaited_last->next_awaited = flow;
  else awaited_first = flow;
  awaited_last = flow;
}

bool flow_accepted(int fd, const struct endpoints *ends) {
  struct flow *flow = awaited_first;
  while (flow && memcmp(&flow->ends, ends, sizeof *ends) != 0) flow = flow->next_awaited;
  if (!flow) return false;
  stop_awaiting(flow);
  flow->fd = fd;
  flow->state = FLOW_OPEN;
  if (flow_watch(flow)) begin(flow);
  else flow_fail(flow, errno);
  return true;
}

static int open_socket(const uint8_t address[ADDRESS_SIZE], uint16_t port, bool datagrams, bool *connected) {
  int type = (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
  bool is_v4 = address_is_v4(address);
  memcpy(&v4.sin_addr, address + 12, 4);
  memcpy(&v6.sin6_addr, address, ADDRESS_SIZE);
  int fd = socket(is_v4 ? AF_INET : AF_INET6, type, 0);
  if (fd < 0) return -1;
  const struct sockaddr *to = is_v4 ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6;
  *connected = connect(fd, to, is_v4 ? sizeof v4 : sizeof v6) == 0;
  if (*connected || errno == EINPROGRESS) return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

void flow_connect(struct flow *flow, const uint8_t address[ADDRESS_SIZE], uint16_t port, bool datagrams) {
  bool connected = false;
  flow->datagrams = datagrams;
  if (datagrams) flow->credit = flow->link->send_credit;
  flow->state = FLOW_CONNECTING;
  flow->fd = open_socket(address, port, datagrams, &connected);
  if (flow->fd < 0 || !flow_watch(flow)) flow_fail(flow, errno);
  else if (connected) begin(flow);
}

/* --- what the kernel tells --- */

static void connected(struct flow *flow) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(flow->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) error = errno;
  if (error) flow_fail(flow, error);
  else begin(flow);
}

void flow_event(uint32_t slot, uint32_t generation, uint32_t events) {
  struct flow *flow = &flows[slot % FLOWS_MAX];
  if (flow->generation != generation || flow->fd < 0) return;
  if (flow->state == FLOW_CONNECTING) {
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) connected(flow);
    return;
  }
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) flow->readable = true;
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) flow->hung_up = true;
  if (events & (EPOLLOUT | EPOLLERR)) flow_pump(flow);
  else flow_wake(flow);
}

int64_t flows_deadline(void) { return awaited_first ? awaited_first->until_ms : INT64_MAX; }

void flows_expire(int64_t now) {
  while (awaited_first && awaited_first->until_ms <= now) flow_fail(awaited_first, ETIMEDOUT);
}

void flows_trim(void) {
  for (uint32_t i = 0; i < used_slots; i++) {
    if (flows[i].state != FLOW_FREE && flows[i].ring.used == 0) ring_clear(&flows[i].ring);
  }
}
