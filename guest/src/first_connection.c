#define _GNU_SOURCE
#include "first_connection.h"

#include "log.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Broken off, not closed: it leaves neither a socket that waits nor a memory of how fast it was. */
static void break_off(int fd) {
  const struct linger none = {.l_onoff = 1};
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  close(fd);
}

/* Nobody has to accept it: the kernel answers for who listens. */
static int connect_to_itself(const struct sockaddr *address, socklen_t size) {
  struct sockaddr_storage listening;
  socklen_t length = sizeof listening;
  int server = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (server < 0) return errno;
  int client = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool connected = client >= 0 && bind(server, address, size) == 0 && listen(server, 1) == 0 &&
                   getsockname(server, (struct sockaddr *)&listening, &length) == 0 &&
                   connect(client, (const struct sockaddr *)&listening, length) == 0;
  int error = connected ? 0 : errno;
  if (client >= 0) break_off(client);
  close(server);
  return error;
}

void make_first_connections(void) {
  const struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  int error = connect_to_itself((const struct sockaddr *)&v4, sizeof v4);
  if (!error) error = connect_to_itself((const struct sockaddr *)&v6, sizeof v6);
  if (error) log_line("connecting over the loopback: %s", strerror(error));
}
