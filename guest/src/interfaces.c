#define _GNU_SOURCE
#include "interfaces.h"

#include "netlink.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#define OURS "agent0"
#define THEIRS "eth0"
#define IPV6 "/proc/sys/net/ipv6/conf/"

/* The largest that an IPv4 packet can be: nothing is ever put on a wire. */
enum { MTU = 65535, LOOPBACK = 1 };

static const uint8_t guest_v4[4] = {10, 0, 2, 15}, gateway_v4[4] = {10, 0, 2, 2};
/* fd73:6d61:6368::15 and ::2 */
static const uint8_t guest_v6[16] = {0xfd, 0x73, 0x6d, 0x61, 0x63, 0x68, [15] = 0x15};
static const uint8_t gateway_v6[16] = {0xfd, 0x73, 0x6d, 0x61, 0x63, 0x68, [15] = 0x02};

static int put(const char *path, const char *value) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  int error = write(fd, value, strlen(value)) < 0 ? errno : 0;
  close(fd);
  return error;
}

#define TRY(STEP, CALL)     \
  do {                      \
    *step = (STEP);         \
    int error_ = (CALL);    \
    if (error_) return error_; \
  } while (0)

static int add_way(int fd, unsigned interface, const void *own, const void *other, size_t size) {
  int error = netlink_add_address(fd, interface, own, size);
  return error ? error : netlink_add_host_route(fd, interface, other, size);
}

static int set_up_ours(int fd, unsigned interface, const char **step) {
  TRY("loopback of the agent", netlink_raise(fd, LOOPBACK));
  /* There is nobody on this wire who could have the same address, or be a router. */
  TRY("no search for owners of addresses", put(IPV6 OURS "/accept_dad", "0"));
  TRY("no router advertisements", put(IPV6 OURS "/accept_ra", "0"));
  TRY("soon done with telling of multicast groups", put(IPV6 OURS "/mldv2_unsolicited_report_interval", "1"));
  TRY(OURS " up", netlink_raise(fd, interface));
  TRY("IPv4 of " OURS, add_way(fd, interface, gateway_v4, guest_v4, sizeof guest_v4));
  TRY("IPv6 of " OURS, add_way(fd, interface, gateway_v6, guest_v6, sizeof guest_v6));
  TRY("owning all of IPv4", netlink_own_everything(fd, LOOPBACK, sizeof guest_v4));
  TRY("owning all of IPv6", netlink_own_everything(fd, LOOPBACK, sizeof guest_v6));
  /* Else every ping would be answered, from wherever it was meant for. */
  TRY("IPv4 echo", put("/proc/sys/net/ipv4/icmp_echo_ignore_all", "1"));
  TRY("IPv6 echo", put("/proc/sys/net/ipv6/icmp/echo_ignore_all", "1"));
  TRY("the backlog of accepted connections", put("/proc/sys/net/core/somaxconn", "4096"));
  TRY("the backlog of new connections", put("/proc/sys/net/ipv4/tcp_max_syn_backlog", "4096"));
  return 0;
}

static int set_up_theirs(int fd, const char **step) {
  unsigned interface = if_nametoindex(THEIRS);
  TRY("finding " THEIRS, interface ? 0 : errno);
  TRY("loopback", netlink_raise(fd, LOOPBACK));
  TRY("no search for owners of addresses", put(IPV6 THEIRS "/accept_dad", "0"));
  TRY("no router advertisements", put(IPV6 THEIRS "/accept_ra", "0"));
  TRY("soon done with telling of multicast groups", put(IPV6 THEIRS "/mldv2_unsolicited_report_interval", "1"));
  TRY(THEIRS " up", netlink_raise(fd, interface));
  TRY("IPv4 of " THEIRS, add_way(fd, interface, guest_v4, gateway_v4, sizeof guest_v4));
  TRY("IPv6 of " THEIRS, add_way(fd, interface, guest_v6, gateway_v6, sizeof guest_v6));
  TRY("IPv4's default route", netlink_add_default_route(fd, interface, gateway_v4, sizeof gateway_v4));
  TRY("IPv6's default route", netlink_add_default_route(fd, interface, gateway_v6, sizeof gateway_v6));
  /* As docker has them: a user of the image may listen on port 80 and ping. */
  TRY("unprivileged ports", put("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"));
  TRY("unprivileged ping", put("/proc/sys/net/ipv4/ping_group_range", "0 2147483647"));
  return 0;
}

static int set_up(int ours, int *theirs, struct interception *sockets, const char **step) {
  int agents = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (agents < 0) return errno;
  int error = unshare(CLONE_NEWNET) < 0 ? errno : 0;
  int workloads = error ? -1 : open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  *theirs = error ? -1 : netlink_open();
  if (!error && (workloads < 0 || *theirs < 0)) error = errno;
  /* What follows needs /proc/sys of the agent's own namespace. */
  if (!error && setns(agents, CLONE_NEWNET) < 0) error = errno;
  *step = "a pair of interfaces";
  if (!error) error = netlink_add_pair(ours, OURS, THEIRS, workloads, MTU);
  unsigned interface = error ? 0 : if_nametoindex(OURS);
  if (!error) error = set_up_ours(ours, interface, step);
  if (!error) {
    *step = "intercepting";
    error = intercept_open(sockets, interface);
  }
  if (!error && setns(workloads, CLONE_NEWNET) < 0) error = errno;
  if (workloads >= 0) close(workloads);
  close(agents);
  return error ? error : set_up_theirs(*theirs, step);
}

int interfaces_set_up(struct interception *sockets, const char **step) {
  *step = "network namespaces";
  int theirs = -1, ours = netlink_open();
  if (ours < 0) return errno;
  int error = set_up(ours, &theirs, sockets, step);
  close(ours);
  if (theirs >= 0) close(theirs);
  return error;
}
