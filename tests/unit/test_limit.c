/* SPDX-License-Identifier: Apache-2.0 */
/* test_limit: the token bucket, with a clock of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "devices/limit.h"

static void test_no_limit(void **state)
{
	const struct limit_rate rate = { 0 };
	struct limit limit;

	(void)state;
	limit_init(&limit, &rate, 5);
	for (int i = 0; i < 100; i++) {
		limit_take(&limit, UINT64_MAX);
		assert_true(limit_open(&limit, 5));
	}
	assert_int_equal(limit_wait_ns(&limit), 0);
}

/* How much passes in a time, taken in pieces whenever it is open, asking at odd moments. */
static uint64_t passes(struct limit *limit, uint64_t piece, uint64_t ns, uint64_t step_ns)
{
	uint64_t sum = 0;

	for (uint64_t now = 0; now <= ns; now += step_ns) {
		while (limit_open(limit, now)) {
			limit_take(limit, piece);
			sum += piece;
		}
	}
	return sum;
}

static void test_rate_and_burst(void **state)
{
	static const uint64_t steps[] = { 7, 999, 1000000, 333333333 };
	struct limit_rate rate = { .per_second = 1000, .burst = 500 };
	struct limit limit;

	(void)state;
	for (size_t i = 1; i < 3; i++) {
		limit_init(&limit, &rate, 0);
		assert_in_range(passes(&limit, 1, 10 * NS_PER_SEC, steps[i]), 10498, 10502);
	}
	limit_init(&limit, &rate, 0); /* looking rarely loses what the burst cannot hold */
	assert_in_range(passes(&limit, 1, 10 * NS_PER_SEC, 2 * NS_PER_SEC), 3000, 3000);
	limit_init(&limit, &rate, 0); /* looking every few ns neither loses nor gains */
	assert_in_range(passes(&limit, 1, NS_PER_SEC / 100, steps[0]), 509, 511);
	rate.once = 2000;
	limit_init(&limit, &rate, 0);
	assert_in_range(passes(&limit, 1, 10 * NS_PER_SEC, 1000000), 12498, 12502);
}

static void test_debt(void **state)
{
	const struct limit_rate rate = { .per_second = 1000, .burst = 100 };
	struct limit limit;

	(void)state;
	limit_init(&limit, &rate, 0);
	assert_true(limit_open(&limit, 0));
	limit_take(&limit, 5100); /* larger than the burst: passes, and is paid for after */
	assert_false(limit_open(&limit, 0));
	assert_in_range(limit_wait_ns(&limit), 5 * NS_PER_SEC, 5 * NS_PER_SEC + 1000002);
	assert_false(limit_open(&limit, 5 * NS_PER_SEC));
	assert_true(limit_open(&limit, limit_wait_ns(&limit) + 5 * NS_PER_SEC));
}

static void test_extremes(void **state)
{
	const struct limit_rate fast = { .per_second = UINT64_MAX, .burst = UINT64_MAX };
	const struct limit_rate slow = { .per_second = 1, .burst = 1 };
	struct limit limit;

	(void)state;
	limit_init(&limit, &fast, 0);
	for (uint64_t i = 0; i < 100; i++) {
		limit_take(&limit, UINT64_MAX);
		limit_open(&limit, i * NS_PER_SEC * 1000000);
	}
	assert_true(limit_open(&limit, UINT64_MAX));
	limit_init(&limit, &slow, 0);
	for (int i = 0; i < 100; i++)
		limit_take(&limit, UINT64_MAX);
	assert_false(limit_open(&limit, UINT64_MAX / 2));
	assert_in_range(limit_wait_ns(&limit), 1, 3600 * NS_PER_SEC);
	limit_init(&limit, &slow, 1000);
	assert_true(limit_open(&limit, 0)); /* a clock that goes back */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_rate_and_burst),
		cmocka_unit_test(test_debt),
		cmocka_unit_test(test_extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
