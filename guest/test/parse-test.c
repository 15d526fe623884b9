/* The parsers on good, mended and random payloads, always the same ones. Run under sanitizers. */
#include "parse.h"

#include <stdio.h>

enum { ROUNDS = 200000, SIZE_MAX_ = 600 };

static uint64_t state = 88172645463325252ULL;

/* xorshift64: the same numbers in every run. */
static uint32_t random_below(uint32_t limit) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 16) % limit;
}

static uint16_t random_kind(void) {
  return (uint16_t)(random_below(2) ? random_below(7) : 31 + random_below(27));
}

static uint16_t random_tag(void) {
  if (random_below(20) == 0) return (uint16_t)random_below(65536);
  return (uint16_t)(random_below(3) ? random_below(11) : 31 + random_below(6));
}

static size_t random_fields(uint8_t *bytes, size_t size) {
  struct writer writer = {.bytes = bytes, .size = size};
  write_kind(&writer, random_kind());
  uint32_t count = random_below(12);
  for (uint32_t i = 0; i < count; i++) {
    uint8_t value[80];
    uint32_t length = random_below(4) ? random_below(9) : random_below(sizeof value);
    for (uint32_t j = 0; j < length; j++) value[j] = (uint8_t)(random_below(3) ? '/' + random_below(60) : random_below(256));
    write_bytes(&writer, random_tag(), value, length);
  }
  return writer.used;
}

static void test_random(void) {
  uint8_t bytes[SIZE_MAX_];
  for (int i = 0; i < ROUNDS; i++) {
    size_t length = random_fields(bytes, sizeof bytes);
    uint32_t damage = random_below(4);
    for (uint32_t j = 0; j < damage && length; j++) bytes[random_below((uint32_t)length)] = (uint8_t)random_below(256);
    if (length && random_below(4) == 0) length = random_below((uint32_t)length);
    parse_everything(bytes, length);
  }
}

static void test_good_exec(void) {
  uint8_t bytes[256];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_kind(&writer, KIND_EXEC);
  write_string(&writer, 1, "echo");
  write_string(&writer, 2, "A=b");
  write_string(&writer, 1, "");
  write_string(&writer, 3, "/tmp");
  write_string(&writer, 4, "bob");
  write_uint(&writer, 5, 4, EXEC_TTY);
  write_uint(&writer, 6, 2, 24);
  write_uint(&writer, 0x8001, 1, 9);
  static struct request request;
  check(!writer.full && parse_open(&request, bytes, writer.used) == NULL);
  check(request.exec.argc == 2 && request.exec.envc == 1 && request.exec.rows == 24 && request.exec.flags == EXEC_TTY);
  check(strcmp(request.exec.argv[0], "echo") == 0 && strcmp(request.exec.argv[1], "") == 0 && request.exec.argv[2] == NULL);
  check(strcmp(request.exec.env[0], "A=b") == 0 && strcmp(request.exec.cwd, "/tmp") == 0 && strcmp(request.exec.user, "bob") == 0);
}

static void test_resume(void) {
  struct resume_request request;
  uint8_t bytes[64];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_uint(&writer, 3, 8, 1700000000000000000);
  write_uint(&writer, 0x8001, 1, 9);
  check(parse_resume(&request, bytes, writer.used) == NULL && request.time_ns == 1700000000000000000);
  writer.used = 0;
  write_uint(&writer, 3, 4, 5);
  check(parse_resume(&request, bytes, writer.used) != NULL);
  writer.used = 0;
  write_uint(&writer, 4, 8, 5);
  check(parse_resume(&request, bytes, writer.used) != NULL);
}

static void test_good_plan(void) {
  uint8_t bytes[256], copy[256];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_kind(&writer, KIND_PLAN);
  write_bytes(&writer, 35, "\xa4\1\0\0\2\0/ahello", 13);
  write_string(&writer, 1, "first");
  write_string(&writer, 1, "argument");
  write_bytes(&writer, 34, "", 0);
  write_string(&writer, 1, "second");
  write_string(&writer, 2, "A=b");
  write_bytes(&writer, 32, "\7\0\0\0\12\0\0\0\0\0\0\0\24\0\0\0\0\0\0\0", 20);
  static struct request request;
  memcpy(copy, bytes, sizeof copy);
  check(!writer.full && parse_open(&request, copy, writer.used) == NULL);
  check(request.exec.argc == 2 && strcmp(request.exec.argv[0], "first") == 0 && request.exec.steps == 2 && request.exec.envc == 1);
  check(request.exec.file_count == 1 && strcmp(request.exec.files[0].path, "/a") == 0 && request.exec.files[0].length == 5);
  check(request.exec.limit_count == 1 && request.exec.limits[0].resource == 7);
  check(request.exec.limits[0].soft == 10 && request.exec.limits[0].hard == 20);
  memcpy(copy, bytes, sizeof copy);
  check(parse_plan(&request, copy, writer.used, 1) == NULL);
  check(request.exec.argc == 1 && strcmp(request.exec.argv[0], "second") == 0);
  memcpy(copy, bytes, sizeof copy);
  check(parse_plan(&request, copy, writer.used, 2) != NULL);
}

static void test_refusals(void) {
  static struct request request;
  struct { uint16_t kind, tag; const char *value; size_t length; } cases[] = {
    {KIND_EXEC, 99, "x", 1},          {KIND_EXEC, 1, "a\0b", 3},       {KIND_EXEC, 5, "\xff\0\0\0", 4}, {KIND_EXEC, 5, "\1", 1},
    {KIND_FILE_READ, 1, "", 0},       {KIND_FILE_WRITE, 2, "abcd", 4}, {KIND_ASSEMBLE, 1, "\xff\xff", 2}, {KIND_ASSEMBLE, 5, "abc", 3},
    {KIND_ASSEMBLE, 5, "\0\0\0\0\3\0etc", 9}, {KIND_ASSEMBLE, 5, "\0\0\0\0\xff\0/e", 8}, {0, 1, "x", 1}, {KIND_SHUTDOWN + 1, 1, "x", 1},
    {KIND_AWAIT_LISTENER, 1, "\0\0", 2}, {KIND_AWAIT_LISTENER, 2, "\1\0\0\0", 4}, {KIND_AWAIT_LISTENER, 1, "\1\0\0", 3},
    {KIND_FUSE, 1, "relative", 8},    {KIND_FUSE, 2, "\2\0\0\0", 4},   {KIND_FUSE, 4, "x", 1},
    {KIND_EXEC, 32, "\7", 1},         {KIND_EXEC, 34, "", 0},          {KIND_PLAN, 34, "", 0},             {KIND_PLAN, 35, "abc", 3},
    {KIND_EXEC, 33, "\1\0\0\1", 4},   {KIND_SIGNAL, 2, "\101\0\0\0", 4}, {KIND_ATTACH, 1, "\0\0\0\0", 4}, {KIND_PROCESSES, 1, "", 0},
    {KIND_FILE_CHANGE, 1, "/a", 2},   {KIND_FILE_CHANGE, 6, "\7\0", 2}, {KIND_FILE_LIST, 4, "\10\0\0\0", 4}, {KIND_FILE_WATCH, 1, "", 0},
    {KIND_ASSEMBLE, 32, "a", 1},      {KIND_ASSEMBLE, 32, "=b", 2},    {KIND_ASSEMBLE, 32, "a../b=c", 7},   {KIND_ASSEMBLE, 32, "/a=b", 4},
    {KIND_VOLUME, 1, "\xff\xff", 2}, {KIND_VOLUME, 2, "relative", 8},  {KIND_VOLUME, 3, "\2\0\0\0", 4},
    {KIND_MOUNT, 1, "\xff\xff", 2}, {KIND_MOUNT, 2, "relative", 8}, {KIND_MOUNT, 3, "\4\0\0\0", 4}, {KIND_ASSEMBLE, 65, "relative", 8},
    {KIND_SOCKET, 2, "relative", 8}, {KIND_SOCKET, 1, "\1\0", 2}, {KIND_SOCKET, 3, "\2\0\0\0", 4},
    {KIND_ASSEMBLE, 34, "\0\0", 2},  {KIND_ASSEMBLE, 34, "\0\x40", 2}, {KIND_ASSEMBLE, 34, "\1", 1},
    {KIND_COPY_IN, 1, "\xff\xff", 2}, {KIND_COPY_IN, 2, "relative", 8}, {KIND_COPY_OUT, 3, "\10\0\0\0", 4}, {KIND_COPY_IN, 5, "/", 1},
    {KIND_NETWORK, 1, "\2\0\0\0", 4}, {KIND_NETWORK, 2, "x", 1},   {KIND_ACCEPT, 1, "\x45", 1},       {KIND_ACCEPT, 2, "x", 1},
    {KIND_CONNECT, 1, "\0\0", 2},     {KIND_CONNECT, 2, "\1\2", 2}, {KIND_CONNECT_UDP, 1, "\1", 1},   {KIND_CONNECT_UDP + 1, 1, "x", 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint8_t bytes[64];
    struct writer writer = {.bytes = bytes, .size = sizeof bytes};
    write_kind(&writer, cases[i].kind);
    write_bytes(&writer, cases[i].tag, cases[i].value, cases[i].length);
    check(parse_open(&request, bytes, writer.used) != NULL);
  }
  uint8_t too_long[] = {KIND_EXEC, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 'x'};
  check(parse_open(&request, too_long, sizeof too_long) != NULL);
}

static void test_writer_stops_at_its_end(void) {
  uint8_t bytes[10];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_string(&writer, 1, "four");
  check(!writer.full && writer.used == 10);
  write_kind(&writer, 1);
  check(writer.full && writer.used == 10);
}

/* A SYN from 10.0.2.15:40000 to 1.2.3.4:80 with an IP option, its checksums left out as a veth leaves them out. */
static const uint8_t syn_v4[] = {
  0x46, 0, 0, 44, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 2, 15, 1, 2, 3, 4, 1, 1, 1, 0,
  0x9c, 0x40, 0, 80, 0, 0, 0, 7, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0,
};

static uint16_t sum(const uint8_t *bytes, size_t length, uint32_t sum) {
  for (size_t i = 0; i + 1 < length; i += 2) sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)sum;
}

static void test_packets(void) {
  struct syn syn;
  uint8_t packet[PACKET_SMALL];
  check(syn_read(&syn, syn_v4, sizeof syn_v4));
  check(syn.ends.source_port == 40000 && syn.ends.destination_port == 80 && address_is_v4(syn.ends.source));
  check_syn(&syn);
  size_t length = packet_reset(packet, &syn);
  static const uint8_t reset[] = {0, 80, 0x9c, 0x40, 0, 0, 0, 0, 0, 0, 0, 8, 0x50, 0x14, 0, 0};
  check(length == 40 && memcmp(packet + 12, syn_v4 + 16, 4) == 0 && memcmp(packet + 20, reset, sizeof reset) == 0);
  check(sum(packet + 12, 28, 6 + 20) == 0xffff);
  length = packet_syn_unreachable(packet, &syn, UNREACHABLE_HOST);
  check(length == 20 + 8 + 40 && packet[20] == 3 && packet[21] == 10 && sum(packet + 20, length - 20, 0) == 0xffff);
  for (size_t cut = 0; cut < sizeof syn_v4; cut++) check(!syn_read(&syn, syn_v4, cut));
}

static void test_what_is_no_syn(void) {
  struct { size_t at; uint8_t value; } changes[] = {
    {0, 0x56}, {0, 0x44}, {9, 17}, {6, 0x20}, {7, 1}, {26, 0}, {36, 0x40}, {36, 0xf0}, {37, 0x12}, {37, 0x06}, {37, 0x03},
  };
  for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
    uint8_t packet[sizeof syn_v4];
    struct syn syn;
    memcpy(packet, syn_v4, sizeof packet);
    packet[changes[i].at] = changes[i].value;
    if (changes[i].at == 26) packet[27] = 0;
    check(!syn_read(&syn, packet, sizeof packet));
  }
}

int main(void) {
  test_good_exec();
  test_good_plan();
  test_resume();
  test_refusals();
  test_writer_stops_at_its_end();
  test_packets();
  test_what_is_no_syn();
  test_random();
  puts("ok");
  return 0;
}
