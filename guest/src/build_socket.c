#define _GNU_SOURCE
#include "build_mount.h"
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * A socket in the workload's root whose clients' messages the host answers, one after the other: a message is its length (u32, big
 * endian, as ssh-agents have it) and as many bytes.
 */

enum { CLIENTS_MAX = 16, HEADER = 4, MESSAGE_MAX = 1 << 18, SEND_TIMEOUT_S = 10 };

struct client {
  int fd; /* -1: free */
  uint32_t used;
  uint8_t bytes[HEADER + MESSAGE_MAX];
};

static struct client clients[CLIENTS_MAX];
static uint8_t answer[HEADER + MESSAGE_MAX];

static _Noreturn void cannot(const char *doing, const char *path) {
  int error = errno;
  task_fail(error, STAGE_OTHER, "%s %.200s: %s", doing, path, strerror(error));
}

static int listen_at(const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", name);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 || chmod(name, 0600) < 0 || listen(fd, CLIENTS_MAX) < 0) cannot("preparing the socket", name);
  return fd;
}

static uint32_t length_of(const uint8_t *bytes) { return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3]; }

/* The host's pipes: whoever cannot use them has nothing more to do. */
static void tell_host(const uint8_t *bytes, size_t length) {
  while (length > 0) {
    ssize_t written = write(TASK_OUTPUT, bytes, length);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) _exit(0);
    bytes += written;
    length -= (size_t)written;
  }
}

static void hear_host(uint8_t *bytes, size_t length) {
  while (length > 0) {
    ssize_t got = read(TASK_INPUT, bytes, length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) _exit(0);
    bytes += got;
    length -= (size_t)got;
  }
}

static bool send_all(int fd, const uint8_t *bytes, size_t length) {
  while (length > 0) {
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes += sent;
    length -= (size_t)sent;
  }
  return true;
}

static void drop(struct client *client) {
  close(client->fd);
  client->fd = -1;
}

static void ask_host(struct client *client, uint32_t length) {
  tell_host(client->bytes, HEADER + length);
  hear_host(answer, HEADER);
  uint32_t size = length_of(answer);
  if (size > MESSAGE_MAX) _exit(1);
  hear_host(answer + HEADER, size);
  client->used = 0;
  if (!send_all(client->fd, answer, HEADER + size)) drop(client);
}

/* Takes what there is of the client's message, and asks the host when it is whole. A client waits for its answer before it sends more. */
static void serve(struct client *client) {
  uint32_t wanted = HEADER;
  if (client->used >= HEADER) wanted += length_of(client->bytes);
  ssize_t got = recv(client->fd, client->bytes + client->used, wanted - client->used, MSG_DONTWAIT);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got <= 0) {
    drop(client);
    return;
  }
  client->used += (uint32_t)got;
  if (client->used < HEADER) return;
  uint32_t length = length_of(client->bytes);
  if (length == 0 || length > MESSAGE_MAX) drop(client);
  else if (client->used == HEADER + length) ask_host(client, length);
}

static void accept_one(int listener) {
  size_t i = 0;
  while (i < CLIENTS_MAX && clients[i].fd >= 0) i++;
  if (i == CLIENTS_MAX) return;
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) return;
  /* One that does not read its answer does not keep the others waiting. */
  struct timeval patience = {.tv_sec = SEND_TIMEOUT_S};
  (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  clients[i].fd = fd;
  clients[i].used = 0;
}

static _Noreturn void serve_all(int listener) {
  for (size_t i = 0; i < CLIENTS_MAX; i++) clients[i].fd = -1;
  for (;;) {
    struct pollfd watched[CLIENTS_MAX + 1];
    bool full = true;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
      watched[i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
      full = full && clients[i].fd >= 0;
    }
    watched[CLIENTS_MAX] = (struct pollfd){.fd = full ? -1 : listener, .events = POLLIN};
    if (poll(watched, CLIENTS_MAX + 1, -1) < 0 && errno != EINTR) _exit(1);
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
      if (watched[i].fd >= 0 && watched[i].revents) serve(&clients[i]);
    }
    if (watched[CLIENTS_MAX].revents) accept_one(listener);
  }
}

void socket_run(const struct mount_request *request) {
  static const uint8_t ready[HEADER];
  mount_enter_private_place();
  int listener = listen_at("socket");
  mount_move(mount_clone(AT_FDCWD, "socket"), request->path);
  tell_host(ready, sizeof ready);
  serve_all(listener);
}
