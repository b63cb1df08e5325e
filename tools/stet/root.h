/* SPDX-License-Identifier: Apache-2.0 */
/* root: what `stet run --root` puts beside the tree: init, its settings, modules; and the kernel.
 */
#ifndef TOOLS_STET_ROOT_H
#define TOOLS_STET_ROOT_H

#include <stdbool.h>

#include "tools/stet/kernels.h"
#include "tools/stet/run_options.h"
#include "vmm/stet.h"

#define ROOT_CMDLINE "rdinit=/.stet/init quiet"

/* The command has a terminal where stet has one. Zeroed to begin with. */
struct root {
	bool terminal;     /* standard input and output are one */
	bool stderr_apart; /* but not standard error */
	uint16_t columns, rows;
	char kernel[KERNELS_PATH_BYTES];
	struct kernel_modules modules;
	char *settings; /* what init reads */
	size_t settings_bytes;
	char *paths[KERNELS_MODULES_MAX]; /* of files */
	void *data[KERNELS_MODULES_MAX];
	struct stet_root_file files[KERNELS_MODULES_MAX + 3];
	uint32_t file_count;
};

/* Says what is wrong and returns the exit code of that, or 0; root_free() either way. */
int root_prepare(struct root *root, const struct run_options *options);
void root_free(struct root *root);

#endif
