/* IP packets as bytes: what the agent makes of them and how it builds them. Nothing here does I/O. */
#ifndef PACKET_H
#define PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  ADDRESS_SIZE = 16,
  /* An IPv4 or IPv6 header without options and a TCP header with all its options, or what an ICMP error quotes. */
  SYN_MAX = 40 + 60,
  /* Of the headers that stand before a datagram's content. */
  UDP_HEADERS_MAX = 40 + 8,
  PACKET_SMALL = 40 + 8 + SYN_MAX,
  DATAGRAM_MAX = 65507,
  /* With the header of its message it just fits into a frame. */
  MESSAGE_HEADER = 40,
  MESSAGE_CONTENT_MAX = 65536 - MESSAGE_HEADER,
};

/* The two ends of a connection or datagram; an IPv4 address is in its IPv6-mapped form. Ports are numbers. */
struct endpoints {
  uint8_t source[ADDRESS_SIZE];
  uint8_t destination[ADDRESS_SIZE];
  uint16_t source_port;
  uint16_t destination_port;
};

bool address_is_v4(const uint8_t address[ADDRESS_SIZE]);

/* How a destination is said not to be reached. */
enum unreachable { UNREACHABLE_NET, UNREACHABLE_HOST, UNREACHABLE_PORT, UNREACHABLE_PROHIBITED };

/* A connection's first packet, without the IP options it may have had. */
struct syn {
  struct endpoints ends;
  uint8_t tcp[60];
  size_t length;
};

/* Reads an IP packet, or an own copy of one; false unless it is a whole, bare SYN. */
bool syn_read(struct syn *syn, const uint8_t *packet, size_t length);

/* Each builds a whole packet with its checksums in `out`, of PACKET_SMALL bytes, and gives its length: */
size_t packet_syn(uint8_t *out, const struct syn *syn);
/* the answer that refuses the connection, */
size_t packet_reset(uint8_t *out, const struct syn *syn);
/* the ICMP error that answers the SYN, or a datagram between `ends`. */
size_t packet_syn_unreachable(uint8_t *out, const struct syn *syn, enum unreachable why);
size_t packet_udp_unreachable(uint8_t *out, const struct endpoints *ends, enum unreachable why);

/* The headers, UDP_HEADERS_MAX bytes at most, that make `content` a whole datagram; gives their length. */
size_t packet_udp_headers(uint8_t *out, const struct endpoints *ends, const uint8_t *content, size_t length);

#endif
