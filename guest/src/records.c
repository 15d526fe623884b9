#define _GNU_SOURCE
#include "records.h"

#include "task.h"

#include <errno.h>
#include <unistd.h>

enum { GATHER = 1 << 16, LENGTH = 4 };

static uint8_t gathered[GATHER];
static size_t used;

void records_flush(void) {
  for (size_t done = 0; done < used;) {
    ssize_t written = write(TASK_OUTPUT, gathered + done, used - done);
    if (written < 0 && errno != EINTR) _exit(1);
    if (written > 0) done += (size_t)written;
  }
  used = 0;
}

struct writer record_begin(void) {
  if (GATHER - used < LENGTH + RECORD_MAX) records_flush();
  struct writer writer = {.bytes = gathered + used + LENGTH, .size = RECORD_MAX};
  return writer;
}

void record_end(const struct writer *writer) {
  uint32_t length = (uint32_t)writer->used;
  for (int i = 0; i < LENGTH; i++) gathered[used + (size_t)i] = (uint8_t)(length >> (8 * i));
  used += LENGTH + length;
}
