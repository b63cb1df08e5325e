/* SPDX-License-Identifier: Apache-2.0 */
/* layout: the guest-physical map, as data. */
#include "mem/layout.h"

size_t layout_ram_ranges(uint64_t ram_bytes, struct layout_range ranges[LAYOUT_RAM_RANGES_MAX])
{
	uint64_t low_bytes = num_min(ram_bytes, LAYOUT_LOW_RAM_BYTES_MAX);

	ranges[0] = (struct layout_range){ .gpa = 0, .bytes = low_bytes };
	if (ram_bytes == low_bytes)
		return 1;
	ranges[1] = (struct layout_range){ .gpa = LAYOUT_HIGH_RAM_BASE,
					   .bytes = ram_bytes - low_bytes };
	return 2;
}

const struct layout_range *layout_device_windows(size_t *count)
{
	/* The virtio-mmio window is not here: who plugs a device there knows which pages it has. */
	static const struct layout_range windows[] = {
		{ .gpa = LAYOUT_IOAPIC, .bytes = LAYOUT_PAGE_BYTES },
		{ .gpa = LAYOUT_LAPIC, .bytes = LAYOUT_PAGE_BYTES },
	};

	*count = ARRAY_SIZE(windows);
	return windows;
}
