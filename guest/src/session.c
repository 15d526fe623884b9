#define _GNU_SOURCE
#include "session.h"

#include "log.h"
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define AGENT_VERSION "0.1.0"

static bool own;
/* Opened once: in a guest that was just restored the way to a file takes longer than everything else about the seed. */
static int randomness = -1;
static char hostname[HOSTNAME_LENGTH_MAX + 2];
static char machine_id[MACHINE_ID_SIZE + 2];

void session_init(bool own_machine) {
  own = own_machine;
  randomness = own ? open("/dev/urandom", O_WRONLY | O_CLOEXEC) : -1;
  if (own && randomness < 0) fatal("/dev/urandom: %s", strerror(errno));
}

static void set_time(uint64_t time_ns) {
  struct timespec time = {.tv_sec = (time_t)(time_ns / 1000000000), .tv_nsec = (long)(time_ns % 1000000000)};
  if (clock_settime(CLOCK_REALTIME, &time) < 0) log_line("the clock cannot be set: %s", strerror(errno));
}

/* Credits the seed and makes every generator of the kernel start anew, so that no two clones draw the same bytes. */
static void add_randomness(const uint8_t seed[SEED_SIZE]) {
  struct {
    int entropy_count;
    int buf_size;
    uint8_t bytes[SEED_SIZE];
  } pool = {.entropy_count = SEED_SIZE * 8, .buf_size = SEED_SIZE};
  memcpy(pool.bytes, seed, SEED_SIZE);
  if (ioctl(randomness, RNDADDENTROPY, &pool) < 0 || ioctl(randomness, RNDRESEEDCRNG) < 0) {
    log_line("the random seed cannot be credited: %s", strerror(errno));
  }
  explicit_bzero(&pool, sizeof pool);
}

static void put(const char *path, const char *content) {
  int error = content[0] ? workload_put(path, content, 0644) : 0;
  if (error) log_line("%s of the root cannot be written: %s", path, strerror(error));
}

void session_set_hostname(const char *name) {
  if (!own) return;
  if (sethostname(name, strlen(name)) < 0) log_line("the host name cannot be set: %s", strerror(errno));
  snprintf(hostname, sizeof hostname, "%s\n", name);
}

void session_name_root(void) {
  put("/etc/hostname", hostname);
  put("/etc/machine-id", machine_id);
}

void session_begin(const struct session_request *request) {
  if (!own) return;
  if (request->has_time) set_time(request->time_ns);
  if (request->has_seed) add_randomness(request->seed);
  if (request->hostname) session_set_hostname(request->hostname);
  if (request->machine_id) snprintf(machine_id, sizeof machine_id, "%s\n", request->machine_id);
  if (request->hostname || request->machine_id) session_name_root();
}

void session_resume(uint64_t time_ns) {
  struct timespec now;
  if (!own || clock_gettime(CLOCK_REALTIME, &now) < 0) return;
  uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
  if (time_ns > now_ns) set_time(time_ns);
}

void session_answer(struct writer *writer) {
  write_uint(writer, 1, 2, PROTOCOL_VERSION);
  write_string(writer, 2, AGENT_VERSION);
  write_uint(writer, 3, 4, workload_ready() ? 1 : 0);
}
