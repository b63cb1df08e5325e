/* SPDX-License-Identifier: Apache-2.0 */
/* linux64: the zero page of the Linux/x86 boot protocol (boot.rst, zero-page.rst). */
#include "base/num.h"
#include "boot/loader.h"
#include "boot/x86.h"
#include "mem/layout.h"

/* Offsets in the zero page (struct boot_params); see zero-page.rst. */
#define ZERO_ACPI_RSDP_ADDR      0x070
#define ZERO_EXT_RAMDISK_IMAGE   0x0c0
#define ZERO_EXT_RAMDISK_SIZE    0x0c4
#define ZERO_E820_ENTRIES        0x1e8
#define ZERO_BOOT_FLAG           0x1fe
#define ZERO_HEADER              0x202
#define ZERO_VERSION             0x206
#define ZERO_TYPE_OF_LOADER      0x210
#define ZERO_LOADFLAGS           0x211
#define ZERO_RAMDISK_IMAGE       0x218
#define ZERO_RAMDISK_SIZE        0x21c
#define ZERO_CMD_LINE_PTR        0x228
#define ZERO_INITRD_ADDR_MAX     0x22c
#define ZERO_KERNEL_ALIGNMENT    0x230
#define ZERO_RELOCATABLE         0x234
#define ZERO_XLOADFLAGS          0x236
#define ZERO_CMDLINE_SIZE        0x238
#define ZERO_SETUP_DATA          0x250
#define ZERO_E820_TABLE          0x2d0
#define ZERO_E820_ENTRY_BYTES    20
#define ZERO_TYPE_UNDEFINED      0xff /* a loader without an assigned number */
#define ZERO_LOADFLAGS_HIGH      0x01
#define ZERO_LOADFLAGS_CAN_HEAP  0x80
#define ZERO_XLOADFLAGS_KERNEL64 0x03 /* 64-bit entry, all above 4 GiB */

static void write_e820(uint8_t *page, const struct ram *ram)
{
	struct boot_e820_entry entries[BOOT_E820_ENTRIES_MAX];
	uint32_t count = boot_e820(ram, entries);
	uint8_t *at = page + ZERO_E820_TABLE;
	uint32_t i;

	page[ZERO_E820_ENTRIES] = (uint8_t)count;
	for (i = 0; i < count; i++, at += ZERO_E820_ENTRY_BYTES) {
		store_le64(at, entries[i].gpa);
		store_le64(at + 8, entries[i].bytes);
		store_le32(at + 16, entries[i].type);
	}
}

uint64_t linux64_write_info(const struct ram *ram, const struct boot_kernel *kernel,
			    const struct boot_payload *payload)
{
	uint8_t *page = ram_ptr(ram, LAYOUT_ZERO_PAGE, LAYOUT_PAGE_BYTES);

	memset(page, 0, LAYOUT_PAGE_BYTES);
	memcpy(page + SETUP_HEADER_OFFSET, kernel->setup_header, sizeof(kernel->setup_header));

	/* "obligatory" and "modify" fields of the setup header. What is for 16-bit code (heap,
	 * video mode) does not matter behind the 64-bit entry. */
	page[ZERO_TYPE_OF_LOADER] = ZERO_TYPE_UNDEFINED;
	page[ZERO_LOADFLAGS] &= (uint8_t)~ZERO_LOADFLAGS_CAN_HEAP;
	store_le32(page + ZERO_CMD_LINE_PTR, (uint32_t)payload->cmdline_gpa);
	store_le32(page + ZERO_RAMDISK_IMAGE, (uint32_t)payload->initrd_gpa);
	store_le32(page + ZERO_RAMDISK_SIZE, (uint32_t)payload->initrd_bytes);
	store_le32(page + ZERO_EXT_RAMDISK_IMAGE, (uint32_t)(payload->initrd_gpa >> 32));
	store_le32(page + ZERO_EXT_RAMDISK_SIZE, (uint32_t)(payload->initrd_bytes >> 32));
	store_le64(page + ZERO_SETUP_DATA, 0);

	store_le64(page + ZERO_ACPI_RSDP_ADDR, LAYOUT_ACPI);
	write_e820(page, ram);
	x86_write_page_tables(ram);
	return LAYOUT_ZERO_PAGE;
}

/* A store at an offset of the zero page, in the header's own buffer. */
static uint8_t *header_at(struct boot_kernel *kernel, uint32_t zero_page_offset)
{
	return kernel->setup_header + (zero_page_offset - SETUP_HEADER_OFFSET);
}

void linux64_make_setup_header(struct boot_kernel *kernel)
{
	memset(kernel->setup_header, 0, sizeof(kernel->setup_header));
	store_le16(header_at(kernel, ZERO_BOOT_FLAG), 0xaa55);
	memcpy(header_at(kernel, ZERO_HEADER), "HdrS", 4);
	store_le16(header_at(kernel, ZERO_VERSION), 0x020c);
	*header_at(kernel, ZERO_LOADFLAGS) = ZERO_LOADFLAGS_HIGH;
	store_le32(header_at(kernel, ZERO_INITRD_ADDR_MAX), 0x7fffffff);
	store_le32(header_at(kernel, ZERO_KERNEL_ALIGNMENT), (uint32_t)LAYOUT_HUGE_PAGE_BYTES);
	store_le16(header_at(kernel, ZERO_XLOADFLAGS), ZERO_XLOADFLAGS_KERNEL64);
	store_le32(header_at(kernel, ZERO_CMDLINE_SIZE), (uint32_t)kernel->cmdline_capacity - 1);
}
