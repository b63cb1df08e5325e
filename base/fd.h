/* SPDX-License-Identifier: Apache-2.0 */
/* fd: owned file descriptors, and reads and writes that finish. A descriptor that is not there is
 * -1. */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* Closes *fd where it is open and sets it to -1. */
void fd_close(int *fd);

/* A close-on-exec duplicate, or negative errno. */
int fd_duplicate(int fd);

/* *own becomes a duplicate of a descriptor that its owner may close; nothing where fd is negative.
 * 0 or negative errno; what names it in the error. */
int fd_keep(int fd, int *own, const char *what, struct error *error);

/* Reads exactly bytes from offset. 0, negative errno, or -ENODATA where the file ends before. EINTR
 * is retried. */
int fd_read_at(int fd, void *data, size_t bytes, uint64_t offset);

/* Writes all of data at the file position. 0 or negative errno. EINTR is retried; EAGAIN waits for
 * room. */
int fd_write_all(int fd, const void *data, size_t bytes);

/* The whole of a small text file (sysfs, procfs), terminated, trailing newlines cut. Its length or
 * negative errno. */
int fd_read_text(const char *path, char *text, size_t bytes);

/* Opens path for reading (O_CLOEXEC); refuses what is not a regular file or block device: -EISDIR,
 * -EINVAL. */
int fd_open_file(const char *path, uint64_t *bytes);

#endif
