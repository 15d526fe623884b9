/* The network's interfaces, addresses and routes, by rtnetlink. */
#ifndef NETLINK_H
#define NETLINK_H

#include <stddef.h>
#include <stdint.h>

/* A socket for the network namespace that the process is in now; -1 and errno when there is none. */
int netlink_open(void);

/* Each asks and waits for the answer; 0 or an errno. */

/* A pair of interfaces that are each other's other end: `name` here, `peer_name` in the namespace `peer_namespace`. */
int netlink_add_pair(int fd, const char *name, const char *peer_name, int peer_namespace, uint32_t mtu);
int netlink_raise(int fd, unsigned interface);
/* An address of `size` bytes, 4 or 16, and of nothing but itself. */
int netlink_add_address(int fd, unsigned interface, const void *address, size_t size);
/* The way to one address, directly. */
int netlink_add_host_route(int fd, unsigned interface, const void *address, size_t size);
/* The way to all other addresses, through one that is on the interface. */
int netlink_add_default_route(int fd, unsigned interface, const void *gateway, size_t size);
/* Makes every other address the machine's own. */
int netlink_own_everything(int fd, unsigned loopback, size_t size);

#endif
