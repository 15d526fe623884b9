#define _GNU_SOURCE
#include "task.h"
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { POLL_MS = 10, LINE_MAX_ = 256, PORTS_NAMED = 8, PORTS_TEXT = 80, TCP_LISTEN = 0x0a };

/* Some of the ports that are listened on, for the one who waits for another. */
struct ports {
  unsigned port[PORTS_NAMED];
  size_t count;
};

static void add_port(struct ports *ports, unsigned port) {
  for (size_t i = 0; i < ports->count; i++) {
    if (ports->port[i] == port) return;
  }
  if (ports->count < PORTS_NAMED) ports->port[ports->count++] = port;
}

/* A line of /proc/net/tcp: "  0: ADDRESS:PORT ADDRESS:PORT STATE ...", all in hexadecimal. */
static void take_line(const char *line, struct ports *ports, unsigned wanted, bool *found) {
  unsigned port = 0, state = 0;
  if (sscanf(line, "%*u: %*[0-9A-Fa-f]:%4x %*[0-9A-Fa-f]:%*x %2x", &port, &state) != 2 || state != TCP_LISTEN) return;
  if (port == wanted) *found = true;
  add_port(ports, port);
}

/* Reads one table of the workload's network namespace; it is not there when the kernel lacks the protocol. */
static void take_table(const char *name, struct ports *ports, unsigned wanted, bool *found) {
  char path[64] = "/proc/self/net/";
  if (workload_isolated()) snprintf(path, sizeof path, "/proc/%d/net/", (int)workload_init_pid());
  strncat(path, name, sizeof path - strlen(path) - 1);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  char bytes[4096], line[LINE_MAX_];
  size_t used = 0;
  ssize_t got;
  while ((got = read(fd, bytes, sizeof bytes)) > 0) {
    for (ssize_t i = 0; i < got; i++) {
      if (bytes[i] != '\n') {
        if (used < sizeof line - 1) line[used++] = bytes[i];
        continue;
      }
      line[used] = 0;
      used = 0;
      take_line(line, ports, wanted, found);
    }
  }
  close(fd);
}

static bool is_listened_on(struct ports *ports, unsigned port) {
  bool found = false;
  ports->count = 0;
  take_table("tcp", ports, port, &found);
  take_table("tcp6", ports, port, &found);
  return found;
}

static void name_ports(const struct ports *ports, char text[PORTS_TEXT]) {
  size_t used = 0;
  text[0] = 0;
  for (size_t i = 0; i < ports->count && used < PORTS_TEXT; i++) {
    used += (size_t)snprintf(text + used, PORTS_TEXT - used, "%s%u", i ? ", " : "", ports->port[i]);
  }
}

void listener_run(const struct listener_request *request) {
  uint8_t bytes[RESULT_SIZE];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  struct ports ports;
  int64_t end = now_ms() + request->timeout_ms;
  write_kind(&writer, RESULT_DONE);
  while (!is_listened_on(&ports, request->port)) {
    if (now_ms() >= end) {
      char text[PORTS_TEXT];
      name_ports(&ports, text);
      task_fail(ETIMEDOUT, STAGE_OTHER, "nobody listens on port %u%s%s", request->port, ports.count ? ", but on " : "", text);
    }
    struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    nanosleep(&pause, NULL);
  }
  task_done(&writer);
}
