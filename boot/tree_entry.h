/* SPDX-License-Identifier: Apache-2.0 */
/* tree_entry: what the two passes over a tree share: tree.c (the first) and tree_write.c. For these
 * files only. */
#ifndef BOOT_TREE_ENTRY_H
#define BOOT_TREE_ENTRY_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/text.h"
#include "boot/tree.h"

#define TREE_HEADER_BYTES 110
#define TREE_TRAILER      "TRAILER!!!"

/* One member of the archive. */
struct tree_entry {
	size_t path;    /* where it begins in names */
	size_t target;  /* of a symbolic link, likewise */
	uint64_t bytes; /* of data: of a file, or of a link's target */
	uint64_t dev, ino, data_blocks;
	uint32_t mode, uid, gid, mtime;
	uint32_t rdev_major, rdev_minor;
	uint32_t number;  /* what the archive knows it by; the same for all links of a file */
	uint32_t links;   /* of them in the archive */
	bool holds_data;  /* of several links the last one does */
	const void *data; /* of an extra */
};

struct tree {
	const struct log *log;
	int root_fd;
	uint64_t root_dev;
	char *directory;
	struct text names; /* each terminated */
	struct tree_entry *entries;
	size_t count, capacity;
	size_t largest; /* index; 0, which is the root, for none */
	uint64_t sockets;
	uint64_t archive_bytes;
	uint64_t unpacked_bytes; /* in whole pages, at least one for each entry */
};

static inline const char *tree_path(const struct tree *tree, const struct tree_entry *entry)
{
	return tree->names.data + entry->path;
}

static inline uint64_t tree_align4(uint64_t bytes)
{
	return (bytes + 3) & ~UINT64_C(3);
}

/* What an entry takes in the archive without its data. The name "TRAILER!!!" would end the archive:
 * it is written with "./" before it. */
uint64_t tree_head_bytes(const char *path);

#endif
