#define _GNU_SOURCE
#include "link.h"

#include "hold.h"
#include "log.h"
#include "loop.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

enum { READS_PER_TURN = 32, WRITE_MAX = 32768 };

/* Apart from `links`, so that they are no part of the binary. */
static uint8_t in_bytes[LINKS][IN_SIZE];
static uint8_t out_bytes[LINKS][OUT_SIZE];

struct link links[LINKS] = {
  {.index = LINK_CONTROL, .name = "control", .send_credit = 65536, .receive_window = 65536, .fd = -1, .in = in_bytes[0], .out = out_bytes[0]},
  {.index = LINK_BULK, .name = "bulk", .send_credit = 1 << 20, .receive_window = 1 << 18, .fd = -1, .in = in_bytes[1], .out = out_bytes[1]},
};

void link_init(struct link *link, int fd) {
  link->fd = fd;
  link->readable = true;
  link->lost = true;
  /* Not accounted and not huge: only what a large OPEN touches becomes memory. */
  link->partial_bytes = mmap(NULL, OPEN_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (link->partial_bytes == MAP_FAILED) fatal("mmap: %s", strerror(errno));
  madvise(link->partial_bytes, OPEN_MAX, MADV_NOHUGEPAGE);
  if (!loop_watch(fd, EPOLLIN | EPOLLET, ROLE_LINK, link->index, 0)) fatal("epoll_ctl of a link: %s", strerror(errno));
}

void link_event(struct link *link, uint32_t events) {
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) link->readable = true;
  if (events & EPOLLOUT && link->blocked) {
    link->blocked = false;
    loop_rewatch(link->fd, EPOLLIN | EPOLLET, ROLE_LINK, link->index, 0);
  }
}

/* --- out --- */

size_t link_room(struct link *link) {
  if (link->out_head > 0 && OUT_SIZE - link->out_tail < ROOM_TO_SERVE) {
    memmove(link->out, link->out + link->out_head, link->out_tail - link->out_head);
    link->out_tail -= link->out_head;
    link->out_head = 0;
  }
  return OUT_SIZE - link->out_tail;
}

void link_add(struct link *link, const void *bytes, size_t length) {
  if (length == 0) return;
  memcpy(link->out + link->out_tail, bytes, length);
  link->out_tail += length;
}

void link_frame(struct link *link, const struct frame *frame, const void *payload) {
  uint8_t header[FRAME_HEADER];
  frame_encode(header, frame);
  link_add(link, header, sizeof header);
  link_add(link, payload, frame->length);
}

uint8_t *link_data_space(struct link *link) { return link->out + link->out_tail + FRAME_HEADER; }

void link_data(struct link *link, uint32_t stream, uint8_t channel, size_t length) {
  struct frame frame = {.length = (uint32_t)length, .type = FRAME_DATA, .channel = channel, .stream = stream};
  frame_encode(link->out + link->out_tail, &frame);
  link->out_tail += FRAME_HEADER + length;
}

static void flush(struct link *link) {
  while (link->out_head < link->out_tail && !link->blocked) {
    size_t length = link->out_tail - link->out_head;
    ssize_t written = write(link->fd, link->out + link->out_head, length < WRITE_MAX ? length : WRITE_MAX);
    if (written > 0) {
      link->out_head += (size_t)written;
    } else if (written < 0 && errno == EINTR) {
      continue;
    } else {
      /* Full, or nobody at the other end yet: in both cases the kernel says when to go on. */
      link->blocked = true;
      loop_rewatch(link->fd, EPOLLIN | EPOLLOUT | EPOLLET, ROLE_LINK, link->index, 0);
    }
  }
  if (link->out_head == link->out_tail) link->out_head = link->out_tail = 0;
}

void link_drain(struct link *link, int timeout_ms) {
  int64_t end = now_ms() + timeout_ms;
  for (;;) {
    link->blocked = false;
    flush(link);
    int64_t left = end - now_ms();
    if (link->out_tail == 0 || left <= 0) return;
    struct pollfd wait = {.fd = link->fd, .events = POLLOUT};
    if (poll(&wait, 1, (int)left) < 0 && errno != EINTR) return;
    if (wait.revents & (POLLHUP | POLLERR)) return;
  }
}

void link_ready(struct link *link, struct turn *turn) {
  if (turn->queued) return;
  turn->queued = true;
  turn->next = NULL;
  if (link->ready_last) link->ready_last->next = turn;
  else link->ready_first = turn;
  link->ready_last = turn;
}

static struct turn *take_ready(struct link *link) {
  struct turn *turn = link->ready_first;
  link->ready_first = turn->next;
  if (!link->ready_first) link->ready_last = NULL;
  turn->queued = false;
  return turn;
}

void link_unready(struct link *link, struct turn *turn) {
  struct turn **at = &link->ready_first;
  struct turn *before = NULL;
  while (*at && *at != turn) {
    before = *at;
    at = &before->next;
  }
  turn->queued = false;
  if (!*at) return;
  *at = turn->next;
  if (link->ready_last == turn) link->ready_last = before;
}

/* --- in --- */

/* Bytes of `in` up to and with the next mark, or all that cannot be the beginning of one. */
static size_t skip_noise(struct link *link, const uint8_t *in, size_t length) {
  for (size_t at = 0; at < length; at++) {
    size_t have = length - at < MARK_SIZE ? length - at : MARK_SIZE;
    if (memcmp(in + at, MARK, have) != 0) continue;
    if (have < MARK_SIZE) return at;
    link->lost = false;
    return at + MARK_SIZE;
  }
  return length;
}

/* Takes one frame or mark; gives the bytes used, 0 when it is not complete. */
static size_t take_one(struct link *link, uint8_t *in, size_t length) {
  if (link->lost) return skip_noise(link, in, length);
  if (length < MARK_SIZE) return 0;
  if (memcmp(in, MARK, MARK_SIZE) == 0) return MARK_SIZE;
  if (length < FRAME_HEADER) return 0;
  struct frame frame;
  frame_decode(&frame, in);
  if (frame.length > FRAME_PAYLOAD_MAX) {
    link_fault(link, "a frame of %u bytes", frame.length);
    return 1;
  }
  if (length < FRAME_HEADER + frame.length) return 0;
  link_dispatch(link, &frame, in + FRAME_HEADER);
  return FRAME_HEADER + frame.length;
}

static void take_input(struct link *link) {
  size_t at = 0;
  while (at < link->in_used && link_room(link) >= ROOM_TO_ANSWER) {
    size_t used = take_one(link, link->in + at, link->in_used - at);
    if (used == 0) break;
    at += used;
  }
  if (at > 0 && at < link->in_used) memmove(link->in, link->in + at, link->in_used - at);
  link->in_used -= at;
  link->starved = link->in_used > 0 && link_room(link) < ROOM_TO_ANSWER;
}

static void hang_up(struct link *link) {
  /* A virtio port reads as ended while no host is there, and says so once; a socket ends for ever. */
  if (getpid() == 1 || link->index != LINK_CONTROL) return;
  /* So that no half-written file is taken for a whole one because its pipe has ended. */
  for (int i = 0; i < LINKS; i++) streams_detach(&links[i]);
  _exit(0);
}

/* Whether a command that starts goes first. */
static bool is_held(const struct link *link) { return link->index == LINK_BULK && hold_active(); }

static void receive(struct link *link) {
  if (link->in_used > 0) take_input(link);
  for (int i = 0; i < READS_PER_TURN && link->readable && !is_held(link); i++) {
    if (link->in_used == IN_SIZE || link_room(link) < ROOM_TO_ANSWER) return;
    ssize_t got = read(link->fd, link->in + link->in_used, IN_SIZE - link->in_used);
    if (got > 0) {
      link->in_used += (size_t)got;
      if (link->index == LINK_BULK) hold_spend((size_t)got);
      take_input(link);
    } else if (got < 0 && errno == EINTR) {
      continue;
    } else {
      link->readable = false;
      if (got == 0) hang_up(link);
    }
  }
}

static void serve(struct link *link) {
  struct turn *turn = take_ready(link);
  size_t before = link->out_tail;
  turn->serve(turn);
  if (link->index == LINK_BULK) hold_spend(link->out_tail - before);
}

static bool can_serve(struct link *link) {
  return link->ready_first && !link->blocked && !is_held(link) && link_room(link) >= ROOM_TO_SERVE;
}

static bool can_receive(struct link *link) {
  return (link->readable || link->starved) && !is_held(link) && link_room(link) >= ROOM_TO_ANSWER;
}

bool link_work(struct link *link) {
  if (link->fd < 0 || is_held(link)) return false;
  receive(link);
  while (can_serve(link)) serve(link);
  flush(link);
  return can_receive(link) || can_serve(link);
}
