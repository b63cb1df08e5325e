/* SPDX-License-Identifier: Apache-2.0 */
/* loader: what the loaders of kernel formats share: checked reads, and what fits into memory. */
#include "boot/loader.h"

#include <errno.h>
#include <inttypes.h>

#include "base/fd.h"
#include "base/num.h"
#include "mem/layout.h"

uint64_t boot_mib(uint64_t bytes)
{
	return bytes / MIB + (bytes % MIB != 0);
}

uint64_t boot_memory_for(uint64_t low_bytes)
{
	const uint64_t step = LAYOUT_HUGE_PAGE_BYTES;

	return (low_bytes / step + (low_bytes % step != 0)) * (step / MIB);
}

int boot_read(const struct boot_file *file, uint64_t offset, void *data, uint64_t bytes,
	      struct error *error)
{
	int result;

	if (!num_within(offset, bytes, file->bytes))
		return error_set(error, ENODATA,
				 "%s: truncated: %" PRIu64 " bytes at offset %" PRIu64
				 " are beyond its end at %" PRIu64,
				 file->name, bytes, offset, file->bytes);
	result = fd_read_at(file->fd, data, bytes, offset);
	if (result == -ENODATA)
		return error_set(error, ENODATA, "%s: became shorter while it was read",
				 file->name);
	if (result)
		return error_set(error, -result, "%s: cannot be read: %s", file->name,
				 error_name(-result));
	return 0;
}

int boot_read_ram(const struct ram *ram, const struct boot_file *file, uint64_t offset,
		  uint64_t gpa, uint64_t bytes, struct error *error)
{
	void *to = ram_ptr(ram, gpa, bytes);

	if (!bytes)
		return 0;
	if (!to)
		return error_set(error, EFBIG,
				 "%s: %" PRIu64 " bytes at 0x%" PRIx64 " are not guest memory",
				 file->name, bytes, gpa);
	return boot_read(file, offset, to, bytes, error);
}

int boot_check_fit(const struct ram *ram, const struct boot_file *file, uint64_t gpa, uint64_t end,
		   struct error *error)
{
	if (gpa < LAYOUT_KERNEL || end < gpa)
		return error_set(error, ENOEXEC,
				 "%s: wants to be loaded at 0x%" PRIx64
				 ", below 1 MiB: not a kernel for this machine",
				 file->name, gpa);
	if (end <= ram_low_end(ram))
		return 0;
	if (end > LAYOUT_LOW_RAM_BYTES_MAX)
		return error_set(error, EFBIG,
				 "%s: wants memory up to 0x%" PRIx64
				 "; kernels have to fit below %" PRIu64 " MiB",
				 file->name, end, LAYOUT_LOW_RAM_BYTES_MAX / MIB);
	return error_set(error, EFBIG,
			 "%s: the kernel needs memory up to %" PRIu64 " MiB, the VM has %" PRIu64
			 " MiB; give it at least %" PRIu64 " MiB",
			 file->name, boot_mib(end), ram->bytes / MIB, boot_memory_for(end));
}
