/* SPDX-License-Identifier: Apache-2.0 */
/* pvh: hvm_start_info of the PVH boot protocol (Xen: docs/misc/pvh,
 * public/arch-x86/hvm/start_info).
 */
#include "base/num.h"
#include "boot/loader.h"
#include "mem/layout.h"

#define START_INFO_MAGIC   UINT32_C(0x336ec578)
#define START_INFO_VERSION 1 /* the first with a memory map */

/* All in one page: the structure, one module, the memory map. */
#define START_INFO_BYTES   56
#define MODULE_OFFSET      0x40
#define MODULE_BYTES       32
#define MEMORY_MAP_OFFSET  0x80
#define MEMORY_ENTRY_BYTES 24

_Static_assert(START_INFO_BYTES <= MODULE_OFFSET, "the module does not overlap");
_Static_assert(MODULE_OFFSET + MODULE_BYTES <= MEMORY_MAP_OFFSET, "the map does not overlap");
_Static_assert(LAYOUT_PVH_START_INFO + LAYOUT_PAGE_BYTES <= LAYOUT_ZERO_PAGE, "a page of its own");

/* struct hvm_memmap_table_entry; its types are those of e820. */
static uint32_t write_memory_map(uint8_t *at, const struct ram *ram)
{
	struct boot_e820_entry entries[BOOT_E820_ENTRIES_MAX];
	uint32_t count = boot_e820(ram, entries);
	uint32_t i;

	for (i = 0; i < count; i++, at += MEMORY_ENTRY_BYTES) {
		store_le64(at, entries[i].gpa);
		store_le64(at + 8, entries[i].bytes);
		store_le32(at + 16, entries[i].type);
	}
	return count;
}

uint64_t pvh_write_info(const struct ram *ram, const struct boot_payload *payload)
{
	uint8_t *info = ram_ptr(ram, LAYOUT_PVH_START_INFO, LAYOUT_PAGE_BYTES);

	memset(info, 0, LAYOUT_PAGE_BYTES);
	store_le32(info, START_INFO_MAGIC);
	store_le32(info + 4, START_INFO_VERSION);
	if (payload->initrd_bytes) {
		store_le32(info + 12, 1); /* nr_modules */
		store_le64(info + 16, LAYOUT_PVH_START_INFO + MODULE_OFFSET);
		store_le64(info + MODULE_OFFSET, payload->initrd_gpa);
		store_le64(info + MODULE_OFFSET + 8, payload->initrd_bytes);
	}
	store_le64(info + 24, payload->cmdline_gpa);
	store_le64(info + 32, LAYOUT_ACPI); /* rsdp_paddr */
	store_le64(info + 40, LAYOUT_PVH_START_INFO + MEMORY_MAP_OFFSET);
	store_le32(info + 48, write_memory_map(info + MEMORY_MAP_OFFSET, ram));
	return LAYOUT_PVH_START_INFO;
}
