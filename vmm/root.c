/* SPDX-License-Identifier: Apache-2.0 */
/* root: a directory tree as the guest's initrd: what a configuration says of it. */
#include "vmm/root.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/num.h"
#include "mem/backing.h"

#define MEMORY_BYTES_MIN (512 * MIB)
#define WORKING_ROOM     (256 * MIB)
/* Larger than the kernels that distributions ship (they take up to 100 MiB): which one it is shows
 * later. */
#define KERNEL_END       (128 * MIB)

/* What the host can give to a VM: all of a pool, or what is available but for some. */
static uint64_t host_memory(enum stet_backing backing)
{
	struct backing_host host;
	uint64_t pool, rest;

	backing_probe_host(&host);
	pool = host.hugetlb_2m_free * (2 * MIB);
	rest = host.memory_available_bytes;
	if (host.memory_limit_bytes)
		rest = num_min(rest, host.memory_limit_bytes);
	rest -= rest / 8;
	switch (backing) {
	case STET_BACKING_HUGETLB_1G:
		return host.hugetlb_1g_free * GIB;
	case STET_BACKING_HUGETLB_2M:
		return pool;
	case STET_BACKING_AUTO:
		return num_max(pool, rest);
	default:
		return rest;
	}
}

static int choose_memory(const struct tree *tree, struct stet_config *config, struct error *error)
{
	uint64_t step = config->backing == STET_BACKING_HUGETLB_1G ? GIB : 2 * MIB;
	uint64_t need = tree_memory_bytes(tree, KERNEL_END);
	uint64_t wanted = num_max(need + WORKING_ROOM, MEMORY_BYTES_MIN);
	uint64_t there = host_memory(config->backing);
	uint64_t largest_bytes = 0;
	const char *largest = tree_largest(tree, &largest_bytes);

	if (there && need > there)
		return error_set(error, EFBIG,
				 "%s: %" PRIu64 " MiB in %" PRIu64 " files, to be unpacked in the "
				 "guest, need %" PRIu64 " MiB of memory; the host has %" PRIu64
				 " MiB for it (the largest file: %.200s, %" PRIu64 " MiB)",
				 config->root_dir, tree_archive_bytes(tree) / MIB,
				 tree_entry_count(tree), need / MIB, there / MIB,
				 largest ? largest : "none", largest_bytes / MIB);
	if (there)
		wanted = num_min(wanted, num_max(need, there));
	config->memory_bytes = num_align_down(wanted + step - 1, step);
	return 0;
}

int root_open(struct tree **tree, struct stet_config *config, const struct log *log,
	      struct error *error)
{
	struct tree_extra *extras = calloc(config->root_file_count + 1, sizeof(*extras));
	int ret;

	if (!extras)
		return error_set(error, ENOMEM, "no memory for the list of files");
	for (uint32_t i = 0; i < config->root_file_count; i++) {
		const struct stet_root_file *file = &config->root_files[i];

		extras[i] = (struct tree_extra){ file->path, file->mode, file->data, file->bytes };
	}
	ret = tree_scan(tree, config->root_dir, extras, config->root_file_count, log, error);
	free(extras);
	if (ret)
		return ret;
	if (!config->memory_bytes) {
		ret = choose_memory(*tree, config, error);
		if (ret)
			return ret;
	}
	log_line(log, LOG_LEVEL_INFO,
		 "%s: %" PRIu64 " files, %" PRIu64 " MiB; memory: %" PRIu64 " MiB",
		 config->root_dir, tree_entry_count(*tree), tree_archive_bytes(*tree) / MIB,
		 config->memory_bytes / MIB);
	return 0;
}
