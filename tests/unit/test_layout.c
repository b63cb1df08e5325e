/* SPDX-License-Identifier: Apache-2.0 */
/* test_layout: how RAM lies around the hole, and that what has a fixed place does not overlap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mem/layout.h"

static void check(uint64_t bytes, size_t count, uint64_t low, uint64_t high)
{
	struct layout_range ranges[LAYOUT_RAM_RANGES_MAX] = { { 0, 0 }, { 0, 0 } };

	assert_int_equal(layout_ram_ranges(bytes, ranges), count);
	assert_true(ranges[0].gpa == 0 && ranges[0].bytes == low);
	if (count == 2)
		assert_true(ranges[1].gpa == LAYOUT_HIGH_RAM_BASE && ranges[1].bytes == high);
}

static void ram(void **state)
{
	(void)state;
	check(2 * MIB, 1, 2 * MIB, 0);
	check(3 * GIB - 2 * MIB, 1, 3 * GIB - 2 * MIB, 0);
	check(3 * GIB, 1, 3 * GIB, 0);
	check(3 * GIB + 2 * MIB, 2, 3 * GIB, 2 * MIB);
	check(5 * GIB, 2, 3 * GIB, 2 * GIB);
	check(LAYOUT_RAM_BYTES_MAX, 2, 3 * GIB, LAYOUT_RAM_BYTES_MAX - 3 * GIB);
}

static void windows(void **state)
{
	const struct layout_range *windows;
	size_t count, i, j;

	(void)state;
	windows = layout_device_windows(&count);
	assert_true(count >= 2);
	for (i = 0; i < count; i++) {
		assert_true(windows[i].bytes > 0);
		assert_true(num_is_aligned(windows[i].gpa | windows[i].bytes, LAYOUT_PAGE_BYTES));
		assert_true(windows[i].gpa >= LAYOUT_LOW_RAM_BYTES_MAX);
		assert_true(windows[i].gpa + windows[i].bytes <= LAYOUT_HIGH_RAM_BASE);
		for (j = 0; j < i; j++)
			assert_true(windows[j].gpa + windows[j].bytes <= windows[i].gpa ||
				    windows[i].gpa + windows[i].bytes <= windows[j].gpa);
	}
}

/* Everything below 1 MiB in rising order. */
static void low_memory(void **state)
{
	static const struct layout_range fixed[] = {
		{ LAYOUT_GDT, 0x100 },
		{ LAYOUT_PVH_START_INFO, LAYOUT_PAGE_BYTES },
		{ LAYOUT_ZERO_PAGE, LAYOUT_PAGE_BYTES },
		{ LAYOUT_PAGE_TABLES, LAYOUT_PAGE_TABLES_BYTES },
		{ LAYOUT_CMDLINE, LAYOUT_CMDLINE_BYTES },
		{ LAYOUT_LOW_RESERVED, 0 },
		{ LAYOUT_ACPI, LAYOUT_ACPI_BYTES },
		{ LAYOUT_KERNEL, 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i + 1 < ARRAY_SIZE(fixed); i++)
		assert_true(fixed[i].gpa + fixed[i].bytes <= fixed[i + 1].gpa);
	/* The stack grows down between the zero page and the tables. */
	assert_true(LAYOUT_BOOT_STACK > LAYOUT_ZERO_PAGE + LAYOUT_PAGE_BYTES);
	assert_true(LAYOUT_BOOT_STACK < LAYOUT_PAGE_TABLES);
	assert_true(num_is_aligned(LAYOUT_PAGE_TABLES, LAYOUT_PAGE_BYTES));
	assert_true(LAYOUT_KERNEL < LAYOUT_RAM_BYTES_MIN);
	assert_true(num_is_aligned(LAYOUT_LOW_RAM_BYTES_MAX | LAYOUT_HIGH_RAM_BASE, GIB));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ram),
		cmocka_unit_test(windows),
		cmocka_unit_test(low_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
