/* Connections between a socket here and a stream to the host, in either direction; and UDP the same way. */
#ifndef FLOW_H
#define FLOW_H

#include "link.h"
#include "packet.h"
#include "ring.h"
#include "turn.h"
#include "window.h"

enum {
  FLOWS_MAX = 4096,
  /* What the host may have on the way to one flow, and what is kept for a socket that is not read. The second is for flows whose
     socket takes all at once: on a busy host it may take milliseconds to be told of more credit. More than the port's 128 pages would
     be worse: for as long as all of them are full, the kernel has to tell QEMU of each one that it has emptied. */
  FLOW_WINDOW = 1 << 18,
  FLOW_WINDOW_MOST = 3 << 17,
  /* What a connection may send until the host has taken some: many that it does not read shall not fill its memory. */
  FLOW_CREDIT = 1 << 14,
};

enum flow_state { FLOW_FREE, FLOW_AWAITED, FLOW_CONNECTING, FLOW_OPEN, FLOW_FAILED };

struct flow {
  struct turn turn;
  struct link *link;
  uint32_t id;
  uint32_t generation;  /* tells late events of a former flow */
  enum flow_state state;
  int fd;               /* -1 while it is awaited */
  int error;            /* with FLOW_FAILED */
  uint32_t credit;      /* bytes the host still allows */
  struct window window;
  struct ring ring;     /* what the socket did not take yet */
  bool datagrams;
  bool started_due;
  bool readable;        /* a read may give something */
  bool hung_up;         /* the other end says no more, so only the end of file stops the reading */
  bool end_sent;
  bool ending;          /* the host's END came: shut the socket once the ring is empty */
  bool shut;
  struct endpoints ends; /* of an awaited one */
  int64_t until_ms;
  struct flow *next_of_id;
  struct flow *next_free;
  struct flow *next_awaited;
};

void flows_init(void);
struct flow *flow_find(const struct link *link, uint32_t id);

/* NULL when the table is full. */
struct flow *flow_allocate(struct link *link, uint32_t id);
/* Waits for the connection between `ends` to be accepted. */
void flow_await(struct flow *flow, const struct endpoints *ends);
/* The awaited flow between these ends gets its socket; false when there is none, and the socket is the caller's. */
bool flow_accepted(int fd, const struct endpoints *ends);
/* Connects a new socket to an address of the workload. */
void flow_connect(struct flow *flow, const uint8_t address[ADDRESS_SIZE], uint16_t port, bool datagrams);

/* Frames of the host; NULL, or why the session must end. */
const char *flow_data(struct flow *flow, const struct frame *frame, const uint8_t *bytes);
const char *flow_end(struct flow *flow);
const char *flow_credit(struct flow *flow, uint32_t more);

/* Forgets the flow; whoever is at the socket's other end sees a reset. */
void flow_reset(struct flow *flow);
void flows_detach(const struct link *link);
void flow_event(uint32_t slot, uint32_t generation, uint32_t events);
int64_t flows_deadline(void);
void flows_expire(int64_t now);
/* Gives back memory that only past traffic needed. */
void flows_trim(void);

/* Between flow.c and flow_io.c. */
void flow_fail(struct flow *flow, int error);
void flow_wake(struct flow *flow);
void flow_free(struct flow *flow);
bool flow_watch(struct flow *flow);
void flow_pump(struct flow *flow);
void flow_serve(struct turn *turn);

#endif
