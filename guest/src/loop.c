#define _GNU_SOURCE
#include "loop.h"

#include "flow.h"
#include "hold.h"
#include "link.h"
#include "log.h"
#include "network.h"
#include "power.h"
#include "reap.h"
#include "stream.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { EVENTS = 64 };

static int epoll_fd = -1;
static int signal_fd = -1;

static uint64_t pack(enum role role, uint32_t slot, uint32_t generation) {
  return (uint64_t)generation << 32 | (uint64_t)slot << 8 | (uint64_t)role;
}

static bool control(int operation, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data.u64 = data};
  return epoll_ctl(epoll_fd, operation, fd, &event) == 0;
}

bool loop_watch(int fd, uint32_t events, enum role role, uint32_t slot, uint32_t generation) {
  return control(EPOLL_CTL_ADD, fd, events, pack(role, slot, generation));
}

bool loop_rewatch(int fd, uint32_t events, enum role role, uint32_t slot, uint32_t generation) {
  return control(EPOLL_CTL_MOD, fd, events, pack(role, slot, generation));
}

void loop_init(void) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  if (sigprocmask(SIG_SETMASK, &signals, NULL) < 0) fatal("sigprocmask: %s", strerror(errno));
  if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) fatal("signal: %s", strerror(errno));
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (epoll_fd < 0 || signal_fd < 0) fatal("epoll or signalfd: %s", strerror(errno));
  if (!loop_watch(signal_fd, EPOLLIN, ROLE_SIGNALS, 0, 0)) fatal("epoll_ctl: %s", strerror(errno));
}

static void take_signals(void) {
  struct signalfd_siginfo info[4];
  while (read(signal_fd, info, sizeof info) > 0) continue;
  reap();
}

static void take_events(int timeout_ms) {
  struct epoll_event events[EVENTS];
  int count = epoll_wait(epoll_fd, events, EVENTS, timeout_ms);
  if (count < 0 && errno != EINTR) fatal("epoll_wait: %s", strerror(errno));
  bool children = false;
  for (int i = 0; i < count; i++) {
    uint64_t data = events[i].data.u64;
    unsigned role = data & 0xff;
    uint32_t slot = (data >> 8) & 0xffffff;
    if (role == ROLE_LINK) link_event(&links[slot], events[i].events);
    else if (role == ROLE_SIGNALS) children = true;
    else if (role == ROLE_FLOW) flow_event(slot, (uint32_t)(data >> 32), events[i].events);
    else if (role == ROLE_NETWORK) network_event(slot);
    else stream_event(slot, (uint32_t)(data >> 32), role, events[i].events);
  }
  /* After the other events, so that a task's last words are heard before its end. */
  if (children) take_signals();
}

/* Milliseconds until something is to be given up, or -1. */
static int until_next(void) {
  int64_t first = streams_deadline() < flows_deadline() ? streams_deadline() : flows_deadline();
  if (hold_deadline() < first) first = hold_deadline();
  if (first == INT64_MAX) return -1;
  int64_t left = first - now_ms();
  return left < 0 ? 0 : (int)left;
}

void loop_run(void) {
  for (;;) {
    bool busy = false;
    for (int i = 0; i < LINKS; i++) busy |= link_work(&links[i]);
    busy |= reap_rest();
    power_check();
    take_events(busy ? 0 : until_next());
    streams_expire();
    hold_expire(now_ms());
    flows_expire(now_ms());
  }
}
