/* SPDX-License-Identifier: Apache-2.0 */
/* kernel: boot_load(): recognises the kernel's format, loads it, then what goes with it. */
#include <errno.h>

#include "base/num.h"
#include "boot/boot.h"
#include "boot/loader.h"
#include "boot/x86.h"
#include "mem/layout.h"

static int read_head(const struct boot_file *file, struct boot_head *head, struct error *error)
{
	if (!file->bytes)
		return error_set(error, ENODATA, "%s: is empty", file->name);
	head->bytes = num_min(file->bytes, sizeof(head->data));
	memset(head->data + head->bytes, 0, sizeof(head->data) - head->bytes);
	return boot_read(file, 0, head->data, head->bytes, error);
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
	if (source->tree)
		result = initrd_pack(ram, &kernel, source->tree, &source->tree_progress, &payload,
				     error);
	else if (initrd_file.fd >= 0)
		result = initrd_load(ram, &kernel, &initrd_file, &payload, error);
	if (result)
		return result;
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
