/* SPDX-License-Identifier: Apache-2.0 */
/* image: a raw disk image, a file or a block device: opened, judged and locked. Its format is what
 * the user says: nothing in it is looked at. */
#ifndef DEVICES_IMAGE_H
#define DEVICES_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

#define IMAGE_SECTOR_BYTES 512

/* Owner: a disk. Closing fd gives up the lock. */
struct image {
	int fd;               /* through the page cache; holds the lock */
	int direct_fd;        /* past it, or -1 */
	uint64_t bytes;       /* a multiple of block_bytes */
	uint32_t block_bytes; /* what the guest is told: 512 or 4096 */
	bool read_only;
	bool block_device;
	bool in_memory; /* tmpfs: there is nothing to flush to */
};

struct image_options {
	bool read_only;
	bool direct; /* past the page cache, where the file can do that; a block device in any case
		      */
};

/*
 * Fails, with the reason, for what is missing, empty, a directory or anything else but a file or a
 * block device, not whole sectors, or in use: a lock (open file description, whole file; shared
 * where read_only) keeps every other VM out, and a block device that is mounted is not opened for
 * writing. direct where that cannot be is no error: direct_fd is -1. *image is untouched on
 * failure.
 */
int image_open(struct image *image, const char *path, const struct image_options *options,
	       struct error *error);
void image_close(struct image *image);

/* The descriptor for a transfer that goes to the ring: past the page cache where it is aligned for
 * that. */
int image_fd_for(const struct image *image, const struct iovec *iov, uint32_t count,
		 uint64_t offset);

#endif
