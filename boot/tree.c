/* SPDX-License-Identifier: Apache-2.0 */
/* tree: the first pass over a directory tree: what there is, how large, and whether it can be read.
 */
#include "boot/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "boot/tree_entry.h"
#include "mem/layout.h"

/* What a guest's kernel keeps to itself beside the memory it is loaded to: page structures (a 64th
 * of everything), tables and per-CPU data. */
#define KERNEL_SHARE 64
#define KERNEL_ROOM  (24 * MIB)

#define ENTRIES_MAX UINT32_C(100000000)

uint64_t tree_head_bytes(const char *path)
{
	uint64_t name_bytes = strlen(path) + 1;

	if (strcmp(path, TREE_TRAILER) == 0)
		name_bytes += 2;
	return tree_align4(TREE_HEADER_BYTES + name_bytes);
}

const char *tree_directory(const struct tree *tree)
{
	return tree->directory;
}

uint64_t tree_archive_bytes(const struct tree *tree)
{
	return tree->archive_bytes;
}

uint64_t tree_entry_count(const struct tree *tree)
{
	return tree->count;
}

uint64_t tree_memory_bytes(const struct tree *tree, uint64_t kernel_end)
{
	uint64_t bytes = 2 * tree->unpacked_bytes + tree->archive_bytes + kernel_end + KERNEL_ROOM;

	bytes += bytes / (KERNEL_SHARE - 1) + LAYOUT_HUGE_PAGE_BYTES - 1;
	return num_align_down(bytes, LAYOUT_HUGE_PAGE_BYTES);
}

const char *tree_largest(const struct tree *tree, uint64_t *bytes)
{
	const struct tree_entry *largest = &tree->entries[tree->largest];

	if (!tree->largest)
		return NULL;
	*bytes = largest->bytes;
	return tree_path(tree, largest);
}

/* ---- What is found ---- */

static int no_memory(struct error *error)
{
	return error_set(error, ENOMEM, "no memory for the list of files");
}

/* Keeps a text, terminated; *at is where it begins. */
static int keep(struct tree *tree, size_t *at, const char *text, size_t bytes, struct error *error)
{
	*at = tree->names.bytes;
	text_append(&tree->names, text, bytes);
	text_append(&tree->names, "", 1);
	return text_ok(&tree->names) ? 0 : no_memory(error);
}

/* The new last one, or NULL with the error set. */
static struct tree_entry *new_entry(struct tree *tree, const char *path, struct error *error)
{
	struct tree_entry *entry;

	if (tree->count == ENTRIES_MAX) {
		error_set(error, EFBIG, "%s: too many files", tree->directory);
		return NULL;
	}
	if (tree->count == tree->capacity) {
		size_t capacity = tree->capacity ? 2 * tree->capacity : 1024;

		entry = reallocarray(tree->entries, capacity, sizeof(*entry));
		if (!entry) {
			no_memory(error);
			return NULL;
		}
		tree->entries = entry;
		tree->capacity = capacity;
	}
	entry = &tree->entries[tree->count];
	memset(entry, 0, sizeof(*entry));
	entry->links = 1;
	entry->number = (uint32_t)tree->count + 1;
	if (keep(tree, &entry->path, path, strlen(path), error))
		return NULL;
	tree->count++;
	return entry;
}

/* "DIRECTORY/PATH: what the errno means"; where the user may do something about it, what. */
static int cannot(const struct tree *tree, const char *path, int code, struct error *error)
{
	const char *slash = tree->directory[strlen(tree->directory) - 1] == '/' ? "" : "/";

	return error_set(error, code, "%s%s%s: cannot be read: %s%s", tree->directory, slash, path,
			 error_name(code),
			 code == EACCES || code == EPERM
				 ? "; run as root, or take a tree of which you may read everything"
				 : "");
}

static int keep_target(struct tree *tree, struct tree_entry *entry, int at_fd, const char *name,
		       struct error *error)
{
	char target[PATH_MAX];
	ssize_t bytes = readlinkat(at_fd, name, target, sizeof(target));

	if (bytes < 0)
		return cannot(tree, tree_path(tree, entry), errno, error);
	if (bytes == (ssize_t)sizeof(target))
		return cannot(tree, tree_path(tree, entry), ENAMETOOLONG, error);
	entry->bytes = (uint64_t)bytes;
	return keep(tree, &entry->target, target, (size_t)bytes, error);
}

static int check_file(struct tree *tree, struct tree_entry *entry, int at_fd, const char *name,
		      struct error *error)
{
	const struct tree_entry *largest = &tree->entries[tree->largest];

	if (entry->bytes > TREE_FILE_BYTES_MAX)
		return error_set(error, EFBIG,
				 "%s/%s: has %" PRIu64 " MiB; a file of an initrd has less than "
				 "4 GiB: put it on a disk",
				 tree->directory, tree_path(tree, entry), entry->bytes / MIB);
	if (faccessat(at_fd, name, R_OK, AT_EACCESS | AT_SYMLINK_NOFOLLOW))
		return cannot(tree, tree_path(tree, entry), errno, error);
	if (!tree->largest || entry->bytes > largest->bytes)
		tree->largest = (size_t)(entry - tree->entries);
	return 0;
}

static uint32_t clamp_time(int64_t seconds)
{
	if (seconds < 0)
		return 0;
	return seconds > UINT32_MAX ? UINT32_MAX : (uint32_t)seconds;
}

/* One entry of a directory. What vanishes meanwhile was never there. */
static int add(struct tree *tree, int at_fd, const char *name, const char *path,
	       struct error *error)
{
	struct tree_entry *entry;
	struct stat stat;

	if (fstatat(at_fd, name, &stat, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
		return errno == ENOENT ? 0 : cannot(tree, path, errno, error);
	if (S_ISSOCK(stat.st_mode)) {
		tree->sockets++;
		return 0;
	}
	if (strlen(path) >= PATH_MAX - 2)
		return cannot(tree, path, ENAMETOOLONG, error);
	entry = new_entry(tree, path, error);
	if (!entry)
		return error ? -error->code : -ENOMEM;
	entry->mode = stat.st_mode;
	entry->uid = stat.st_uid;
	entry->gid = stat.st_gid;
	entry->mtime = clamp_time(stat.st_mtim.tv_sec);
	entry->dev = stat.st_dev;
	entry->ino = stat.st_ino;
	entry->links = S_ISLNK(stat.st_mode) ? 1 : (uint32_t)stat.st_nlink;
	entry->holds_data = true;
	entry->rdev_major = major(stat.st_rdev);
	entry->rdev_minor = minor(stat.st_rdev);
	entry->data_blocks = (uint64_t)stat.st_blocks;
	if (S_ISLNK(stat.st_mode))
		return keep_target(tree, entry, at_fd, name, error);
	if (!S_ISREG(stat.st_mode))
		return 0;
	entry->bytes = (uint64_t)stat.st_size;
	return check_file(tree, entry, at_fd, name, error);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a directory, sorted, so that the same tree gives the same archive. */
static int read_names(DIR *directory, char ***names, size_t *count)
{
	size_t capacity = 0;

	for (;;) {
		struct dirent *entry;
		char **larger;

		errno = 0;
		entry = readdir(directory);
		if (!entry)
			return -errno;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (*count == capacity) {
			capacity = capacity ? 2 * capacity : 64;
			larger = reallocarray(*names, capacity, sizeof(**names));
			if (!larger)
				return -ENOMEM;
			*names = larger;
		}
		(*names)[*count] = strdup(entry->d_name);
		if (!(*names)[*count])
			return -ENOMEM;
		++*count;
	}
}

static int add_names(struct tree *tree, int fd, const char *parent, char **names, size_t count,
		     struct error *error)
{
	struct text path = { 0 };
	int ret = 0;

	for (size_t i = 0; !ret && i < count; i++) {
		path.bytes = 0;
		text_printf(&path, "%s%s%s", parent, *parent ? "/" : "", names[i]);
		ret = text_ok(&path) ? add(tree, fd, names[i], path.data, error) : no_memory(error);
	}
	text_free(&path);
	return ret;
}

/* Appends what is in the directory of entry index; "" is the root's path here. */
static int scan_directory(struct tree *tree, size_t index, struct error *error)
{
	char *path = strdup(index ? tree_path(tree, &tree->entries[index]) : "");
	DIR *directory = NULL;
	char **names = NULL;
	size_t count = 0;
	int fd, ret;

	if (!path)
		return no_memory(error);
	fd = openat(tree->root_fd, *path ? path : ".",
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		directory = fdopendir(fd);
	if (!directory) {
		ret = errno == ENOENT ? 0 : cannot(tree, path, errno, error);
		fd_close(&fd);
		goto out;
	}
	ret = read_names(directory, &names, &count);
	if (ret) {
		cannot(tree, path, -ret, error);
		goto out;
	}
	if (count)
		qsort(names, count, sizeof(*names), by_name);
	ret = add_names(tree, fd, path, names, count, error);
out:
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
	if (directory)
		closedir(directory);
	free(path);
	return ret;
}

/* ---- Hard links ---- */

/* Of two indices, by the file they stand for, then as they are. */
static int by_file(const void *a, const void *b, void *opaque)
{
	const struct tree_entry *entries = opaque;
	uint32_t i = *(const uint32_t *)a;
	uint32_t j = *(const uint32_t *)b;

	if (entries[i].dev != entries[j].dev)
		return entries[i].dev < entries[j].dev ? -1 : 1;
	if (entries[i].ino != entries[j].ino)
		return entries[i].ino < entries[j].ino ? -1 : 1;
	return i < j ? -1 : i > j;
}

static bool may_have_links(const struct tree_entry *entry)
{
	return entry->links > 1 && !S_ISDIR(entry->mode);
}

static bool same_file(const struct tree_entry *a, const struct tree_entry *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

/* The same file under several names: one number, and the data with the last of them, as cpio(1)
 * does it. */
static void join_links(struct tree_entry *entries, const uint32_t *files, size_t count)
{
	for (size_t first = 0, next; first < count; first = next) {
		const struct tree_entry *file = &entries[files[first]];

		for (next = first + 1; next < count && same_file(&entries[files[next]], file);)
			next++;
		for (size_t i = first; i < next; i++) {
			entries[files[i]].number = file->number;
			entries[files[i]].links = (uint32_t)(next - first);
			entries[files[i]].holds_data = i == next - 1;
		}
	}
}

static int find_links(struct tree *tree, struct error *error)
{
	uint32_t *files;
	size_t count = 0;

	for (size_t i = 0; i < tree->count; i++)
		count += may_have_links(&tree->entries[i]);
	if (!count)
		return 0;
	files = calloc(count, sizeof(*files));
	if (!files)
		return no_memory(error);
	count = 0;
	for (size_t i = 0; i < tree->count; i++)
		if (may_have_links(&tree->entries[i]))
			files[count++] = (uint32_t)i;
	qsort_r(files, count, sizeof(*files), by_file, tree->entries);
	join_links(tree->entries, files, count);
	free(files);
	return 0;
}

/* ---- All of it ---- */

/* Extras are not allowed to replace anything: whoever removes them later would remove that. */
static int add_extra(struct tree *tree, const struct tree_extra *extra, struct error *error)
{
	struct tree_entry *entry;
	struct stat stat;

	if (fstatat(tree->root_fd, extra->path, &stat, AT_SYMLINK_NOFOLLOW) == 0)
		return error_set(error, EEXIST, "%s/%s: is in the way of a file of that name",
				 tree->directory, extra->path);
	if (extra->bytes > TREE_FILE_BYTES_MAX)
		return error_set(error, EFBIG, "%s: is too large for an initrd", extra->path);
	entry = new_entry(tree, extra->path, error);
	if (!entry)
		return error ? -error->code : -ENOMEM;
	entry->mode = extra->mode;
	entry->bytes = S_ISREG(extra->mode) ? extra->bytes : 0;
	entry->data = extra->data;
	entry->holds_data = true;
	return 0;
}

static void sum_up(struct tree *tree)
{
	/* The trailer, and what rounds the whole to a page. */
	uint64_t sum = tree_align4(TREE_HEADER_BYTES + sizeof(TREE_TRAILER));

	for (size_t i = 0; i < tree->count; i++) {
		const struct tree_entry *entry = &tree->entries[i];
		uint64_t data_bytes = entry->holds_data ? entry->bytes : 0;
		uint64_t pages = (data_bytes + LAYOUT_PAGE_BYTES - 1) / LAYOUT_PAGE_BYTES;

		sum += tree_head_bytes(tree_path(tree, entry)) + tree_align4(data_bytes);
		tree->unpacked_bytes += num_max(pages, 1) * LAYOUT_PAGE_BYTES;
	}
	tree->archive_bytes = sum;
}

static int scan(struct tree *tree, const struct tree_extra *extras, uint32_t extra_count,
		struct error *error)
{
	int ret = add(tree, tree->root_fd, ".", ".", error);

	for (size_t i = 0; !ret && i < tree->count; i++) {
		if (i == 0)
			tree->root_dev = tree->entries[0].dev;
		/* Directories of other file systems stay empty. */
		if (S_ISDIR(tree->entries[i].mode) && tree->entries[i].dev == tree->root_dev)
			ret = scan_directory(tree, i, error);
	}
	for (uint32_t i = 0; !ret && i < extra_count; i++)
		ret = add_extra(tree, &extras[i], error);
	if (!ret)
		ret = find_links(tree, error);
	return ret;
}

int tree_scan(struct tree **out, const char *directory, const struct tree_extra *extras,
	      uint32_t extra_count, const struct log *log, struct error *error)
{
	struct tree *tree = calloc(1, sizeof(*tree));
	int ret;

	if (!tree)
		return no_memory(error);
	tree->log = log;
	tree->root_fd = -1;
	tree->directory = strdup(directory);
	if (!tree->directory) {
		ret = no_memory(error);
		goto fail;
	}
	tree->root_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tree->root_fd < 0) {
		ret = error_set(error, errno, "cannot open directory '%s': %s", directory,
				error_name(errno));
		goto fail;
	}
	ret = scan(tree, extras, extra_count, error);
	if (ret)
		goto fail;
	sum_up(tree);
	if (tree->sockets)
		log_line(log, LOG_LEVEL_INFO, "%s: left out %" PRIu64 " sockets", directory,
			 tree->sockets);
	*out = tree;
	return 0;
fail:
	tree_destroy(tree);
	return ret;
}

void tree_destroy(struct tree *tree)
{
	if (!tree)
		return;
	fd_close(&tree->root_fd);
	text_free(&tree->names);
	free(tree->entries);
	free(tree->directory);
	free(tree);
}
