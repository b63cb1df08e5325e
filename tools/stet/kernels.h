/* SPDX-License-Identifier: Apache-2.0 */
/* kernels: finds a kernel for `stet run --root`, and the modules that go with one. */
#ifndef TOOLS_STET_KERNELS_H
#define TOOLS_STET_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

#define KERNELS_PATH_BYTES    4096
#define KERNELS_VERSION_BYTES 128
#define KERNELS_MODULES_MAX   48

/*
 * The first there is: $STET_KERNEL; the newest that tools/guest-kernel/build left in its cache;
 * kernel, vmlinux or bzImage in ../share/stet beside the program; the newest readable
 * /boot/vmlinuz-*. root is put before all but the environment's, for tests ("" otherwise). False
 * where there is none.
 */
bool kernels_find(const char *root, char path[KERNELS_PATH_BYTES]);

/* The version of a kernel file, from the header of a bzImage or the text in an ELF file. False
 * where it says none. */
bool kernels_version(const char *path, char version[KERNELS_VERSION_BYTES]);

/* Modules of a kernel in the order of insertion. */
struct kernel_modules {
	char directory[KERNELS_PATH_BYTES]; /* empty: none is known, all should be built in */
	char *paths[KERNELS_MODULES_MAX];   /* below directory */
	size_t count;
};

/*
 * What has to be inserted to have the modules of names (ended by NULL; a leading "?" means: where
 * there is one). The directory is looked for beside the kernel (../lib/modules/VERSION), in
 * /lib/modules and /usr/lib/modules. 0, or a negative errno with the module's name in *missing;
 * kernel_modules_free() either way.
 */
int kernel_modules_find(struct kernel_modules *modules, const char *kernel,
			const char *const *names, const char **missing);
void kernel_modules_free(struct kernel_modules *modules);

#endif
