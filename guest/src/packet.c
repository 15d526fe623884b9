#include "packet.h"

#include <string.h>

enum { V4_HEADER = 20, V6_HEADER = 40, TCP_HEADER = 20, UDP_HEADER = 8, ICMP_HEADER = 8 };
enum { PROTOCOL_ICMP = 1, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17, PROTOCOL_ICMPV6 = 58 };
enum { TCP_SYN = 0x02, TCP_RESET_ACK = 0x14, TCP_SYN_ACK_MASK = 0x17, HOPS = 64 };

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool address_is_v4(const uint8_t address[ADDRESS_SIZE]) { return memcmp(address, mapped_prefix, sizeof mapped_prefix) == 0; }

static uint16_t get_be16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static void put_be16(uint8_t *at, uint16_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static void map_v4(uint8_t address[ADDRESS_SIZE], const uint8_t *v4) {
  memcpy(address, mapped_prefix, sizeof mapped_prefix);
  memcpy(address + sizeof mapped_prefix, v4, 4);
}

/* --- reading --- */

/* The length of the IP header, and the addresses; 0 unless TCP follows it directly. */
static size_t read_ip(struct endpoints *ends, const uint8_t *packet, size_t length) {
  if (length < V4_HEADER) return 0;
  if (packet[0] >> 4 == 4) {
    size_t header = (size_t)(packet[0] & 15) * 4;
    if (header < V4_HEADER || packet[9] != PROTOCOL_TCP || get_be16(packet + 6) & 0x3fff) return 0;
    map_v4(ends->source, packet + 12);
    map_v4(ends->destination, packet + 16);
    return header;
  }
  if (packet[0] >> 4 != 6 || length < V6_HEADER || packet[6] != PROTOCOL_TCP) return 0;
  memcpy(ends->source, packet + 8, ADDRESS_SIZE);
  memcpy(ends->destination, packet + 24, ADDRESS_SIZE);
  /* Such an address is none on a wire, and would be taken for an IPv4 one. */
  return address_is_v4(ends->source) || address_is_v4(ends->destination) ? 0 : V6_HEADER;
}

bool syn_read(struct syn *syn, const uint8_t *packet, size_t length) {
  size_t header = read_ip(&syn->ends, packet, length);
  if (header == 0 || length < header + TCP_HEADER) return false;
  const uint8_t *tcp = packet + header;
  syn->length = (size_t)(tcp[12] >> 4) * 4;
  if (syn->length < TCP_HEADER || length < header + syn->length) return false;
  if ((tcp[13] & TCP_SYN_ACK_MASK) != TCP_SYN) return false;
  memcpy(syn->tcp, tcp, syn->length);
  syn->ends.source_port = get_be16(tcp);
  syn->ends.destination_port = get_be16(tcp + 2);
  return syn->ends.destination_port != 0;
}

/* --- building --- */

static uint32_t add_words(uint32_t sum, const uint8_t *bytes, size_t length) {
  for (; length > 1; length -= 2, bytes += 2) sum += get_be16(bytes);
  return length ? sum + ((uint32_t)bytes[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

static size_t address_length(const uint8_t *address) { return address_is_v4(address) ? 4 : ADDRESS_SIZE; }

static const uint8_t *address_bytes(const uint8_t *address) { return address + ADDRESS_SIZE - address_length(address); }

/* The part of TCP's, UDP's and ICMPv6's checksum that comes from the IP header. */
static uint32_t pseudo_sum(const uint8_t *source, const uint8_t *destination, uint8_t protocol, size_t length) {
  uint32_t sum = protocol + (uint32_t)length;
  sum = add_words(sum, address_bytes(source), address_length(source));
  return add_words(sum, address_bytes(destination), address_length(destination));
}

/* The kernel fills in the length and the checksum of an IPv4 header. */
static size_t ip_header(uint8_t *out, const uint8_t *source, const uint8_t *destination, uint8_t protocol, size_t length) {
  bool v4 = address_is_v4(source);
  size_t header = v4 ? V4_HEADER : V6_HEADER, address = address_length(source);
  memset(out, 0, header);
  if (v4) {
    out[0] = 0x45;
    put_be16(out + 2, (uint16_t)(header + length));
    out[8] = HOPS;
    out[9] = protocol;
  } else {
    out[0] = 0x60;
    put_be16(out + 4, (uint16_t)length);
    out[6] = protocol;
    out[7] = HOPS;
  }
  memcpy(out + header - 2 * address, address_bytes(source), address);
  memcpy(out + header - address, address_bytes(destination), address);
  return header;
}

static size_t tcp_packet(uint8_t *out, const uint8_t *source, const uint8_t *destination, const uint8_t *tcp, size_t length) {
  size_t header = ip_header(out, source, destination, PROTOCOL_TCP, length);
  uint8_t *at = out + header;
  memcpy(at, tcp, length);
  put_be16(at + 16, 0);
  put_be16(at + 16, fold(add_words(pseudo_sum(source, destination, PROTOCOL_TCP, length), at, length)));
  return header + length;
}

size_t packet_syn(uint8_t *out, const struct syn *syn) {
  return tcp_packet(out, syn->ends.source, syn->ends.destination, syn->tcp, syn->length);
}

size_t packet_reset(uint8_t *out, const struct syn *syn) {
  const uint8_t *tcp = syn->tcp;
  uint8_t answer[TCP_HEADER] = {tcp[2], tcp[3], tcp[0], tcp[1], [12] = TCP_HEADER / 4 << 4, [13] = TCP_RESET_ACK};
  uint32_t sequence = (uint32_t)get_be16(tcp + 4) << 16 | get_be16(tcp + 6);
  put_be16(answer + 8, (uint16_t)((sequence + 1) >> 16));
  put_be16(answer + 10, (uint16_t)(sequence + 1));
  return tcp_packet(out, syn->ends.destination, syn->ends.source, answer, sizeof answer);
}

static void icmp_kind(uint8_t *at, bool v4, enum unreachable why) {
  /* IPv4's "prohibited" kinds, because a UDP socket does not hear of the plain ones. */
  static const uint8_t codes[][2] = {
    [UNREACHABLE_NET] = {9, 0},
    [UNREACHABLE_HOST] = {10, 3},
    [UNREACHABLE_PORT] = {3, 4},
    [UNREACHABLE_PROHIBITED] = {13, 1},
  };
  at[0] = v4 ? 3 : 1;
  at[1] = codes[why][v4 ? 0 : 1];
}

/* An error that quotes the packet which `quoted` bytes behind its own headers are. */
static size_t icmp_packet(uint8_t *out, const struct endpoints *ends, size_t quoted, enum unreachable why) {
  bool v4 = address_is_v4(ends->source);
  size_t length = ICMP_HEADER + quoted;
  size_t header = ip_header(out, ends->destination, ends->source, v4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6, length);
  uint8_t *at = out + header;
  memset(at, 0, ICMP_HEADER);
  icmp_kind(at, v4, why);
  uint32_t sum = v4 ? 0 : pseudo_sum(ends->destination, ends->source, PROTOCOL_ICMPV6, length);
  put_be16(at + 2, fold(add_words(sum, at, length)));
  return header + length;
}

static uint8_t *icmp_quote(uint8_t *out, const struct endpoints *ends) {
  return out + (address_is_v4(ends->source) ? V4_HEADER : V6_HEADER) + ICMP_HEADER;
}

size_t packet_syn_unreachable(uint8_t *out, const struct syn *syn, enum unreachable why) {
  return icmp_packet(out, &syn->ends, packet_syn(icmp_quote(out, &syn->ends), syn), why);
}

size_t packet_udp_unreachable(uint8_t *out, const struct endpoints *ends, enum unreachable why) {
  return icmp_packet(out, ends, packet_udp_headers(icmp_quote(out, ends), ends, NULL, 0), why);
}

size_t packet_udp_headers(uint8_t *out, const struct endpoints *ends, const uint8_t *content, size_t length) {
  size_t whole = UDP_HEADER + length;
  size_t header = ip_header(out, ends->source, ends->destination, PROTOCOL_UDP, whole);
  uint8_t *at = out + header;
  put_be16(at, ends->source_port);
  put_be16(at + 2, ends->destination_port);
  put_be16(at + 4, (uint16_t)whole);
  put_be16(at + 6, 0);
  uint32_t sum = add_words(pseudo_sum(ends->source, ends->destination, PROTOCOL_UDP, whole), at, UDP_HEADER);
  uint16_t checksum = fold(add_words(sum, content, length));
  /* Zero would say that there is none. */
  put_be16(at + 6, checksum ? checksum : 0xffff);
  return header + UDP_HEADER;
}
