/* SPDX-License-Identifier: Apache-2.0 */
/* initrd: finds a place for the initial RAM disk and reads it there. */
#include <errno.h>
#include <inttypes.h>

#include "base/num.h"
#include "boot/loader.h"
#include "mem/layout.h"

/* As high as possible below limit, behind the kernel. */
static bool place_low(const struct boot_kernel *kernel, uint64_t limit, uint64_t bytes,
		      uint64_t *gpa)
{
	uint64_t at;

	if (bytes > limit)
		return false;
	at = num_align_down(limit - bytes, LAYOUT_PAGE_BYTES);
	if (at < kernel->end)
		return false;
	*gpa = at;
	return true;
}

/* As high as possible in a range above 4 GiB. */
static bool place_high(const struct ram *ram, uint64_t bytes, uint64_t *gpa)
{
	const struct ram_range *range;
	uint32_t i;

	for (i = 0; i < ram->range_count; i++) {
		range = &ram->ranges[i];
		if (range->gpa == 0 || bytes > range->bytes)
			continue;
		*gpa = num_align_down(range->gpa + range->bytes - bytes, LAYOUT_PAGE_BYTES);
		return true;
	}
	return false;
}

/* The least memory, in MiB, that an initrd of bytes fits into with this kernel; 0 where there is
 * none. */
static uint64_t memory_needed(const struct boot_kernel *kernel, uint64_t bytes)
{
	uint64_t limit = LAYOUT_LOW_RAM_BYTES_MAX;
	uint64_t need;

	if (!kernel->initrd_anywhere)
		limit = num_min(limit, kernel->initrd_limit);
	if (!num_align_up(bytes, LAYOUT_PAGE_BYTES, &bytes) || bytes > LAYOUT_RAM_BYTES_MAX)
		return 0;
	need = kernel->end + bytes; /* the former is below 4 GiB */
	if (need > limit)
		need = kernel->initrd_anywhere ? LAYOUT_LOW_RAM_BYTES_MAX + bytes : 0;
	return boot_memory_for(need);
}

static int initrd_too_large(const struct ram *ram, const struct boot_kernel *kernel,
			    const struct boot_file *file, struct error *error)
{
	uint64_t need = memory_needed(kernel, file->bytes);

	if (need)
		return error_set(error, EFBIG,
				 "%s: an initrd of %" PRIu64 " MiB does not fit behind the kernel "
				 "(up to %" PRIu64 " MiB) into %" PRIu64
				 " MiB of memory; give the VM at least %" PRIu64 " MiB",
				 file->name, boot_mib(file->bytes), boot_mib(kernel->end),
				 ram->bytes / MIB, need);
	return error_set(error, EFBIG,
			 "%s: an initrd of %" PRIu64
			 " MiB does not fit between the kernel's end at "
			 "%" PRIu64 " MiB and %" PRIu64 " MiB, the highest this kernel takes",
			 file->name, boot_mib(file->bytes), boot_mib(kernel->end),
			 num_min(kernel->initrd_limit, LAYOUT_LOW_RAM_BYTES_MAX) / MIB);
}

static bool place(const struct ram *ram, const struct boot_kernel *kernel, uint64_t bytes,
		  uint64_t *gpa)
{
	uint64_t low_end = ram_low_end(ram);
	uint64_t limit = num_min(low_end, kernel->initrd_limit);

	return place_low(kernel, limit, bytes, gpa) ||
	       (kernel->initrd_anywhere &&
		(place_low(kernel, low_end, bytes, gpa) || place_high(ram, bytes, gpa)));
}

/* Unpacked it takes more memory than packed: that decides. */
static int check_unpacked(const struct ram *ram, const struct boot_kernel *kernel,
			  const struct tree *tree, struct error *error)
{
	uint64_t need = tree_memory_bytes(tree, kernel->end);
	uint64_t largest_bytes = 0;
	const char *largest = tree_largest(tree, &largest_bytes);

	if (need <= ram->bytes)
		return 0;
	return error_set(error, EFBIG,
			 "%s: %" PRIu64 " MiB in %" PRIu64 " files, to be unpacked in the guest, "
			 "need %" PRIu64 " MiB of memory, the VM has %" PRIu64
			 " MiB; give it at least %" PRIu64
			 " MiB (the largest file: %.200s, %" PRIu64 " MiB)",
			 tree_directory(tree), boot_mib(tree_archive_bytes(tree)),
			 tree_entry_count(tree), need / MIB, ram->bytes / MIB, need / MIB,
			 largest ? largest : "none", boot_mib(largest_bytes));
}

int initrd_pack(const struct ram *ram, const struct boot_kernel *kernel, const struct tree *tree,
		const struct tree_progress *progress, struct boot_payload *payload,
		struct error *error)
{
	const struct boot_file file = { -1, tree_archive_bytes(tree), tree_directory(tree) };
	uint64_t gpa;
	int result;

	result = check_unpacked(ram, kernel, tree, error);
	if (result)
		return result;
	if (!place(ram, kernel, file.bytes, &gpa))
		return initrd_too_large(ram, kernel, &file, error);
	result = tree_write(tree, ram_ptr(ram, gpa, file.bytes), progress, error);
	if (result)
		return result;
	payload->initrd_gpa = gpa;
	payload->initrd_bytes = file.bytes;
	return 0;
}

int initrd_load(const struct ram *ram, const struct boot_kernel *kernel,
		const struct boot_file *file, struct boot_payload *payload, struct error *error)
{
	uint64_t gpa;
	int result;

	if (!file->bytes)
		return error_set(error, ENODATA, "%s: is empty", file->name);
	if (!place(ram, kernel, file->bytes, &gpa))
		return initrd_too_large(ram, kernel, file, error);
	result = boot_read_ram(ram, file, 0, gpa, file->bytes, error);
	if (result)
		return result;
	payload->initrd_gpa = gpa;
	payload->initrd_bytes = file->bytes;
	return 0;
}
