/* SPDX-License-Identifier: Apache-2.0 */
/* root: what `stet run --root` puts beside the tree: init, its settings, modules; and the kernel.
 */
#include "tools/stet/root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/init/image.h"
#include "tools/stet/message.h"
#include "tools/stet/terminal.h"
#include "tools/stet/verbs.h"

#define DIRECTORY     ".stet"
#define DEFAULT_PATH  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define MODULES_WORDS 12

/* ---- Settings ---- */

static void put(FILE *out, const char *key, const char *value)
{
	(void)fprintf(out, "%s=%s", key, value);
	(void)fputc(0, out);
}

static void put_number(FILE *out, const char *key, unsigned int number)
{
	(void)fprintf(out, "%s=%u", key, number);
	(void)fputc(0, out);
}

/* Was NAME given with --env? */
static bool has_variable(const struct option_list *env, const char *name)
{
	size_t bytes = strlen(name);

	for (uint32_t i = 0; i < env->count; i++)
		if (strncmp(env->values[i], name, bytes) == 0 &&
		    (env->values[i][bytes] == '=' || !env->values[i][bytes]))
			return true;
	return false;
}

static void put_default(FILE *out, const struct option_list *env, const char *name,
			const char *value)
{
	if (has_variable(env, name) || !value)
		return;
	(void)fprintf(out, "env=%s=%s", name, value);
	(void)fputc(0, out);
}

static void put_environment(FILE *out, const struct root *root, const struct option_list *env)
{
	put_default(out, env, "PATH", DEFAULT_PATH);
	put_default(out, env, "HOME", "/root");
	put_default(out, env, "USER", "root");
	put_default(out, env, "LOGNAME", "root");
	if (root->terminal)
		put_default(out, env, "TERM", getenv("TERM"));
	for (uint32_t i = 0; i < env->count; i++) {
		const char *given = env->values[i];
		const char *value = strchr(given, '=') ? NULL : getenv(given);

		if (strchr(given, '='))
			put(out, "env", given);
		else if (value)
			put_default(out, &(struct option_list){ .count = 0 }, given, value);
	}
}

/* This directory as the guest sees it, where it is in the tree and on its file system; else NULL.
 * Freed by the caller. */
static char *inside(const char *root)
{
	char *top = realpath(root, NULL);
	char *here = getcwd(NULL, 0);
	char *result = NULL;
	struct stat a, b;
	size_t bytes;

	if (top && here && stat(top, &a) == 0 && stat(here, &b) == 0 && a.st_dev == b.st_dev) {
		bytes = strcmp(top, "/") == 0 ? 0 : strlen(top);
		if (strncmp(here, top, bytes) == 0 && (here[bytes] == '/' || !here[bytes]))
			result = strdup(here[bytes] ? here + bytes : "/");
	}
	free(top);
	free(here);
	return result;
}

static int make_settings(struct root *root, const struct run_options *options)
{
	char *here = options->workdir ? NULL : inside(options->root);
	FILE *out = open_memstream(&root->settings, &root->settings_bytes);

	if (!out) {
		free(here);
		return EXIT_STET;
	}
	put(out, "hostname", options->name ? options->name : "stet");
	put(out, "workdir", options->workdir ? options->workdir : here ? here : "/");
	if (options->workdir)
		put(out, "workdir-wanted", "");
	if (root->terminal)
		put(out, "terminal", "");
	if (root->stderr_apart)
		put(out, "stderr-apart", "");
	put_number(out, "columns", root->columns);
	put_number(out, "rows", root->rows);
	for (size_t i = 0; i < root->modules.count; i++)
		put(out, "module", strrchr(root->paths[i], '/') + 1);
	put_environment(out, root, &options->env);
	for (char *const *word = options->command; *word; word++)
		put(out, "arg", *word);
	free(here);
	return fclose(out) ? EXIT_STET : 0;
}

/* ---- Kernel and modules ---- */

static void choose_modules(const struct run_options *options, const char *names[MODULES_WORDS])
{
	size_t count = 0;

	names[count++] = options->transport == STET_TRANSPORT_MMIO ? "virtio_mmio" : "virtio_pci";
	names[count++] = "vmw_vsock_virtio_transport";
	names[count++] = "?pvpanic_mmio"; /* a panic is one, not a reset */
	if (options->disks.count) {
		names[count++] = "virtio_blk";
		names[count++] = "?ext4";
	}
	if (options->nets.count) {
		names[count++] = "virtio_net";
		names[count++] = "?af_packet";
	}
	if (options->hvc)
		names[count++] = "virtio_console";
	if (options->rng)
		names[count++] = "virtio_rng";
	names[count] = NULL;
}

static int find_kernel(struct root *root, const struct run_options *options)
{
	const char *names[MODULES_WORDS];
	const char *missing = "";
	int ret;

	if (options->kernel) {
		snprintf(root->kernel, sizeof(root->kernel), "%s", options->kernel);
	} else if (!kernels_find("", root->kernel)) {
		message("no kernel found; say --kernel FILE, build the small one with "
			"tools/guest-kernel/build, or install one (see 'stet run --help')");
		return EXIT_STET;
	}
	choose_modules(options, names);
	ret = kernel_modules_find(&root->modules, root->kernel, names, &missing);
	if (!ret)
		return 0;
	message("kernel '%s': module '%s' is not in %s: %s", root->kernel, missing,
		root->modules.directory, strerror(-ret));
	return EXIT_STET;
}

/* All of a module's file; freed with the rest. */
static int read_module(struct root *root, size_t index)
{
	const char *path = root->modules.paths[index];
	const char *base = strrchr(path, '/');
	char full[2 * KERNELS_PATH_BYTES];
	struct stat stat;
	int fd;

	if (asprintf(&root->paths[index], DIRECTORY "/%02zu-%s", index, base ? base + 1 : path) < 0)
		return -ENOMEM;
	snprintf(full, sizeof(full), "%s/%s", root->modules.directory, path);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &stat)) {
		int code = errno;

		if (fd >= 0)
			close(fd);
		return -code;
	}
	root->data[index] = malloc((size_t)stat.st_size + 1);
	if (!root->data[index] ||
	    read(fd, root->data[index], (size_t)stat.st_size) != stat.st_size) {
		close(fd);
		return -EIO;
	}
	close(fd);
	root->files[root->file_count++] =
		(struct stet_root_file){ root->paths[index], S_IFREG | 0600, root->data[index],
					 (uint64_t)stat.st_size };
	return 0;
}

static int read_modules(struct root *root)
{
	for (size_t i = 0; i < root->modules.count; i++) {
		int ret = read_module(root, i);

		if (!ret)
			continue;
		message("cannot read module '%s/%s': %s", root->modules.directory,
			root->modules.paths[i], strerror(-ret));
		return EXIT_STET;
	}
	return 0;
}

int root_prepare(struct root *root, const struct run_options *options)
{
	int code = find_kernel(root, options);

	if (code)
		return code;
	root->terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	root->stderr_apart = root->terminal && !isatty(STDERR_FILENO);
	if (root->terminal)
		(void)terminal_size(&root->columns, &root->rows);
	root->files[root->file_count++] =
		(struct stet_root_file){ DIRECTORY, S_IFDIR | 0700, NULL, 0 };
	root->files[root->file_count++] =
		(struct stet_root_file){ DIRECTORY "/init", S_IFREG | 0700, init_image,
					 (uintptr_t)init_image_end - (uintptr_t)init_image };
	code = read_modules(root);
	if (!code)
		code = make_settings(root, options);
	if (code)
		return code;
	root->files[root->file_count++] =
		(struct stet_root_file){ DIRECTORY "/settings", S_IFREG | 0600, root->settings,
					 root->settings_bytes };
	return 0;
}

void root_free(struct root *root)
{
	for (size_t i = 0; i < KERNELS_MODULES_MAX; i++) {
		free(root->paths[i]);
		free(root->data[i]);
	}
	free(root->settings);
	kernel_modules_free(&root->modules);
}
