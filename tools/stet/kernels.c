/* SPDX-License-Identifier: Apache-2.0 */
/* kernels: finds a kernel for `stet run --root`, and the modules that go with one. */
#include "tools/stet/kernels.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETUP_MAGIC_OFFSET   0x202 /* boot.rst: "HdrS" */
#define SETUP_VERSION_OFFSET 0x20e /* where the version's text is, behind 0x200 */
#define BANNER               "Linux version "

/* ---- Which kernel ---- */

static bool readable(const char *path)
{
	struct stat stat_now;

	return stat(path, &stat_now) == 0 && S_ISREG(stat_now.st_mode) && access(path, R_OK) == 0;
}

/* The newest readable file that matches. */
static bool newest(const char *pattern, char path[KERNELS_PATH_BYTES])
{
	glob_t found = { 0 };
	time_t time = 0;
	bool any = false;

	if (glob(pattern, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			struct stat now;

			if (!readable(found.gl_pathv[i]) || stat(found.gl_pathv[i], &now) ||
			    (any && now.st_mtime < time))
				continue;
			time = now.st_mtime;
			any = true;
			snprintf(path, KERNELS_PATH_BYTES, "%s", found.gl_pathv[i]);
		}
	}
	globfree(&found);
	return any;
}

/* Where tools/guest-kernel/build keeps what it built. */
static bool cached(const char *root, char path[KERNELS_PATH_BYTES])
{
	const char *cache = getenv("STET_CACHE");
	const char *xdg = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");
	char pattern[KERNELS_PATH_BYTES];

	if (cache && *cache)
		snprintf(pattern, sizeof(pattern), "%s%s/guest-kernels/*/vmlinux", root, cache);
	else if (xdg && *xdg)
		snprintf(pattern, sizeof(pattern), "%s%s/stet/guest-kernels/*/vmlinux", root, xdg);
	else
		snprintf(pattern, sizeof(pattern), "%s%s/.cache/stet/guest-kernels/*/vmlinux", root,
			 home ? home : "/root");
	return newest(pattern, path);
}

static bool installed(const char *root, char path[KERNELS_PATH_BYTES])
{
	static const char *const names[] = { "vmlinux", "bzImage", "vmlinuz" };
	char program[KERNELS_PATH_BYTES / 2];
	ssize_t bytes = readlink("/proc/self/exe", program, sizeof(program) - 1);
	char *slash;

	if (bytes <= 0)
		return false;
	program[bytes] = 0;
	slash = strrchr(program, '/');
	if (!slash)
		return false;
	*slash = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, KERNELS_PATH_BYTES, "%s%s/../share/stet/%s", root, program,
			 names[i]);
		if (readable(path))
			return true;
	}
	return false;
}

bool kernels_find(const char *root, char path[KERNELS_PATH_BYTES])
{
	const char *given = getenv("STET_KERNEL");
	char pattern[KERNELS_PATH_BYTES];

	if (given && *given) { /* also where it is wrong: the error names it */
		snprintf(path, KERNELS_PATH_BYTES, "%s", given);
		return true;
	}
	snprintf(pattern, sizeof(pattern), "%s/boot/vmlinuz-*", root);
	return cached(root, path) || installed(root, path) || newest(pattern, path);
}

/* ---- Its version ---- */

/* Copies up to the first space. False where that is no version. */
static bool copy_version(char version[KERNELS_VERSION_BYTES], const uint8_t *from, size_t bytes)
{
	size_t i = 0;

	while (i < bytes && i < KERNELS_VERSION_BYTES - 1 && from[i] > ' ' && from[i] < 127 &&
	       from[i] != '/') {
		version[i] = (char)from[i];
		i++;
	}
	version[i] = 0;
	return i > 0 && version[0] >= '0' && version[0] <= '9';
}

static bool version_of(const uint8_t *file, size_t bytes, char version[KERNELS_VERSION_BYTES])
{
	const uint8_t *banner;
	size_t at;

	if (bytes > SETUP_VERSION_OFFSET + 2 && memcmp(file + SETUP_MAGIC_OFFSET, "HdrS", 4) == 0) {
		at = file[SETUP_VERSION_OFFSET] + 256u * file[SETUP_VERSION_OFFSET + 1] + 0x200;
		return at < bytes && copy_version(version, file + at, bytes - at);
	}
	if (bytes < 4 || memcmp(file, "\177ELF", 4) != 0)
		return false;
	for (at = 0; at < bytes; at = (size_t)(banner - file) + strlen(BANNER)) {
		banner = memmem(file + at, bytes - at, BANNER, strlen(BANNER));
		if (!banner)
			return false;
		if (copy_version(version, banner + strlen(BANNER),
				 bytes - (size_t)(banner - file) - strlen(BANNER)))
			return true;
	}
	return false;
}

bool kernels_version(const char *path, char version[KERNELS_VERSION_BYTES])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat stat;
	void *file;
	bool found;

	if (fd < 0)
		return false;
	if (fstat(fd, &stat) || !S_ISREG(stat.st_mode) || stat.st_size <= 0) {
		close(fd);
		return false;
	}
	file = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (file == MAP_FAILED)
		return false;
	found = version_of(file, (size_t)stat.st_size, version);
	munmap(file, (size_t)stat.st_size);
	return found;
}

/* ---- Its modules ---- */

static bool find_directory(struct kernel_modules *modules, const char *kernel)
{
	char version[KERNELS_VERSION_BYTES];
	char beside[KERNELS_PATH_BYTES / 2];
	const char *roots[] = { beside, "", "/usr" };
	const char *slash;

	if (!kernels_version(kernel, version) || strlen(kernel) >= sizeof(beside) - 4)
		return false;
	slash = strrchr(kernel, '/');
	snprintf(beside, sizeof(beside), "%.*s..", slash ? (int)(slash + 1 - kernel) : 0, kernel);
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		char list[KERNELS_PATH_BYTES + 16];

		snprintf(modules->directory, sizeof(modules->directory), "%s/lib/modules/%s",
			 roots[i], version);
		snprintf(list, sizeof(list), "%s/modules.dep", modules->directory);
		if (readable(list))
			return true;
	}
	modules->directory[0] = 0;
	return false;
}

static char *read_list(const struct kernel_modules *modules, const char *name)
{
	char path[KERNELS_PATH_BYTES + 32];
	char *text = NULL;
	size_t bytes = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", modules->directory, name);
	file = fopen(path, "re");
	if (!file)
		return NULL;
	if (getdelim(&text, &bytes, 0, file) < 0) { /* all of it */
		free(text);
		text = NULL;
	}
	(void)fclose(file);
	return text;
}

/* Is it the file of this module? "-" and "_" are the same. */
static bool is_module(const char *path, size_t bytes, const char *name)
{
	const char *base = memrchr(path, '/', bytes);
	size_t length = strlen(name);

	base = base ? base + 1 : path;
	if ((size_t)(path + bytes - base) < length + 3 || strncmp(base + length, ".ko", 3) != 0)
		return false;
	for (size_t i = 0; i < length; i++)
		if ((base[i] == '-' ? '_' : base[i]) != name[i])
			return false;
	return true;
}

/* The line of a module: "PATH: NEEDED..." (or "PATH", of those built in). */
static const char *find_line(const char *list, const char *name)
{
	while (list && *list) {
		if (is_module(list, strcspn(list, ":\n"), name))
			return list;
		list += strcspn(list, "\n");
		list += *list == '\n';
	}
	return NULL;
}

static int add_path(struct kernel_modules *modules, const char *path, size_t bytes)
{
	for (size_t i = 0; i < modules->count; i++)
		if (strlen(modules->paths[i]) == bytes &&
		    memcmp(modules->paths[i], path, bytes) == 0)
			return 0;
	if (modules->count == KERNELS_MODULES_MAX)
		return -E2BIG;
	modules->paths[modules->count] = strndup(path, bytes);
	return modules->paths[modules->count++] ? 0 : -ENOMEM;
}

/* What a module needs stands behind it, the last to be inserted first. */
static int add_line(struct kernel_modules *modules, const char *line)
{
	size_t head = strcspn(line, ":\n");
	const char *begin = line[head] == ':' ? line + head + 1 : line + head;
	const char *end = line + strcspn(line, "\n");
	int ret = 0;

	while (!ret && end > begin) {
		const char *word = end;

		while (word > begin && word[-1] != ' ')
			word--;
		if (word < end)
			ret = add_path(modules, word, (size_t)(end - word));
		end = word > begin ? word - 1 : begin;
	}
	return ret ? ret : add_path(modules, line, head);
}

int kernel_modules_find(struct kernel_modules *modules, const char *kernel,
			const char *const *names, const char **missing)
{
	char *depends, *builtin;
	int ret = 0;

	memset(modules, 0, sizeof(*modules));
	if (!find_directory(modules, kernel))
		return 0;
	depends = read_list(modules, "modules.dep");
	builtin = read_list(modules, "modules.builtin");
	for (; !ret && *names; names++) {
		bool optional = **names == '?';
		const char *name = *names + optional;
		const char *line = find_line(depends, name);

		if (find_line(builtin, name))
			continue;
		*missing = name;
		if (line)
			ret = add_line(modules, line);
		else if (!optional)
			ret = -ENOENT;
	}
	free(depends);
	free(builtin);
	return ret;
}

void kernel_modules_free(struct kernel_modules *modules)
{
	while (modules->count)
		free(modules->paths[--modules->count]);
}
