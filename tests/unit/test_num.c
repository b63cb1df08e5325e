/* SPDX-License-Identifier: Apache-2.0 */
/* test_num: the limits of checked arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"

static void sums_and_products(void **state)
{
	uint64_t result = 7;

	(void)state;
	assert_true(num_add(UINT64_MAX - 1, 1, &result));
	assert_true(result == UINT64_MAX);
	assert_false(num_add(UINT64_MAX, 1, &result));
	assert_false(num_add(UINT64_MAX, UINT64_MAX, &result));
	assert_true(result == UINT64_MAX); /* untouched */
	assert_true(num_add(0, 0, &result));
	assert_true(result == 0);
	assert_true(num_mul(UINT64_MAX, 1, &result));
	assert_true(result == UINT64_MAX);
	assert_false(num_mul(UINT64_C(1) << 32, UINT64_C(1) << 32, &result));
	assert_true(result == UINT64_MAX);
	assert_true(num_mul(0, UINT64_MAX, &result));
	assert_true(result == 0);
}

static void within(void **state)
{
	(void)state;
	assert_true(num_within(0, 0, 0));
	assert_false(num_within(0, 1, 0));
	assert_true(num_within(0, 10, 10));
	assert_true(num_within(9, 1, 10));
	assert_true(num_within(10, 0, 10));
	assert_false(num_within(10, 1, 10));
	assert_false(num_within(11, 0, 10));
	assert_false(num_within(1, 10, 10));
	assert_false(num_within(UINT64_MAX, 1, 10));
	assert_false(num_within(1, UINT64_MAX, 10));
	assert_false(num_within(UINT64_MAX, 2, UINT64_MAX));
	assert_true(num_within(UINT64_MAX - 1, 1, UINT64_MAX));
}

static void alignment(void **state)
{
	uint64_t aligned = 7;

	(void)state;
	assert_true(num_is_aligned(0, 4096));
	assert_true(num_is_aligned(8192, 4096));
	assert_false(num_is_aligned(8193, 4096));
	assert_true(num_is_aligned(UINT64_MAX, 1));
	assert_true(num_align_down(8191, 4096) == 4096);
	assert_true(num_align_up(0, 4096, &aligned) && aligned == 0);
	assert_true(num_align_up(1, 4096, &aligned) && aligned == 4096);
	assert_true(num_align_up(4096, 4096, &aligned) && aligned == 4096);
	assert_true(num_align_up(UINT64_MAX - 4095, 4096, &aligned));
	assert_true(aligned == UINT64_MAX - 4095);
	assert_false(num_align_up(UINT64_MAX - 4094, 4096, &aligned));
	assert_true(aligned == UINT64_MAX - 4095); /* untouched */
	assert_true(num_is_power_of_two(1) && num_is_power_of_two(UINT64_C(1) << 63));
	assert_false(num_is_power_of_two(0) || num_is_power_of_two(3));
	assert_true(num_min(1, 2) == 1 && num_max(1, 2) == 2);
}

static void little_endian(void **state)
{
	uint8_t bytes[16] = { 0 };
	unsigned int at;

	(void)state;
	for (at = 0; at < 8; at++) {
		store_le64(bytes + at, UINT64_C(0x1122334455667788));
		assert_int_equal(bytes[at], 0x88);
		assert_int_equal(bytes[at + 7], 0x11);
		assert_true(load_le64(bytes + at) == UINT64_C(0x1122334455667788));
		assert_true(load_le32(bytes + at) == 0x55667788);
		assert_true(load_le16(bytes + at) == 0x7788);
		store_le32(bytes + at, 0xaabbccdd);
		store_le16(bytes + at, 0x0102);
		assert_true(load_le64(bytes + at) == UINT64_C(0x11223344aabb0102));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_and_products),
		cmocka_unit_test(within),
		cmocka_unit_test(alignment),
		cmocka_unit_test(little_endian),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
