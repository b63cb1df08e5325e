/* SPDX-License-Identifier: Apache-2.0 */
/* test_cli_kernels: which kernel is found, its version, and its modules in the order of insertion.
 */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/stet/kernels.h"

static char top[64];

static const char *at(const char *path)
{
	static char text[4][512];
	static unsigned int next;
	char *to = text[next++ % 4];

	snprintf(to, sizeof(text[0]), "%s/%s", top, path);
	return to;
}

/* A file with these bytes; its directories are made. */
static void put(const char *path, const void *data, size_t bytes)
{
	const char *full = at(path);
	char command[600];
	FILE *file;

	snprintf(command, sizeof(command), "mkdir -p \"$(dirname '%s')\"", full);
	assert_int_equal(system(command), 0);
	file = fopen(full, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, bytes, file), bytes);
	fclose(file);
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
	(void)stat;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int begin(void **state)
{
	(void)state;
	strcpy(top, "/tmp/test_kernels.XXXXXX");
	assert_non_null(mkdtemp(top));
	unsetenv("STET_KERNEL");
	unsetenv("STET_CACHE");
	unsetenv("XDG_CACHE_HOME");
	setenv("HOME", "/home/me", 1);
	return 0;
}

static int end(void **state)
{
	(void)state;
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}

static void set_age(const char *path, time_t seconds)
{
	const struct timespec times[2] = { { .tv_sec = seconds }, { .tv_sec = seconds } };

	assert_int_equal(utimensat(-1, at(path), times, 0), 0);
}

static void the_order(void **state)
{
	char path[KERNELS_PATH_BYTES];

	(void)state;
	assert_false(kernels_find(top, path));
	put("boot/vmlinuz-1", "x", 1);
	put("boot/vmlinuz-2", "x", 1);
	put("boot/vmlinuz-3", "x", 1);
	set_age("boot/vmlinuz-1", 1000);
	set_age("boot/vmlinuz-2", 3000);
	set_age("boot/vmlinuz-3", 2000);
	assert_true(kernels_find(top, path));
	assert_string_equal(path, at("boot/vmlinuz-2"));
	put("home/me/.cache/stet/guest-kernels/a/vmlinux", "x", 1);
	assert_true(kernels_find(top, path));
	assert_string_equal(path, at("home/me/.cache/stet/guest-kernels/a/vmlinux"));
	put("other/guest-kernels/b/vmlinux", "x", 1);
	setenv("STET_CACHE", "/other", 1);
	assert_true(kernels_find(top, path));
	assert_string_equal(path, at("other/guest-kernels/b/vmlinux"));
	setenv("STET_KERNEL", "/where/it/is", 1);
	assert_true(kernels_find(top, path));
	assert_string_equal(path, "/where/it/is");
}

/* A bzImage's header with a version at offset. */
static void put_bzimage(const char *path, const char *version, uint16_t offset)
{
	uint8_t file[2048] = { 0 };

	memcpy(file + 0x202, "HdrS", 4);
	file[0x20e] = (uint8_t)(offset - 0x200);
	file[0x20f] = (uint8_t)((offset - 0x200) >> 8);
	if (offset + strlen(version) <= sizeof(file))
		memcpy(file + offset, version, strlen(version));
	put(path, file, sizeof(file));
}

static void versions(void **state)
{
	char version[KERNELS_VERSION_BYTES];
	char long_one[400];
	const char elf[] =
		"\177ELF........Linux version %s\nLinux version 6.12.3-small (me@here) #1";

	(void)state;
	put_bzimage("bz", "6.1.0-9-amd64 (debian) #1", 0x700);
	assert_true(kernels_version(at("bz"), version));
	assert_string_equal(version, "6.1.0-9-amd64");
	put("elf", elf, sizeof(elf));
	assert_true(kernels_version(at("elf"), version));
	assert_string_equal(version, "6.12.3-small");
	put_bzimage("beyond", "", 0xff00);
	assert_false(kernels_version(at("beyond"), version));
	put_bzimage("path", "6/../../etc", 0x700);
	assert_true(kernels_version(at("path"), version));
	assert_string_equal(version, "6");
	memset(long_one, '7', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = 0;
	put_bzimage("long", long_one, 0x600);
	assert_true(kernels_version(at("long"), version));
	assert_int_equal(strlen(version), KERNELS_VERSION_BYTES - 1);
	put("short", "MZ", 2);
	assert_false(kernels_version(at("short"), version));
	assert_false(kernels_version(at("none"), version));
	assert_false(kernels_version(top, version));
}

static void modules_in_order(void **state)
{
	static const char depends[] = "kernel/net/a.ko.xz: kernel/net/b.ko.xz kernel/net/c.ko.xz\n"
				      "kernel/net/b.ko.xz: kernel/net/c.ko.xz\n"
				      "kernel/net/c.ko.xz:\n"
				      "kernel/net/with-dash.ko:\n";
	static const char builtin[] = "kernel/drivers/in.ko\n";
	static const char *const names[] = { "in", "a", "b", "with_dash", "?absent", NULL };
	static const char *const unknown[] = { "absent", NULL };
	struct kernel_modules modules;
	const char *missing = NULL;

	(void)state;
	put_bzimage("boot/vmlinuz-6.9", "6.9", 0x700);
	assert_int_equal(kernel_modules_find(&modules, at("boot/vmlinuz-6.9"), unknown, &missing),
			 0);
	assert_int_equal(modules.count, 0); /* no folder: all should be built in */
	assert_string_equal(modules.directory, "");
	put("lib/modules/6.9/modules.dep", depends, sizeof(depends) - 1);
	put("lib/modules/6.9/modules.builtin", builtin, sizeof(builtin) - 1);
	assert_int_equal(kernel_modules_find(&modules, at("boot/vmlinuz-6.9"), names, &missing), 0);
	assert_int_equal(modules.count, 4);
	assert_string_equal(modules.paths[0], "kernel/net/c.ko.xz");
	assert_string_equal(modules.paths[1], "kernel/net/b.ko.xz");
	assert_string_equal(modules.paths[2], "kernel/net/a.ko.xz");
	assert_string_equal(modules.paths[3], "kernel/net/with-dash.ko");
	kernel_modules_free(&modules);
	assert_int_equal(kernel_modules_find(&modules, at("boot/vmlinuz-6.9"), unknown, &missing),
			 -ENOENT);
	assert_string_equal(missing, "absent");
	kernel_modules_free(&modules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_order, begin, end),
		cmocka_unit_test_setup_teardown(versions, begin, end),
		cmocka_unit_test_setup_teardown(modules_in_order, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
