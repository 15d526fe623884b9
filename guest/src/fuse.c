#define _GNU_SOURCE
#include "fuse.h"

#include "link.h"
#include "log.h"
#include "loop.h"
#include "paths.h"
#include "task.h"
#include "users.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* Data and whatever precedes it in a message. */
enum { MESSAGE_MAX = FUSE_DATA_MAX + 4096, LOW_FDS = 10 };

/* A message each way: one that was read from the device and is being sent, one that comes in and is not complete. */
struct relay {
  bool used;
  uint32_t request_length;
  uint32_t request_sent;
  uint32_t reply_length;
  uint8_t *request; /* MESSAGE_MAX */
  uint8_t *reply;   /* MESSAGE_MAX */
};

static struct relay relays[FUSE_MOUNTS_MAX];
static unsigned in_use;

/* Address space that becomes memory only as far as messages are large. */
static bool prepare(struct relay *relay) {
  if (relay->request) return true;
  uint8_t *bytes = mmap(NULL, 2 * MESSAGE_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (bytes == MAP_FAILED) return false;
  madvise(bytes, 2 * MESSAGE_MAX, MADV_NOHUGEPAGE);
  madvise(bytes, 2 * MESSAGE_MAX, MADV_DONTFORK);
  relay->request = bytes;
  relay->reply = bytes + MESSAGE_MAX;
  return true;
}

bool fuse_reserve(struct stream *stream) {
  for (size_t i = 0; i < FUSE_MOUNTS_MAX; i++) {
    if (relays[i].used || !prepare(&relays[i])) continue;
    relays[i].used = true;
    relays[i].request_length = relays[i].request_sent = relays[i].reply_length = 0;
    stream->relay = &relays[i];
    in_use++;
    return true;
  }
  return false;
}

void fuse_end(struct stream *stream) {
  if (!stream->relay) return;
  stream->relay->used = false;
  stream->relay = NULL;
  in_use--;
}

bool fuse_in_use(void) { return in_use > 0; }

void fuse_trim(void) {
  for (size_t i = 0; i < FUSE_MOUNTS_MAX; i++) {
    const struct relay *relay = &relays[i];
    if (!relay->request || relay->request_sent < relay->request_length || relay->reply_length > 0) continue;
    madvise(relay->request, 2 * MESSAGE_MAX, MADV_DONTNEED);
  }
}

/* --- mounting --- */

int fuse_open(int *ours, int *theirs) {
  *ours = open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (*ours < 0) return errno;
  *theirs = fcntl(*ours, F_DUPFD_CLOEXEC, LOW_FDS);
  return *theirs < 0 ? errno : 0;
}

/* What a snapshot holds of a host folder has lost its host: it makes room for the new one. What the kernel still knows of it says nothing. */
static void remove_dead(const char *path) {
  struct statx stat_of_path;
  while (statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_TYPE, &stat_of_path) < 0 && errno == ENOTCONN) {
    if (umount2(path, MNT_DETACH) < 0) task_fail(errno, STAGE_OTHER, "unmounting what was at %.200s: %s", path, strerror(errno));
  }
}

void fuse_mount_run(const struct fuse_request *request) {
  static char path[PATH_LENGTH_MAX + 1];
  static struct user user;
  char options[160];
  int error = user_resolve(&user, request->user);
  if (error) task_fail(error, STAGE_USER, "user %.200s: not in /etc/passwd or /etc/group", request->user);
  snprintf(path, sizeof path, "%s", request->path);
  error = path_follow(path);
  if (!error) {
    remove_dead(path);
    error = path_make_folders(path, 0, 0);
  }
  if (error) task_fail(error, STAGE_OTHER, "making the folder %.200s: %s", request->path, strerror(error));
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions,max_read=%d", TASK_OUTPUT, FUSE_DATA_MAX);
  unsigned long flags = MS_NOSUID | MS_NODEV | (request->flags & MOUNT_READ_ONLY ? MS_RDONLY : 0);
  if (mount("supermachine", path, "fuse", flags, options) < 0) {
    task_fail(errno, STAGE_OTHER, "mounting on %.200s: %s", path, strerror(errno));
  }
  uint8_t bytes[RESULT_SIZE];
  struct writer writer = {.bytes = bytes, .size = sizeof bytes};
  write_kind(&writer, RESULT_STARTED);
  write_uint(&writer, 2, 4, user.uid);
  write_uint(&writer, 3, 4, user.gid);
  task_done(&writer);
}

/* --- relaying --- */

void fuse_begin(struct stream *stream) {
  struct output *output = &stream->outputs[0];
  if (output->fd < 0 || stream->result_used < 2 || get_u16(stream->result) != RESULT_STARTED) return;
  stream->due |= DUE_MOUNTED;
  output->readable = true;
  /* Not earlier: a device that is not mounted tells epoll nothing. */
  if (loop_watch(output->fd, EPOLLIN | EPOLLET, ROLE_OUTPUT, stream_slot(stream), stream->generation)) return;
  log_line("a host folder cannot be watched: %s", strerror(errno));
  stream_close_output(stream, 0);
}

bool fuse_has_rest(const struct stream *stream) {
  return stream->relay && stream->relay->request_sent < stream->relay->request_length;
}

/* Takes the next request from the kernel; false when there is none now. */
static bool next_request(struct stream *stream) {
  struct relay *relay = stream->relay;
  struct output *output = &stream->outputs[0];
  while (output->fd >= 0) {
    ssize_t got = read(output->fd, relay->request, MESSAGE_MAX);
    if (got > 0) {
      relay->request_length = (uint32_t)got;
      relay->request_sent = 0;
      return true;
    }
    /* ENOENT: whoever asked has been killed meanwhile. */
    if (got < 0 && (errno == EINTR || errno == ENOENT)) continue;
    output->readable = false;
    if (got < 0 && errno == EAGAIN) return false;
    /* ENODEV: it has been unmounted. */
    stream_close_output(stream, 0);
  }
  return false;
}

void fuse_send(struct stream *stream) {
  struct relay *relay = stream->relay;
  struct output *output = &stream->outputs[0];
  if (output->credit == 0 || (!fuse_has_rest(stream) && !(output->readable && next_request(stream)))) return;
  uint32_t length = relay->request_length - relay->request_sent;
  if (length > output->credit) length = output->credit;
  if (length > DATA_MAX) length = DATA_MAX;
  memcpy(link_data_space(stream->link), relay->request + relay->request_sent, length);
  link_data(stream->link, stream->id, 0, length);
  relay->request_sent += length;
  output->credit -= length;
}

/* The kernel takes a reply whole or not at all. One to a request that was given up meanwhile is refused, and nobody misses it. */
static void reply(struct stream *stream, const uint8_t *bytes, uint32_t length) {
  if (stream->outputs[0].fd < 0) return;
  ssize_t written = write(stream->outputs[0].fd, bytes, length);
  if (written < 0 && errno != ENOENT && errno != ENODEV) log_line("a FUSE reply of %u bytes was refused: %s", length, strerror(errno));
}

/* How many bytes of what came belong to the message that has begun; 0 when it is none. */
static uint32_t wanted(const struct relay *relay, uint32_t length) {
  uint32_t header = sizeof(struct fuse_out_header);
  uint32_t total = relay->reply_length < header ? header : get_u32(relay->reply);
  if (total < header || total > MESSAGE_MAX) return 0;
  uint32_t missing = total - relay->reply_length;
  return missing < length ? missing : length;
}

const char *fuse_take(struct stream *stream, const uint8_t *bytes, uint32_t length) {
  struct relay *relay = stream->relay;
  input_consumed(stream, length);
  while (length > 0) {
    uint32_t header = sizeof(struct fuse_out_header);
    uint32_t total = relay->reply_length == 0 && length >= header ? get_u32(bytes) : 0;
    /* Most replies are in one frame, and need no copy. */
    if (total >= header && total <= length && total <= MESSAGE_MAX) {
      reply(stream, bytes, total);
      bytes += total;
      length -= total;
      continue;
    }
    uint32_t part = wanted(relay, length);
    if (part == 0) return "a FUSE reply whose length cannot be";
    memcpy(relay->reply + relay->reply_length, bytes, part);
    relay->reply_length += part;
    bytes += part;
    length -= part;
    if (relay->reply_length < header || get_u32(relay->reply) != relay->reply_length) continue;
    reply(stream, relay->reply, relay->reply_length);
    relay->reply_length = 0;
  }
  return NULL;
}
