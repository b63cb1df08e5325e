/* SPDX-License-Identifier: Apache-2.0 */
/* tree_write: the second pass over a directory tree: the archive, written where it is to lie. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "boot/tree_entry.h"

#define BLOCK_BYTES      512 /* the unit of st_blocks */
#define PROGRESS_NS      (NS_PER_SEC / 10)
#define BYTES_PER_READ   (16 * MIB) /* so that progress is seen inside a large file */
#define FIELDS           13
#define FIELD_DIGITS     8
#define FIELDS_IN_HEADER 6 /* where they begin: behind the magic */

/* Where the archive has got to. */
struct writer {
	const struct tree *tree;
	const struct tree_progress *progress;
	uint64_t told_ns;
	uint8_t *to;
	uint64_t at;
	struct error *error;
};

static void tell(struct writer *writer, bool always)
{
	uint64_t now_ns;

	if (!writer->progress || !writer->progress->step)
		return;
	now_ns = clock_ns();
	if (!always && now_ns - writer->told_ns < PROGRESS_NS)
		return;
	writer->told_ns = now_ns;
	writer->progress->step(writer->progress->opaque, writer->at, writer->tree->archive_bytes);
}

static void put_hex(uint8_t *to, uint32_t value)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = FIELD_DIGITS - 1; i >= 0; i--, value >>= 4)
		to[i] = (uint8_t)digits[value & 15];
}

/* The header and the name. The memory is zeroed, hence so is what lies between members. */
static void put_head(struct writer *writer, const struct tree_entry *entry, const char *path,
		     uint32_t data_bytes)
{
	const char *prefix = entry->number && strcmp(path, TREE_TRAILER) == 0 ? "./" : "";
	size_t name_bytes = strlen(prefix) + strlen(path) + 1;
	const uint32_t fields[FIELDS] = {
		entry->number,     entry->mode,          entry->uid, entry->gid, entry->links,
		entry->mtime,      data_bytes,           0,          0,          entry->rdev_major,
		entry->rdev_minor, (uint32_t)name_bytes, 0,
	};
	uint8_t *to = writer->to + writer->at;

	memcpy(to, "070701", FIELDS_IN_HEADER);
	for (size_t i = 0; i < FIELDS; i++)
		put_hex(to + FIELDS_IN_HEADER + i * FIELD_DIGITS, fields[i]);
	to += TREE_HEADER_BYTES;
	memcpy(to, prefix, strlen(prefix));
	memcpy(to + strlen(prefix), path, name_bytes - strlen(prefix));
	writer->at += tree_align4(TREE_HEADER_BYTES + name_bytes);
}

static void changed(const struct writer *writer, const struct tree_entry *entry, const char *how)
{
	log_line(writer->tree->log, LOG_LEVEL_WARNING, "%s/%s: %s while it was packed",
		 writer->tree->directory, tree_path(writer->tree, entry), how);
}

static int cannot_read(const struct writer *writer, const struct tree_entry *entry, int code)
{
	return error_set(writer->error, code, "%s/%s: cannot be read: %s", writer->tree->directory,
			 tree_path(writer->tree, entry), error_name(code));
}

/* Reads [offset, end) of the file to its place in data. */
static int read_part(struct writer *writer, const struct tree_entry *entry, int fd, uint8_t *data,
		     uint64_t offset, uint64_t end)
{
	while (offset < end) {
		uint64_t bytes = num_min(end - offset, BYTES_PER_READ);
		int ret = fd_read_at(fd, data + offset, bytes, offset);

		if (ret == -ENODATA) {
			changed(writer, entry, "became shorter");
			return 0;
		}
		if (ret)
			return cannot_read(writer, entry, -ret);
		offset += bytes;
		tell(writer, false);
	}
	return 0;
}

/* Only what is not a hole. A file system that does not know its holes says there are none. */
static int read_sparse(struct writer *writer, const struct tree_entry *entry, int fd, uint8_t *data)
{
	uint64_t offset = 0;

	while (offset < entry->bytes) {
		off_t from = lseek(fd, (off_t)offset, SEEK_DATA);
		off_t to;
		int ret;

		if (from < 0 && errno == ENXIO) /* the rest is a hole */
			return 0;
		to = from < 0 ? -1 : lseek(fd, from, SEEK_HOLE);
		if (from < 0 || to < 0)
			return read_part(writer, entry, fd, data, offset, entry->bytes);
		if ((uint64_t)from >= entry->bytes)
			return 0;
		offset = num_min((uint64_t)to, entry->bytes);
		ret = read_part(writer, entry, fd, data, (uint64_t)from, offset);
		if (ret)
			return ret;
	}
	return 0;
}

/* The file that was scanned, or -1 where it is not that any more. */
static int open_again(const struct writer *writer, const struct tree_entry *entry)
{
	struct stat stat;
	int fd = openat(writer->tree->root_fd, tree_path(writer->tree, entry),
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_dev == entry->dev &&
	    stat.st_ino == entry->ino)
		return fd;
	close(fd);
	errno = ENOENT;
	return -1;
}

static int put_file(struct writer *writer, const struct tree_entry *entry)
{
	uint8_t *data;
	int fd, ret;

	fd = open_again(writer, entry);
	if (fd < 0 && errno != ENOENT && errno != ELOOP)
		return cannot_read(writer, entry, errno);
	if (fd < 0) {
		changed(writer, entry, "vanished");
		return 0;
	}
	put_head(writer, entry, tree_path(writer->tree, entry), (uint32_t)entry->bytes);
	data = writer->to + writer->at;
	if (entry->data_blocks < entry->bytes / BLOCK_BYTES)
		ret = read_sparse(writer, entry, fd, data);
	else
		ret = read_part(writer, entry, fd, data, 0, entry->bytes);
	close(fd);
	writer->at += tree_align4(entry->bytes);
	return ret;
}

static void put_bytes(struct writer *writer, const struct tree_entry *entry, const void *data,
		      uint64_t bytes)
{
	put_head(writer, entry, tree_path(writer->tree, entry), (uint32_t)bytes);
	if (bytes)
		memcpy(writer->to + writer->at, data, bytes);
	writer->at += tree_align4(bytes);
}

static int put(struct writer *writer, const struct tree_entry *entry)
{
	if (entry->data)
		put_bytes(writer, entry, entry->data, entry->bytes);
	else if (S_ISLNK(entry->mode))
		put_bytes(writer, entry, writer->tree->names.data + entry->target, entry->bytes);
	else if (S_ISREG(entry->mode) && entry->holds_data && entry->bytes)
		return put_file(writer, entry);
	else
		put_bytes(writer, entry, NULL, 0);
	return 0;
}

int tree_write(const struct tree *tree, uint8_t *to, const struct tree_progress *progress,
	       struct error *error)
{
	static const struct tree_entry trailer = { .links = 1 };
	struct writer writer = {
		.tree = tree, .progress = progress, .told_ns = clock_ns(), .to = to, .error = error
	};

	for (size_t i = 0; i < tree->count; i++) {
		int ret = put(&writer, &tree->entries[i]);

		if (ret)
			return ret;
		tell(&writer, false);
	}
	put_head(&writer, &trailer, TREE_TRAILER, 0);
	tell(&writer, true);
	return 0;
}
