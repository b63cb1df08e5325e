/* SPDX-License-Identifier: Apache-2.0 */
/* kernel: boot_load(): recognises the kernel's format, loads it, then what goes with it. */
#include <errno.h>
#include <inttypes.h>

#include "base/fd.h"
#include "base/num.h"
#include "boot/boot.h"
#include "boot/loader.h"
#include "boot/x86.h"
#include "mem/layout.h"

static uint64_t mib_up(uint64_t bytes)
{
	return bytes / MIB + (bytes % MIB != 0);
}

/* The memory size, in MiB, that has bytes of low RAM: sizes come in huge pages. */
static uint64_t memory_for(uint64_t low_bytes)
{
	const uint64_t step = LAYOUT_HUGE_PAGE_BYTES;

	return (low_bytes / step + (low_bytes % step != 0)) * (step / MIB);
}

int boot_read(const struct ram *ram, const struct boot_file *file, uint64_t offset, uint64_t gpa,
	      uint64_t bytes, struct error *error)
{
	void *to;
	int result;

	if (!bytes)
		return 0;
	if (!num_within(offset, bytes, file->bytes))
		return error_set(error, ENODATA,
				 "%s: truncated: %" PRIu64 " bytes at offset %" PRIu64
				 " are beyond its end at %" PRIu64,
				 file->name, bytes, offset, file->bytes);
	to = ram_ptr(ram, gpa, bytes);
	if (!to)
		return error_set(error, EFBIG,
				 "%s: %" PRIu64 " bytes at 0x%" PRIx64 " are not guest memory",
				 file->name, bytes, gpa);
	result = fd_read_at(file->fd, to, bytes, offset);
	if (result == -ENODATA)
		return error_set(error, ENODATA, "%s: became shorter while it was read",
				 file->name);
	if (result)
		return error_set(error, -result, "%s: cannot be read: %s", file->name,
				 error_name(-result));
	return 0;
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
			 file->name, mib_up(end), ram->bytes / MIB, memory_for(end));
}

static int read_head(const struct boot_file *file, struct boot_head *head, struct error *error)
{
	int result;

	if (!file->bytes)
		return error_set(error, ENODATA, "%s: is empty", file->name);
	head->bytes = num_min(file->bytes, sizeof(head->data));
	memset(head->data + head->bytes, 0, sizeof(head->data) - head->bytes);
	result = fd_read_at(file->fd, head->data, head->bytes, 0);
	if (result)
		return error_set(error, -result, "%s: cannot be read: %s", file->name,
				 error_name(-result));
	return 0;
}

/* What a file that is no kernel may be, so that the error says what to do. */
static const char *hint_for(const struct boot_head *head)
{
	static const struct {
		const char magic[8];
		uint8_t offset, bytes;
		const char *hint;
	} known[] = {
		{ "\x1f\x8b", 0, 2, "it is compressed with gzip; unpack it first" },
		{ "\xfd"
		  "7zXZ",
		  0, 5, "it is compressed with xz; unpack it first" },
		{ "\x28\xb5\x2f\xfd", 0, 4, "it is compressed with zstd; unpack it first" },
		{ "070701", 0, 6, "it is an initrd (cpio)" },
		{ "ARMd", 56, 4, "it is a kernel for arm64" },
		{ "MZ", 0, 2, "it is an EFI program without a Linux setup header" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(known); i++) {
		if (!memcmp(head->data + known[i].offset, known[i].magic, known[i].bytes))
			return known[i].hint;
	}
	return "neither bzImage nor ELF";
}

static int load_kernel(const struct ram *ram, const struct boot_file *file, enum boot_choice choice,
		       struct boot_kernel *kernel, struct error *error)
{
	struct boot_head head;
	int result;

	result = read_head(file, &head, error);
	if (result)
		return result;
	if (elf_is(&head))
		return elf_load(ram, file, &head, choice, kernel, error);
	if (!bzimage_is(&head))
		return error_set(error, ENOEXEC, "%s: not a kernel: %s", file->name,
				 hint_for(&head));
	if (choice == BOOT_CHOICE_PVH)
		return error_set(error, ENOEXEC,
				 "%s: a bzImage has no PVH entry; use the vmlinux it is made of",
				 file->name);
	return bzimage_load(ram, file, &head, kernel, error);
}

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

static int initrd_too_large(const struct ram *ram, const struct boot_kernel *kernel,
			    const struct boot_file *file, struct error *error)
{
	uint64_t limit = num_min(kernel->initrd_limit, LAYOUT_LOW_RAM_BYTES_MAX);
	uint64_t need;

	if (num_add(file->bytes, kernel->end, &need) && num_add(need, LAYOUT_PAGE_BYTES, &need) &&
	    need <= limit)
		return error_set(error, EFBIG,
				 "%s: an initrd of %" PRIu64 " MiB does not fit behind the kernel "
				 "(up to %" PRIu64 " MiB) into %" PRIu64
				 " MiB of memory; give the VM at least %" PRIu64 " MiB",
				 file->name, mib_up(file->bytes), mib_up(kernel->end),
				 ram->bytes / MIB, memory_for(need));
	return error_set(error, EFBIG,
			 "%s: an initrd of %" PRIu64
			 " MiB does not fit between the kernel's end at "
			 "%" PRIu64 " MiB and %" PRIu64 " MiB, the highest this kernel takes",
			 file->name, mib_up(file->bytes), mib_up(kernel->end), limit / MIB);
}

static int load_initrd(const struct ram *ram, const struct boot_kernel *kernel,
		       const struct boot_file *file, struct boot_payload *payload,
		       struct error *error)
{
	uint64_t low_end = ram_low_end(ram);
	uint64_t limit = num_min(low_end, kernel->initrd_limit);
	uint64_t gpa;
	int result;

	if (!file->bytes)
		return error_set(error, ENODATA, "%s: is empty", file->name);
	if (!place_low(kernel, limit, file->bytes, &gpa) &&
	    !(kernel->initrd_anywhere && (place_low(kernel, low_end, file->bytes, &gpa) ||
					  place_high(ram, file->bytes, &gpa))))
		return initrd_too_large(ram, kernel, file, error);
	result = boot_read(ram, file, 0, gpa, file->bytes, error);
	if (result)
		return result;
	payload->initrd_gpa = gpa;
	payload->initrd_bytes = file->bytes;
	return 0;
}

static int write_cmdline(const struct ram *ram, const struct boot_kernel *kernel,
			 const char *cmdline, struct boot_payload *payload, struct error *error)
{
	uint64_t capacity = num_min(kernel->cmdline_capacity, LAYOUT_CMDLINE_BYTES);

	payload->cmdline_gpa = LAYOUT_CMDLINE;
	return cmdline_copy(ram_ptr(ram, LAYOUT_CMDLINE, LAYOUT_CMDLINE_BYTES), capacity, cmdline,
			    error);
}

int boot_load(const struct ram *ram, const struct boot_source *source, struct boot_image *image,
	      struct error *error)
{
	const struct boot_file kernel_file = { source->kernel_fd, source->kernel_bytes,
					       source->kernel_name ? source->kernel_name
								   : "kernel" };
	const struct boot_file initrd_file = { source->initrd_fd, source->initrd_bytes,
					       source->initrd_name ? source->initrd_name
								   : "initrd" };
	struct boot_payload payload = { 0 };
	struct boot_kernel kernel = { 0 };
	int result;

	result = load_kernel(ram, &kernel_file, source->choice, &kernel, error);
	if (result)
		return result;
	result = write_cmdline(ram, &kernel, source->cmdline, &payload, error);
	if (result)
		return result;
	if (initrd_file.fd >= 0) {
		result = load_initrd(ram, &kernel, &initrd_file, &payload, error);
		if (result)
			return result;
	}
	x86_write_gdt(ram);
	x86_write_reset_vector(ram);
	*image = (struct boot_image){
		.protocol = kernel.protocol,
		.format = kernel.format,
		.entry = kernel.entry,
		.kernel_gpa = kernel.gpa,
		.kernel_end = kernel.end,
		.initrd_gpa = payload.initrd_gpa,
		.initrd_bytes = payload.initrd_bytes,
		.info_gpa = kernel.protocol == BOOT_PVH
				    ? pvh_write_info(ram, &payload)
				    : linux64_write_info(ram, &kernel, &payload),
	};
	return 0;
}
