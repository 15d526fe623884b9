#define _GNU_SOURCE
#include "steer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { KEY_TCP, KEY_UDP, KEYS };

static int bpf(int command, union bpf_attr *attributes) { return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes); }

static int make_map(const uint32_t sockets[KEYS]) {
  union bpf_attr attributes = {.map_type = BPF_MAP_TYPE_SOCKMAP, .key_size = 4, .value_size = 4, .max_entries = KEYS};
  int map = bpf(BPF_MAP_CREATE, &attributes);
  for (uint32_t key = 0; map >= 0 && key < KEYS; key++) {
    memset(&attributes, 0, sizeof attributes);
    attributes.map_fd = (uint32_t)map;
    attributes.key = (uintptr_t)&key;
    attributes.value = (uintptr_t)&sockets[key];
    if (bpf(BPF_MAP_UPDATE_ELEM, &attributes) == 0) continue;
    close(map);
    return -1;
  }
  return map;
}

#define CODE(OP, DST, SRC, OFF, IMM) {.code = (OP), .dst_reg = (DST), .src_reg = (SRC), .off = (OFF), .imm = (IMM)}
#define MOVE(DST, SRC) CODE(BPF_ALU64 | BPF_MOV | BPF_X, DST, SRC, 0, 0)
#define SET(DST, IMM) CODE(BPF_ALU64 | BPF_MOV | BPF_K, DST, 0, 0, IMM)
#define CALL(FUNCTION) CODE(BPF_JMP | BPF_CALL, 0, 0, 0, FUNCTION)

/* return bpf_sk_assign(context, map[protocol == TCP ? 0 : 1]), with the reference given back */
static int load_program(int map) {
  struct bpf_insn program[] = {
    MOVE(BPF_REG_6, BPF_REG_1),
    CODE(BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, -4, KEY_TCP),
    CODE(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_0, BPF_REG_6, offsetof(struct bpf_sk_lookup, protocol), 0),
    CODE(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 1, IPPROTO_TCP),
    CODE(BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0, -4, KEY_UDP),
    CODE(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map),
    CODE(0, 0, 0, 0, 0),
    MOVE(BPF_REG_2, BPF_REG_10),
    CODE(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4),
    CALL(BPF_FUNC_map_lookup_elem),
    CODE(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 7, 0),
    MOVE(BPF_REG_7, BPF_REG_0),
    MOVE(BPF_REG_1, BPF_REG_6),
    MOVE(BPF_REG_2, BPF_REG_0),
    SET(BPF_REG_3, 0),
    CALL(BPF_FUNC_sk_assign),
    MOVE(BPF_REG_1, BPF_REG_7),
    CALL(BPF_FUNC_sk_release),
    SET(BPF_REG_0, SK_PASS),
    CODE(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  union bpf_attr attributes = {.prog_type = BPF_PROG_TYPE_SK_LOOKUP, .expected_attach_type = BPF_SK_LOOKUP};
  attributes.insns = (uintptr_t)program;
  attributes.insn_cnt = sizeof program / sizeof *program;
  attributes.license = (uintptr_t)"GPL";
  return bpf(BPF_PROG_LOAD, &attributes);
}

/* The link's descriptor stays open for good: with it the program would go. */
static int attach(int program) {
  int namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (namespace < 0) return -1;
  union bpf_attr attributes = {.link_create = {.prog_fd = (uint32_t)program, .attach_type = BPF_SK_LOOKUP}};
  attributes.link_create.target_fd = (uint32_t)namespace;
  int link = bpf(BPF_LINK_CREATE, &attributes);
  int error = errno;
  close(namespace);
  errno = error;
  return link;
}

int steer_to(int tcp, int udp) {
  const uint32_t sockets[KEYS] = {[KEY_TCP] = (uint32_t)tcp, [KEY_UDP] = (uint32_t)udp};
  int map = make_map(sockets);
  if (map < 0) return errno;
  int program = load_program(map);
  int error = program < 0 ? errno : 0;
  close(map);
  if (!error && attach(program) < 0) error = errno;
  if (program >= 0) close(program);
  return error;
}
