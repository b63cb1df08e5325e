/* SPDX-License-Identifier: Apache-2.0 */
/* test_e820: the memory map for memories of all shapes. */
#include "boot_fixture.h"

/* A memory as mem/ram lays it out, without any pages. */
static struct ram make_ram(uint64_t bytes)
{
	struct layout_range ranges[LAYOUT_RAM_RANGES_MAX];
	struct ram ram = { .bytes = bytes };
	uint32_t i;

	ram.range_count = (uint32_t)layout_ram_ranges(bytes, ranges);
	for (i = 0; i < ram.range_count; i++) {
		ram.ranges[i].gpa = ranges[i].gpa;
		ram.ranges[i].bytes = ranges[i].bytes;
	}
	return ram;
}

/* Rising, without gaps below the end of low RAM, all RAM but the reserved area usable. */
static void test_shapes(void **state)
{
	static const uint64_t sizes[] = { 2 * MIB,           128 * MIB, 3 * GIB - 2 * MIB, 3 * GIB,
					  3 * GIB + 2 * MIB, 5 * GIB,   512 * GIB };
	struct boot_e820_entry entries[BOOT_E820_ENTRIES_MAX];
	uint64_t usable;
	uint64_t end;
	uint32_t count;
	uint32_t i;
	size_t k;

	(void)state;
	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		struct ram ram = make_ram(sizes[k]);

		memset(entries, 0xee, sizeof(entries));
		count = boot_e820(&ram, entries);
		assert_int_equal(count, sizes[k] > 3 * GIB ? 4 : 3);
		for (i = 0, end = 0, usable = 0; i < count; i++) {
			if (i < 3)
				assert_int_equal(entries[i].gpa, end);
			else
				assert_int_equal(entries[i].gpa, 4 * GIB);
			assert_true(entries[i].bytes > 0);
			end = entries[i].gpa + entries[i].bytes;
			if (entries[i].type == BOOT_E820_RAM)
				usable += entries[i].bytes;
		}
		assert_int_equal(usable, sizes[k] - (MIB - LAYOUT_LOW_RESERVED));
	}
}

/* What stet writes for the kernel is in usable memory (the kernel copies it), except ACPI tables,
 * which stay. */
static void test_reserved_area(void **state)
{
	struct boot_e820_entry entries[BOOT_E820_ENTRIES_MAX];
	struct ram ram = make_ram(64 * MIB);

	(void)state;
	boot_e820(&ram, entries);
	assert_int_equal(entries[0].type, BOOT_E820_RAM);
	assert_int_equal(entries[0].bytes, 0x9fc00);
	assert_true(LAYOUT_CMDLINE + LAYOUT_CMDLINE_BYTES <= entries[0].bytes);
	assert_int_equal(entries[1].type, BOOT_E820_RESERVED);
	assert_true(LAYOUT_ACPI >= entries[1].gpa);
	assert_true(LAYOUT_ACPI + LAYOUT_ACPI_BYTES <= entries[1].gpa + entries[1].bytes);
	assert_int_equal(entries[2].type, BOOT_E820_RAM);
	assert_int_equal(entries[2].gpa, MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_reserved_area),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
