/* Writing a tar archive onto a disk or into a pipe. */
#ifndef TAR_H
#define TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

enum { TAR_BLOCK = 512, TAR_SEGMENTS_MAX = 4096 };

/* A part of a sparse file that is stored. */
struct segment {
  uint64_t offset;
  uint64_t length;
};

/* What an entry is besides its extended attributes. */
struct tar_entry {
  const char *name;
  const char *link;      /* what a symbolic or hard link says, else NULL */
  const struct stat *of;
  char type;             /* the type flag */
  const struct segment *segments; /* of a sparse file, else NULL */
  size_t segment_count;
  uint64_t stored;       /* bytes of content that follow */
};

/* Where an archive goes. */
struct tar_output {
  int fd;                          /* a pipe, or a disk that is open for direct writing and at its beginning */
  bool is_disk;
  uint64_t size;                   /* bytes that have room there */
  void (*goes_on)(uint64_t bytes); /* called when so many bytes more have gone, and when a signal came; or NULL */
};

/* 0 or an errno, as all that follows. */
int tar_begin(const struct tar_output *output);

/* Adds a record to the extended header of the next entry; when they are too many, tar_header gives E2BIG. */
void tar_record(const char *key, const void *value, size_t size);

/* Writes the headers of an entry. */
int tar_header(const struct tar_entry *entry);

/* Content of the entry: `length` bytes of a file from `offset` on; zeros where it has become shorter. */
int tar_content(int file, uint64_t offset, uint64_t length);

/* Bytes as they are (tar_output.c). */
int tar_add(const void *bytes, size_t length);

/* Fills the entry's last block. */
int tar_pad(uint64_t stored);

/* Ends the archive and gives its length. */
int tar_end(uint64_t *length);

#endif
