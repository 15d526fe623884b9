/* What the host asks for, decoded and checked (docs/agent-protocol.md). Nothing here does I/O. */
#ifndef REQUEST_H
#define REQUEST_H

#include "packet.h"
#include "wire.h"

enum request_kind {
  KIND_EXEC = 1,
  KIND_FILE_READ,
  KIND_FILE_WRITE,
  KIND_ASSEMBLE,
  KIND_SHUTDOWN,
  KIND_NETWORK = 16,
  KIND_ACCEPT,
  KIND_CONNECT,
  KIND_CONNECT_UDP,
  KIND_PLAN = 32,
  KIND_ATTACH,
  KIND_PROCESSES,
  KIND_SIGNAL,
  KIND_FILE_CHANGE,
  KIND_FILE_LIST,
  KIND_FILE_WATCH,
  KIND_AWAIT_LISTENER = 40,
  KIND_VOLUME = 48,
  KIND_COPY_IN,
  KIND_COPY_OUT,
  KIND_FUSE = 56,
  KIND_LAYER = 64,
  KIND_MOUNT,
  KIND_SOCKET,
};

enum exec_flag { EXEC_STDIN = 1, EXEC_MERGED = 2, EXEC_TTY = 4, EXEC_CREATE_CWD = 8, EXEC_CGROUP = 16, EXEC_FLAGS = 31 };
enum write_flag { WRITE_CREATE_PARENTS = 1, WRITE_IN_PLACE = 2, WRITE_APPEND = 4, WRITE_TRUNCATE = 8, WRITE_FLAGS = 15 };
enum change { CHANGE_MKDIR = 1, CHANGE_REMOVE, CHANGE_RENAME, CHANGE_CHMOD, CHANGE_CHOWN, CHANGE_SYMLINK };
enum change_flag { CHANGE_PARENTS = 1, CHANGE_RECURSIVE = 2, CHANGE_FORCE = 4, CHANGE_NO_FOLLOW = 8, CHANGE_FLAGS = 15 };
enum list_flag { LIST_RECURSIVE = 1, LIST_FOLLOW = 2, LIST_SELF = 4, LIST_FLAGS = 7 };
enum watch_flag { WATCH_RECURSIVE = 1, WATCH_FLAGS = 1 };
enum mount_flag { MOUNT_READ_ONLY = 1, MOUNT_FLAGS = 1, MOUNT_FILE = 2 };
enum copy_flag { COPY_XATTRS = 1, COPY_FOLLOW = 2, COPY_ONE_FILE_SYSTEM = 4, COPY_FLAGS = 7 };
enum assemble_flag { ASSEMBLE_KEEPS_LAYER = 1, ASSEMBLE_FLAGS = 1 };
enum control_operation { CONTROL_SIGNAL = 1, CONTROL_RESIZE, CONTROL_DETACH };

enum {
  STRINGS_MAX = 16384,
  LAYERS_MAX = 256,
  LUN_MAX = 16383,
  EXTRA_FILES_MAX = 64,
  SYSCTLS_MAX = 64,
  SYSCTL_LENGTH_MAX = 4096,
  LIMITS_MAX = 16,
  LIMIT_RESOURCES = 16,
  KEEP_MAX = 1 << 24,
  HOSTNAME_LENGTH_MAX = 64,
  MACHINE_ID_SIZE = 32,
  SEED_SIZE = 64,
  PATH_LENGTH_MAX = 4095,
  USER_LENGTH_MAX = 512,
};

struct extra_file {
  const char *path;
  const uint8_t *content;
  uint32_t length;
  uint32_t mode;
};

/* A resource limit, with the kernel's numbers; UINT64_MAX is none. */
struct limit {
  uint32_t resource;
  uint64_t soft;
  uint64_t hard;
};

struct plan;

struct exec_request {
  char **argv;
  char **env;
  size_t argc;
  size_t envc;
  const char *cwd;
  const char *user;
  uint32_t flags;
  uint16_t rows;
  uint16_t cols;
  uint32_t keep;        /* bytes of output that outlive the stream */
  struct limit limits[LIMITS_MAX];
  size_t limit_count;
  /* A plan: files to write, then commands one after the other. argv is that of command `step`. */
  struct extra_file files[EXTRA_FILES_MAX];
  size_t file_count;
  uint32_t step;
  uint32_t steps;
  size_t step_argc;     /* of the step that is being read */
  struct plan *plan;    /* what later steps need (plan.c) */
};

struct signal_request {
  uint32_t pid;
  uint32_t signal;
  bool group;
};

struct file_request {
  const char *path;
  const char *user;
  uint64_t offset;
  uint64_t length;
  uint32_t mode;
  uint32_t flags;
  bool has_mode;
};

struct change_request {
  const char *path;
  const char *target; /* of a rename or a link */
  const char *user;
  uint16_t change;
  uint32_t mode;
  uint32_t flags;
  bool has_mode;
};

/* What is looked at: a listing or a watch. */
struct look_request {
  const char *path;
  uint32_t flags;
};

struct assemble_request {
  uint16_t luns[LAYERS_MAX];
  size_t layers;
  struct extra_file files[EXTRA_FILES_MAX];
  size_t file_count;
  uint64_t tmpfs_bytes;
  uint64_t shm_bytes;
  uint16_t disk; /* LUN of the writable layer's disk; 0 when that layer is in memory */
  const char *places[EXTRA_FILES_MAX]; /* folders that are there, below all layers */
  size_t place_count;
  const char *sysctls[SYSCTLS_MAX];
  size_t sysctl_count;
  uint32_t timeout_ms;
  uint32_t flags;
  const char *hostname;
};

struct listener_request {
  uint16_t port;
  uint32_t timeout_ms;
};

/* The disk that is a LUN, at `path`. */
struct volume_request {
  const char *path;
  uint32_t flags;
  uint32_t timeout_ms;
  uint16_t lun;
};

/* Files that are copied from the disk that is a LUN, or to it. */
struct copy_request {
  const char *path;   /* in the workload's root */
  const char *on_disk; /* what is copied from there, NULL for all of it; or what it is called there */
  const char *owner;  /* of all that is written; NULL: as it is on the disk */
  uint32_t flags;
  uint32_t timeout_ms;
  uint16_t lun;
};

/* A folder of the host at `path`, its files shown as the user's. */
struct fuse_request {
  const char *path;
  const char *user;
  uint32_t flags;
};

/* What was written into the root since it was assembled, but for empty files at these paths. */
struct layer_request {
  const char *left_out[EXTRA_FILES_MAX];
  size_t count;
  const char *folders[EXTRA_FILES_MAX];
  size_t folder_count;
};

/* Files of layers, or memory, for a while at a place in the workload's root. */
struct mount_request {
  const char *path;
  const char *source;   /* in the layers, NULL for all of them */
  uint64_t bytes;
  uint32_t flags;
  uint32_t timeout_ms;
  uint16_t luns[LAYERS_MAX];
  size_t layers;
};

struct network_request {
  bool allowed;
};

struct accept_request {
  struct syn syn;
};

struct connect_request {
  uint8_t address[ADDRESS_SIZE];
  uint16_t port;
};

struct request {
  enum request_kind kind;
  union {
    struct exec_request exec;
    struct file_request file;
    struct assemble_request assemble;
    struct listener_request listener;
    struct volume_request volume;
    struct fuse_request fuse;
    struct copy_request copy;
    struct layer_request layer;
    struct mount_request mount;
    struct signal_request signal;
    struct network_request network;
    struct accept_request accept;
    struct connect_request connect;
    struct change_request change;
    struct look_request look;
    uint32_t grace_ms;
    uint32_t pid;
  };
};

struct session_request {
  uint16_t version;
  bool has_nonce, has_time, has_seed;
  uint8_t nonce[NONCE_SIZE];
  uint64_t time_ns;
  uint8_t seed[SEED_SIZE];
  const char *hostname;
  const char *machine_id;
};

struct resume_request {
  uint64_t time_ns;
};

struct control_request {
  enum control_operation operation;
  uint32_t signal;
  bool group;
  uint16_t rows;
  uint16_t cols;
};

/*
 * Each gives NULL, or what is wrong with the payload as a phrase. Strings are terminated in place, so the payload belongs to
 * the request from then on; argv and env live in one table that the next call overwrites.
 */
const char *parse_open(struct request *request, uint8_t *payload, size_t length);
/* A plan with the argv of its command `step`. */
const char *parse_plan(struct request *request, uint8_t *payload, size_t length, uint32_t step);
const char *parse_session(struct session_request *request, uint8_t *payload, size_t length);
const char *parse_resume(struct resume_request *request, uint8_t *payload, size_t length);
const char *parse_control(struct control_request *request, uint8_t *payload, size_t length);

#endif
