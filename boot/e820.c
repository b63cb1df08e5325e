/* SPDX-License-Identifier: Apache-2.0 */
/* e820: the memory map handed to the guest (ACPI 6.5 section 15, address range types). */
#include "base/num.h"
#include "boot/boot.h"
#include "mem/layout.h"

_Static_assert(LAYOUT_RAM_RANGES_MAX + 2 <= BOOT_E820_ENTRIES_MAX, "room for every range");

/* The range that begins at 0 is cut into what is usable below 640 KiB, the reserved area with our
 * tables, and the rest. */
static uint32_t e820_low(uint64_t end, struct boot_e820_entry *entries)
{
	entries[0] = (struct boot_e820_entry){ 0, LAYOUT_LOW_RESERVED, BOOT_E820_RAM };
	entries[1] =
		(struct boot_e820_entry){ LAYOUT_LOW_RESERVED, LAYOUT_KERNEL - LAYOUT_LOW_RESERVED,
					  BOOT_E820_RESERVED };
	entries[2] = (struct boot_e820_entry){ LAYOUT_KERNEL, end - LAYOUT_KERNEL, BOOT_E820_RAM };
	return 3;
}

uint32_t boot_e820(const struct ram *ram, struct boot_e820_entry entries[BOOT_E820_ENTRIES_MAX])
{
	uint32_t count = 0;
	uint32_t i;

	for (i = 0; i < ram->range_count; i++) {
		const struct ram_range *range = &ram->ranges[i];

		if (range->gpa == 0)
			count += e820_low(range->bytes, entries + count);
		else
			entries[count++] =
				(struct boot_e820_entry){ range->gpa, range->bytes, BOOT_E820_RAM };
	}
	return count;
}
