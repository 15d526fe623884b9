#define _GNU_SOURCE
#include "netlink.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE_SIZE = 512, ANSWER_SIZE = 1024 };

/* The one message that is being built. */
static union {
  struct nlmsghdr header;
  uint8_t bytes[MESSAGE_SIZE];
} message;

int netlink_open(void) { return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE); }

static void *end(void) { return message.bytes + NLMSG_ALIGN(message.header.nlmsg_len); }

/* Starts a message with a body of zeroes. */
static void *start(uint16_t type, uint16_t flags, size_t body) {
  memset(&message, 0, sizeof message);
  message.header.nlmsg_type = type;
  message.header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
  message.header.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
  return NLMSG_DATA(&message.header);
}

static void *add_space(size_t size) {
  void *at = end();
  message.header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(message.header.nlmsg_len) + NLMSG_ALIGN(size));
  return at;
}

static struct rtattr *add(unsigned short type, const void *value, size_t size) {
  struct rtattr *attribute = add_space(RTA_LENGTH(size));
  attribute->rta_type = type;
  attribute->rta_len = (unsigned short)RTA_LENGTH(size);
  if (size > 0) memcpy(RTA_DATA(attribute), value, size);
  return attribute;
}

/* Everything added since belongs to `attribute`. */
static void close_nest(struct rtattr *attribute) {
  attribute->rta_len = (unsigned short)((uint8_t *)end() - (uint8_t *)attribute);
}

static int ask(int fd) {
  union {
    struct nlmsghdr header;
    uint8_t bytes[ANSWER_SIZE];
  } answer;
  if (send(fd, &message, message.header.nlmsg_len, 0) < 0) return errno;
  ssize_t got = recv(fd, &answer, sizeof answer, 0);
  if (got < 0) return errno;
  if ((size_t)got < NLMSG_LENGTH(sizeof(struct nlmsgerr)) || answer.header.nlmsg_type != NLMSG_ERROR) return EPROTO;
  const struct nlmsgerr *result = NLMSG_DATA(&answer.header);
  return -result->error;
}

int netlink_add_pair(int fd, const char *name, const char *peer_name, int peer_namespace, uint32_t mtu) {
  start(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
  add(IFLA_IFNAME, name, strlen(name) + 1);
  add(IFLA_MTU, &mtu, sizeof mtu);
  struct rtattr *link = add(IFLA_LINKINFO, NULL, 0);
  add(IFLA_INFO_KIND, "veth", sizeof "veth");
  struct rtattr *data = add(IFLA_INFO_DATA, NULL, 0);
  struct rtattr *peer = add(VETH_INFO_PEER, NULL, 0);
  add_space(sizeof(struct ifinfomsg));
  add(IFLA_IFNAME, peer_name, strlen(peer_name) + 1);
  add(IFLA_MTU, &mtu, sizeof mtu);
  add(IFLA_NET_NS_FD, &peer_namespace, sizeof peer_namespace);
  close_nest(peer);
  close_nest(data);
  close_nest(link);
  return ask(fd);
}

int netlink_raise(int fd, unsigned interface) {
  struct ifinfomsg *body = start(RTM_NEWLINK, 0, sizeof *body);
  body->ifi_index = (int)interface;
  body->ifi_flags = body->ifi_change = IFF_UP;
  return ask(fd);
}

static uint8_t family(size_t size) { return size == 4 ? AF_INET : AF_INET6; }

int netlink_add_address(int fd, unsigned interface, const void *address, size_t size) {
  struct ifaddrmsg *body = start(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sizeof *body);
  body->ifa_family = family(size);
  body->ifa_prefixlen = (uint8_t)(size * 8);
  body->ifa_index = interface;
  body->ifa_scope = RT_SCOPE_UNIVERSE;
  /* There is nobody else who could have it. */
  body->ifa_flags = IFA_F_NODAD;
  add(IFA_LOCAL, address, size);
  add(IFA_ADDRESS, address, size);
  return ask(fd);
}

static struct rtmsg *start_route(size_t size, uint8_t type, uint8_t scope, unsigned interface) {
  struct rtmsg *body = start(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sizeof *body);
  body->rtm_family = family(size);
  body->rtm_table = RT_TABLE_MAIN;
  body->rtm_protocol = RTPROT_BOOT;
  body->rtm_scope = size == 4 ? scope : RT_SCOPE_UNIVERSE;
  body->rtm_type = type;
  add(RTA_OIF, &interface, sizeof interface);
  return body;
}

int netlink_add_host_route(int fd, unsigned interface, const void *address, size_t size) {
  struct rtmsg *body = start_route(size, RTN_UNICAST, RT_SCOPE_LINK, interface);
  body->rtm_dst_len = (uint8_t)(size * 8);
  add(RTA_DST, address, size);
  return ask(fd);
}

int netlink_add_default_route(int fd, unsigned interface, const void *gateway, size_t size) {
  struct rtmsg *body = start_route(size, RTN_UNICAST, RT_SCOPE_UNIVERSE, interface);
  body->rtm_flags = RTNH_F_ONLINK;
  add(RTA_GATEWAY, gateway, size);
  return ask(fd);
}

int netlink_own_everything(int fd, unsigned loopback, size_t size) {
  start_route(size, RTN_LOCAL, RT_SCOPE_HOST, loopback);
  return ask(fd);
}
