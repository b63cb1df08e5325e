/* SPDX-License-Identifier: Apache-2.0 */
/* bzimage: Linux's compressed image, through the 64-bit entry of the boot protocol (boot.rst). */
#include <errno.h>
#include <inttypes.h>

#include "base/num.h"
#include "boot/boot.h"
#include "boot/loader.h"
#include "mem/layout.h"

#define SECTOR_BYTES 512

/* Offsets in the file (boot.rst, "The Real-Mode Kernel Header"). */
#define HEADER_SETUP_SECTS      0x1f1
#define HEADER_SYSSIZE          0x1f4 /* 16-byte units */
#define HEADER_BOOT_FLAG        0x1fe
#define HEADER_JUMP             0x200 /* a short jump over the header: its distance is the length */
#define HEADER_MAGIC            0x202
#define HEADER_VERSION          0x206
#define HEADER_LOADFLAGS        0x211
#define HEADER_INITRD_ADDR_MAX  0x22c
#define HEADER_KERNEL_ALIGNMENT 0x230
#define HEADER_RELOCATABLE      0x234
#define HEADER_XLOADFLAGS       0x236
#define HEADER_CMDLINE_SIZE     0x238
#define HEADER_PREF_ADDRESS     0x258
#define HEADER_INIT_SIZE        0x260
#define HEADER_END_MIN          0x268 /* with all fields of protocol 2.12 */

#define VERSION_MIN           0x020c /* the first with xloadflags */
#define LOADFLAGS_LOADED_HIGH 0x01
#define XLF_KERNEL_64         0x01
#define XLF_ABOVE_4G          0x02
#define SETUP_SECTS_DEFAULT   4
#define ENTRY_64_OFFSET       0x200

/* What is used of the header, out of the copy in struct boot_head. */
struct bzimage_header {
	uint64_t payload_offset; /* the protected-mode kernel in the file: all from here on */
	uint64_t payload_bytes;
	uint64_t needed_bytes; /* of those, what the header says is the kernel */
	uint64_t alignment, pref_address, init_bytes;
	bool relocatable, above_4g;
};

bool bzimage_is(const struct boot_head *head)
{
	return load_le16(head->data + HEADER_BOOT_FLAG) == 0xaa55 &&
	       !memcmp(head->data + HEADER_MAGIC, "HdrS", 4);
}

/* Refuses what has no 64-bit entry or lacks fields. */
static int check_version(const struct boot_file *file, const struct boot_head *head,
			 struct error *error)
{
	uint16_t version = load_le16(head->data + HEADER_VERSION);
	uint32_t end = HEADER_MAGIC + head->data[HEADER_JUMP + 1];

	if (head->bytes < HEADER_END_MIN)
		return error_set(error, ENODATA, "%s: truncated inside the setup header",
				 file->name);
	if (version < VERSION_MIN)
		return error_set(error, ENOEXEC,
				 "%s: boot protocol %u.%02u; at least 2.12 is needed (Linux 3.8)",
				 file->name, version >> 8, version & 0xff);
	if (!(load_le16(head->data + HEADER_XLOADFLAGS) & XLF_KERNEL_64))
		return error_set(error, ENOEXEC,
				 "%s: no 64-bit entry: a 32-bit kernel; use an x86-64 one",
				 file->name);
	if (!(head->data[HEADER_LOADFLAGS] & LOADFLAGS_LOADED_HIGH))
		return error_set(error, ENOEXEC, "%s: a zImage, loaded low; use a bzImage",
				 file->name);
	if (end < HEADER_END_MIN)
		return error_set(error, ENOEXEC,
				 "%s: its setup header is too short for its version", file->name);
	return 0;
}

static int parse_header(const struct boot_file *file, const struct boot_head *head,
			struct bzimage_header *header, struct error *error)
{
	uint64_t sectors = head->data[HEADER_SETUP_SECTS];

	if (!sectors)
		sectors = SETUP_SECTS_DEFAULT;
	header->payload_offset = (sectors + 1) * SECTOR_BYTES;
	header->needed_bytes = (uint64_t)load_le32(head->data + HEADER_SYSSIZE) * 16;
	if (!num_within(header->payload_offset, header->needed_bytes, file->bytes))
		return error_set(error, ENODATA,
				 "%s: truncated: %" PRIu64 " bytes, its header tells of %" PRIu64,
				 file->name, file->bytes,
				 header->payload_offset + header->needed_bytes);
	if (header->needed_bytes <= ENTRY_64_OFFSET)
		return error_set(error, ENOEXEC, "%s: there is no kernel behind its setup code",
				 file->name);
	header->payload_bytes = file->bytes - header->payload_offset;
	header->alignment = load_le32(head->data + HEADER_KERNEL_ALIGNMENT);
	header->pref_address = load_le64(head->data + HEADER_PREF_ADDRESS);
	header->init_bytes = load_le32(head->data + HEADER_INIT_SIZE);
	header->relocatable = head->data[HEADER_RELOCATABLE] != 0;
	header->above_4g = load_le16(head->data + HEADER_XLOADFLAGS) & XLF_ABOVE_4G;
	return 0;
}

/*
 * The preferred address, aligned. A relocatable kernel could lie elsewhere, but below the preferred
 * address it would move itself up to there first, and above there is nothing to gain (boot.rst,
 * init_size: runtime_start).
 */
static int choose_address(const struct boot_file *file, const struct bzimage_header *header,
			  uint64_t *gpa, struct error *error)
{
	*gpa = header->pref_address;
	if (!header->relocatable)
		return 0;
	if (!num_is_power_of_two(header->alignment) ||
	    !num_align_up(header->pref_address, header->alignment, gpa))
		return error_set(error, ENOEXEC,
				 "%s: the alignment in its header, 0x%" PRIx64
				 ", is not a power of two",
				 file->name, header->alignment);
	return 0;
}

/* The header as it goes to the zero page: as long as it says, but never over what follows it
 * there. */
static void copy_header(const struct boot_head *head, struct boot_kernel *kernel)
{
	uint64_t end = HEADER_MAGIC + (uint64_t)head->data[HEADER_JUMP + 1];

	end = num_min(end, SETUP_HEADER_END);
	memset(kernel->setup_header, 0, sizeof(kernel->setup_header));
	memcpy(kernel->setup_header, head->data + SETUP_HEADER_OFFSET, end - SETUP_HEADER_OFFSET);
}

int bzimage_load(const struct ram *ram, const struct boot_file *file, const struct boot_head *head,
		 struct boot_kernel *kernel, struct error *error)
{
	struct bzimage_header header = { 0 };
	uint64_t gpa = 0;
	uint64_t end;
	int result;

	result = check_version(file, head, error);
	if (!result)
		result = parse_header(file, head, &header, error);
	if (!result)
		result = choose_address(file, &header, &gpa, error);
	if (result)
		return result;

	/* Behind the kernel a file may have a signature. It is read along with it (kernels round
	 * their length differently) where it stays inside what the kernel takes anyway. */
	header.payload_bytes =
		num_min(header.payload_bytes, num_max(header.needed_bytes, header.init_bytes));
	if (!num_add(gpa, num_max(header.init_bytes, header.payload_bytes), &end))
		end = UINT64_MAX;
	result = boot_check_fit(ram, file, gpa, end, error);
	if (!result)
		result = boot_read_ram(ram, file, header.payload_offset, gpa, header.payload_bytes,
				       error);
	if (result)
		return result;

	kernel->protocol = BOOT_LINUX64;
	kernel->format = "bzImage";
	kernel->entry = gpa + ENTRY_64_OFFSET;
	kernel->gpa = gpa;
	kernel->end = end;
	kernel->cmdline_capacity = (uint64_t)load_le32(head->data + HEADER_CMDLINE_SIZE) + 1;
	kernel->initrd_limit = (uint64_t)load_le32(head->data + HEADER_INITRD_ADDR_MAX) + 1;
	kernel->initrd_anywhere = header.above_4g;
	copy_header(head, kernel);
	return 0;
}
