/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree: a directory tree as an initrd: an archive of the format "newc" (buffer-format.rst in the
 * kernel's documentation), made in two passes. The first looks at everything, so that what is wrong
 * or does not fit is known before anything is written; the second writes straight to its place.
 */
#ifndef BOOT_TREE_H
#define BOOT_TREE_H

#include <stdint.h>

#include "base/error.h"
#include "base/log.h"

/* The largest file: sizes have 32 bits in the archive. */
#define TREE_FILE_BYTES_MAX UINT32_MAX

/* A file or directory that is not in the tree but comes into the archive, owned by user 0. */
struct tree_extra {
	const char *path; /* without a leading slash; its directory comes before it */
	uint32_t mode;    /* S_IFREG or S_IFDIR, and permissions */
	const void *data; /* must stay until the tree is destroyed */
	uint64_t bytes;
};

struct tree;

/*
 * Looks at all of directory, as far as it is on one file system: directories where another one is
 * mounted come out empty. Owners, modes, modification times (in seconds), hard links, symbolic
 * links, device nodes and FIFOs are kept; sockets are left out, because nobody listens to them in
 * the guest. Errors name the file: -ENOENT, -ENOTDIR, -EACCES (also of a file that could not be
 * read later), -EFBIG (over TREE_FILE_BYTES_MAX), -ENAMETOOLONG, -EEXIST (an extra is in the tree),
 * -ENOMEM. Later calls are for one thread.
 */
int tree_scan(struct tree **tree, const char *directory, const struct tree_extra *extras,
	      uint32_t extra_count, const struct log *log, struct error *error);
void tree_destroy(struct tree *tree); /* NULL is fine */

const char *tree_directory(const struct tree *tree);
uint64_t tree_archive_bytes(const struct tree *tree);
uint64_t tree_entry_count(const struct tree *tree);

/*
 * The least memory for a guest that unpacks it, where the kernel takes the lowest kernel_end bytes:
 * the archive, and a tmpfs for the files, which Linux limits to half of what is left. A multiple of
 * 2 MiB.
 */
uint64_t tree_memory_bytes(const struct tree *tree, uint64_t kernel_end);

/* The largest file of the tree, NULL where there is none; for error texts. */
const char *tree_largest(const struct tree *tree, uint64_t *bytes);

/* step (may be NULL) is called now and then, at most ten times a second and once at the end. */
struct tree_progress {
	void (*step)(void *opaque, uint64_t done_bytes, uint64_t total_bytes);
	void *opaque;
};

/*
 * Writes the archive to to, tree_archive_bytes() of zeroed memory: holes of files are not written,
 * hence not read either. The tree may have changed meanwhile, which is logged: a file that has
 * become shorter is filled up with zeros, one that has grown is cut, one that is gone is left out.
 * progress may be NULL. Errors as of reading.
 */
int tree_write(const struct tree *tree, uint8_t *to, const struct tree_progress *progress,
	       struct error *error);

#endif
