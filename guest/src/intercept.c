#define _GNU_SOURCE
#include "intercept.h"

#include "steer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36
#endif
#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

enum { BACKLOG = 4096, RECEIVE_BUFFER = 1 << 20 };

/* On a SYN that is let through, so that the listener knows it from one whose destination nobody has been asked for yet. */
static const uint32_t let_through = 0x534d4143;

static int raw_v4 = -1, raw_v6 = -1;

static int attach(int fd, struct sock_filter *filter, size_t count) {
  struct sock_fprog program = {.len = (unsigned short)count, .filter = filter};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

/* What the listener takes, seen from the TCP header: no SYN without the mark, and all else. */
static int refuse_unmarked(int fd) {
  struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
    BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 2),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_MARK)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, let_through, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, 0x40000),
    BPF_STMT(BPF_RET | BPF_K, 0),
  };
  return attach(fd, filter, sizeof filter / sizeof *filter);
}

/* What the packet socket takes, seen from the IP header: bare SYNs. */
static int take_syns(int fd) {
  struct sock_filter filter[] = {
    /* 0 */ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL)),
    /* 1 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 5, 0),
    /* 2 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 10),
    /* 3 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
    /* 4 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 8),
    /* 5 */ BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
    /* 6 */ BPF_JUMP(BPF_JMP | BPF_JA, 3, 0, 0),
    /* 7 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),
    /* 8 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 4),
    /* 9 */ BPF_STMT(BPF_LDX | BPF_IMM, 40),
    /*10 */ BPF_STMT(BPF_LD | BPF_B | BPF_IND, 13),
    /*11 */ BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x17),
    /*12 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 1, 0),
    /*13 */ BPF_STMT(BPF_RET | BPF_K, 0),
    /*14 */ BPF_STMT(BPF_RET | BPF_K, 256),
  };
  return attach(fd, filter, sizeof filter / sizeof *filter);
}

static int switch_on(int fd, int level, int option) {
  int one = 1;
  return setsockopt(fd, level, option, &one, sizeof one);
}

/* One socket for both versions of IP, bound to no port in particular: what comes is steered to it. */
static int open_inet(int type) {
  struct sockaddr_in6 any = {.sin6_family = AF_INET6};
  int zero = 0, fd = socket(AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  /* Answers leave with foreign source addresses. */
  if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero) < 0 || switch_on(fd, IPPROTO_IPV6, IPV6_TRANSPARENT) < 0 ||
      bind(fd, (struct sockaddr *)&any, sizeof any) < 0) {
    close(fd);
    return -1;
  }
  return fd;
}

static int open_syns(unsigned interface) {
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)interface};
  int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  if (take_syns(fd) < 0 || switch_on(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING) < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    close(fd);
    return -1;
  }
  return fd;
}

static int open_raw(int family) {
  int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
  if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &let_through, sizeof let_through) < 0) {
    close(fd);
    return -1;
  }
  return fd;
}

int intercept_open(struct interception *sockets, unsigned interface) {
  int size = RECEIVE_BUFFER;
  sockets->listener = open_inet(SOCK_STREAM);
  sockets->datagrams = open_inet(SOCK_DGRAM);
  sockets->syns = open_syns(interface);
  raw_v4 = open_raw(AF_INET);
  raw_v6 = open_raw(AF_INET6);
  if (sockets->listener < 0 || sockets->datagrams < 0 || sockets->syns < 0 || raw_v4 < 0 || raw_v6 < 0) return errno;
  if (refuse_unmarked(sockets->listener) < 0 || listen(sockets->listener, BACKLOG) < 0) return errno;
  if (switch_on(raw_v6, IPPROTO_IPV6, IPV6_HDRINCL) < 0) return errno;
  if (switch_on(sockets->datagrams, IPPROTO_IP, IP_RECVORIGDSTADDR) < 0) return errno;
  if (switch_on(sockets->datagrams, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR) < 0) return errno;
  /* More may wait than by default; where it may not, more is lost. */
  (void)setsockopt(sockets->datagrams, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  (void)setsockopt(sockets->syns, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  return steer_to(sockets->listener, sockets->datagrams);
}

/* --- what comes --- */

ssize_t intercept_syn(const struct interception *sockets, uint8_t *packet, size_t size) {
  return recv(sockets->syns, packet, size, MSG_DONTWAIT);
}

static void take_end(uint8_t address[ADDRESS_SIZE], uint16_t *port, const struct sockaddr_in6 *from) {
  memcpy(address, &from->sin6_addr, ADDRESS_SIZE);
  *port = ntohs(from->sin6_port);
}

static void take_v4_end(uint8_t address[ADDRESS_SIZE], uint16_t *port, const struct sockaddr_in *from) {
  memset(address, 0, 10);
  memset(address + 10, 0xff, 2);
  memcpy(address + 12, &from->sin_addr, 4);
  *port = ntohs(from->sin_port);
}

ssize_t intercept_datagram(const struct interception *sockets, struct endpoints *ends, uint8_t *content, size_t size) {
  union {
    struct cmsghdr first;
    char bytes[256];
  } control;
  struct sockaddr_in6 from;
  struct iovec into = {content, size};
  struct msghdr message = {&from, sizeof from, &into, 1, &control, sizeof control, 0};
  ssize_t got = recvmsg(sockets->datagrams, &message, MSG_DONTWAIT);
  if (got >= 0 && message.msg_flags & MSG_TRUNC) {
    errno = EMSGSIZE;
    got = -1;
  }
  if (got < 0) return -1;
  memset(ends, 0, sizeof *ends);
  take_end(ends->source, &ends->source_port, &from);
  for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_ORIGDSTADDR) {
      take_v4_end(ends->destination, &ends->destination_port, (const struct sockaddr_in *)CMSG_DATA(each));
    } else if (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_ORIGDSTADDR) {
      take_end(ends->destination, &ends->destination_port, (const struct sockaddr_in6 *)CMSG_DATA(each));
    }
  }
  return got;
}

int intercept_accept(const struct interception *sockets, struct endpoints *ends) {
  struct sockaddr_in6 from, to;
  socklen_t from_size = sizeof from, to_size = sizeof to;
  int fd = accept4(sockets->listener, (struct sockaddr *)&from, &from_size, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return -1;
  if (getsockname(fd, (struct sockaddr *)&to, &to_size) < 0) {
    close(fd);
    errno = ECONNABORTED;
    return -1;
  }
  take_end(ends->source, &ends->source_port, &from);
  take_end(ends->destination, &ends->destination_port, &to);
  return fd;
}

/* --- what goes --- */

static void send_parts(bool v4, const uint8_t *destination, struct iovec *parts, size_t count) {
  struct sockaddr_in to_v4 = {.sin_family = AF_INET};
  struct sockaddr_in6 to_v6 = {.sin6_family = AF_INET6};
  if (v4) memcpy(&to_v4.sin_addr, destination, 4);
  else memcpy(&to_v6.sin6_addr, destination, ADDRESS_SIZE);
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
  message.msg_name = v4 ? (void *)&to_v4 : (void *)&to_v6;
  message.msg_namelen = v4 ? sizeof to_v4 : sizeof to_v6;
  /* A full queue, or an address that cannot be a destination. */
  if (sendmsg(v4 ? raw_v4 : raw_v6, &message, MSG_DONTWAIT) < 0) errno = 0;
}

void intercept_send(const uint8_t *packet, size_t length) {
  bool v4 = packet[0] >> 4 == 4;
  struct iovec whole = {(void *)packet, length};
  send_parts(v4, packet + (v4 ? 16 : 24), &whole, 1);
}

void intercept_send_datagram(const struct endpoints *ends, const uint8_t *content, size_t length) {
  uint8_t headers[UDP_HEADERS_MAX];
  if (address_is_v4(ends->source) != address_is_v4(ends->destination)) return;
  size_t used = packet_udp_headers(headers, ends, content, length);
  struct iovec parts[] = {{headers, used}, {(void *)content, length}};
  bool v4 = address_is_v4(ends->source);
  send_parts(v4, ends->destination + (v4 ? 12 : 0), parts, 2);
}
