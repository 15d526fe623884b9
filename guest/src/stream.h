/* Streams: what the host opened, the task behind each, and the credit of its channels. */
#ifndef STREAM_H
#define STREAM_H

#include "request.h"
#include "ring.h"
#include "turn.h"
#include "window.h"

#include <sys/types.h>

struct link;
struct relay;

enum { STREAMS_MAX = 1024, OUTPUTS = 2, RESULT_SIZE = 512 };

enum due { DUE_STARTED = 1, DUE_EXITED = 2, DUE_CREDIT = 4, DUE_MOUNTED = 8 };

/* A channel from the task to the host. */
struct output {
  int fd;             /* -1 once it has ended */
  uint32_t credit;    /* bytes the host still allows */
  int64_t owed;       /* after the exit: bytes that were in the pipe when the process ended */
  bool readable;      /* a read may give something */
  bool hung_up;       /* no writer is left, so only end of file stops the reading */
  bool open;          /* END is still to be sent */
  bool truncated;
};

/* The channel from the host to the task. What the pipe does not take at once waits in its ring. */
struct input {
  int fd;             /* -1 once it is closed */
  struct window window;
  bool ending;        /* END came: close once the ring is empty */
  bool watched;       /* epoll tells when the pipe has room */
  struct ring ring;
};

struct stream {
  struct turn turn;
  uint32_t id;
  uint32_t generation; /* odd while in use; tells late events of a former stream */
  struct link *link;   /* NULL: an orphan, whose session has ended */
  enum request_kind kind;
  pid_t pid;           /* 0 once reaped */
  pid_t workload_pid;  /* as the workload sees it */
  int status_fd;       /* -1 once the task has said how it went */
  int wait_status;
  uint8_t due;
  bool exited;
  bool in_grace;
  bool tty;
  uint32_t cgroup;     /* of the command, or 0 */
  uint32_t step;       /* of a plan: the command that has ended */
  bool has_steps;
  struct plan *plan;   /* what is still to come (plan.c) */
  struct keep *keep;   /* output that outlives the stream (keep.c) */
  int64_t grace_end_ms;
  struct input input;
  struct output outputs[OUTPUTS];
  struct relay *relay; /* of a host folder's stream (fuse.c) */
  size_t result_used;
  uint8_t result[RESULT_SIZE]; /* a built-in task's last RESULT, or why a command did not start */
};

void streams_init(void);
uint32_t stream_slot(const struct stream *stream);

/* What is in a slot; NULL when nothing is. */
struct stream *stream_at(uint32_t slot);

/* NULL when there is none of that number on the link. */
struct stream *stream_find(const struct link *link, uint32_t id);

/* Opens what the host asked for; NULL, or why the link's session must end. */
const char *stream_open(struct link *link, uint32_t id, struct request *request);

/* Frames for a stream (stream_frames.c); NULL, or why the session must end. */
const char *stream_data(struct link *link, const struct frame *frame, const uint8_t *bytes);
const char *stream_end(struct link *link, const struct frame *frame);
const char *stream_credit(struct link *link, const struct frame *frame, const uint8_t *bytes);
const char *stream_control(struct link *link, const struct frame *frame, uint8_t *bytes);

void stream_signal(const struct stream *stream, int signal, bool group);

/* The host lets go of the command, which lives on. */
void stream_detach(struct stream *stream);

/* Forgets the stream if it is still there; what it runs is killed. */
void stream_close(struct link *link, uint32_t id);

/* The link's session has ended: exec'd processes live on without their streams, all else is stopped. */
void streams_detach(struct link *link);

/* Frees the slot when nothing more can happen to the stream. */
void stream_settle(struct stream *stream);

/* Puts the stream on its link's list if it has something to say. */
void stream_wake(struct stream *stream);

void stream_close_output(struct stream *stream, int channel);

/* Pipes from the host to the task (input.c), */
void input_init(void);
void input_open(struct stream *stream);
void input_take(struct stream *stream, const uint8_t *bytes, uint32_t length);
void input_pump(struct stream *stream);
void input_close(struct stream *stream);
/* Bytes have left the window: some of it may be given back. */
void input_consumed(struct stream *stream, uint32_t length);
/* and from the task to the host (output.c). The stream has no session: its output is thrown away until the process ends. */
void output_orphan(struct stream *stream);
void output_event(struct stream *stream, int channel, uint32_t events);
/* The process has ended: what is in its pipes now is its own; what comes later is another's. */
void output_exited(struct stream *stream);
void output_expire(struct stream *stream);

/* Writes what the stream has to say now: at most one DATA frame of each channel. The link has ROOM_TO_SERVE. */
void stream_serve(struct turn *turn);

/* The stream whose command or task a process is, or NULL. */
struct stream *stream_of_process(pid_t pid);
void stream_exited(struct stream *stream, int wait_status);
void stream_event(uint32_t slot, uint32_t generation, unsigned role, uint32_t events);

/* When the next grace period ends, or INT64_MAX. */
int64_t streams_deadline(void);
void streams_expire(void);

/* Gives back memory that only past streams needed. */
void streams_trim(void);

int64_t now_ms(void);

#endif
