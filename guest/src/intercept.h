/*
 * The sockets that get everything the workload sends into its network, whatever the destination: they are in the agent's own
 * network namespace, where every address is local (docs/network.md).
 */
#ifndef INTERCEPT_H
#define INTERCEPT_H

#include "packet.h"

#include <sys/types.h>

struct interception {
  int syns;      /* a packet socket: each connection's first packet */
  int listener;  /* the connections that were let through */
  int datagrams; /* UDP */
};

/* Opens the sockets; call it where the packets arrive. `interface` is where they come in. 0 or an errno. */
int intercept_open(struct interception *sockets, unsigned interface);

/* The next whole packet, at most `size` bytes of it; -1 and EAGAIN when there is none. */
ssize_t intercept_syn(const struct interception *sockets, uint8_t *packet, size_t size);
/* The next datagram and its ends. */
ssize_t intercept_datagram(const struct interception *sockets, struct endpoints *ends, uint8_t *content, size_t size);
/* The next connection and its ends. */
int intercept_accept(const struct interception *sockets, struct endpoints *ends);

/* To the workload, or as from it to the listener, from any address to any. What cannot be sent is lost, as on any network. */
void intercept_send(const uint8_t *packet, size_t length);
void intercept_send_datagram(const struct endpoints *ends, const uint8_t *content, size_t length);

#endif
