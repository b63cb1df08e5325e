/* SPDX-License-Identifier: Apache-2.0 */
/* test_rtc: the clock in each of its formats, setting it, CMOS memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "devices/platform.h"

#define SET    0x80
#define BINARY 0x04
#define H24    0x02

static void put(struct device *rtc, uint8_t index, uint8_t value)
{
	rtc->ops->write(rtc, 0, 1, index);
	rtc->ops->write(rtc, 1, 1, value);
}

static uint8_t get(struct device *rtc, uint8_t index)
{
	uint64_t value = UINT64_MAX;

	rtc->ops->write(rtc, 0, 1, index);
	rtc->ops->read(rtc, 1, 1, &value);
	return (uint8_t)value;
}

/* The clock in binary, read while it stands so that no second passes in between. */
static time_t guest_now(struct device *rtc)
{
	uint8_t b = get(rtc, 0x0b);
	struct tm tm = { 0 };

	put(rtc, 0x0b, SET | BINARY | H24);
	tm.tm_sec = get(rtc, 0x00);
	tm.tm_min = get(rtc, 0x02);
	tm.tm_hour = get(rtc, 0x04);
	tm.tm_mday = get(rtc, 0x07);
	tm.tm_mon = get(rtc, 0x08) - 1;
	tm.tm_year = get(rtc, 0x32) * 100 + get(rtc, 0x09) - 1900;
	put(rtc, 0x0b, b);
	return timegm(&tm);
}

static int setup(void **state)
{
	*state = rtc_create();
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	device_destroy(*state);
	return 0;
}

static void test_is_utc(void **state)
{
	struct device *rtc = *state;
	time_t before = time(NULL);
	time_t guest = guest_now(rtc);

	assert_in_range(guest, before, time(NULL));
}

static void test_powers_on_as_a_pc(void **state)
{
	struct device *rtc = *state;

	assert_int_equal(get(rtc, 0x0a) & 0x7f, 0x26);
	assert_int_equal(get(rtc, 0x0b), H24);
	assert_int_equal(get(rtc, 0x0c), 0);
	assert_int_equal(get(rtc, 0x0d), 0x80);
	put(rtc, 0x0d, 0);
	assert_int_equal(get(rtc, 0x0d), 0x80);
	put(rtc, 0x0a, 0xff);
	put(rtc, 0x0b, SET | H24); /* no update while it is set */
	assert_int_equal(get(rtc, 0x0a), 0x7f);
}

static void set_clock(struct device *rtc, uint8_t b, const uint8_t values[7])
{
	static const uint8_t registers[] = { 0x00, 0x02, 0x04, 0x07, 0x08, 0x09, 0x32 };

	put(rtc, 0x0b, SET | b);
	for (unsigned int i = 0; i < 7; i++)
		put(rtc, registers[i], values[i]);
	for (unsigned int i = 0; i < 7; i++)
		assert_int_equal(get(rtc, registers[i]), values[i]);
	put(rtc, 0x0b, b);
}

static void check_set(struct device *rtc, time_t expected)
{
	time_t guest = guest_now(rtc);

	assert_in_range(guest, expected, expected + 60); /* it went on, from there */
}

static void test_set_in_each_format(void **state)
{
	struct device *rtc = *state;
	static const uint8_t bcd[] = { 0x58, 0x59, 0x23, 0x28, 0x02, 0x00, 0x20 };
	static const uint8_t binary[] = { 58, 59, 23, 28, 2, 0, 20 };
	static const uint8_t bcd_pm[] = { 0x58, 0x59, 0x91, 0x28, 0x02, 0x00, 0x20 };
	static const uint8_t binary_am[] = { 58, 59, 12, 28, 2, 0, 20 };
	static const uint8_t noon[] = { 0x00, 0x00, 0x92, 0x31, 0x12, 0x99, 0x19 };
	const time_t late = 951782398; /* 2000-02-28 23:59:58 UTC */

	set_clock(rtc, H24, bcd);
	check_set(rtc, late);
	set_clock(rtc, H24 | BINARY, binary);
	check_set(rtc, late);
	set_clock(rtc, 0, bcd_pm);
	check_set(rtc, late);
	set_clock(rtc, BINARY, binary_am);
	check_set(rtc, late - 23 * 3600);
	set_clock(rtc, 0, noon);
	check_set(rtc, 946641600); /* 1999-12-31 12:00:00 UTC */
}

static void test_weekday(void **state)
{
	struct device *rtc = *state;
	static const uint8_t sunday[] = { 0x00, 0x00, 0x12, 0x27, 0x02, 0x00, 0x20 };

	set_clock(rtc, H24, sunday);
	assert_int_equal(get(rtc, 0x06), 1);
	put(rtc, 0x07, 0x28); /* without B.SET: at once, the rest stays */
	assert_int_equal(get(rtc, 0x06), 2);
	check_set(rtc, 951739200);
}

static void test_carries_are_bounded(void **state)
{
	struct device *rtc = *state;

	put(rtc, 0x0b, H24 | BINARY);
	for (unsigned int i = 0; i < 100000; i++) {
		put(rtc, 0x32, 0xff);
		put(rtc, 0x09, 0xff);
		put(rtc, 0x08, i & 1 ? 0xff : 0);
		put(rtc, 0x07, 0xff);
	}
	assert_in_range(get(rtc, 0x08), 1, 12);
	assert_in_range(get(rtc, 0x07), 1, 31);
	assert_in_range(get(rtc, 0x09), 0, 99);
}

static void test_cmos_memory(void **state)
{
	struct device *rtc = *state;
	uint64_t value = UINT64_MAX;

	put(rtc, 0x0f, 0x0a);
	put(rtc, 0x80 | 0x7f, 0x55); /* bit 7 masks NMI and is no address */
	assert_int_equal(get(rtc, 0x8f), 0x0a);
	assert_int_equal(get(rtc, 0x7f), 0x55);
	rtc->ops->reset(rtc);
	assert_int_equal(get(rtc, 0x7f), 0x55);
	rtc->ops->read(rtc, 0, 1, &value);
	assert_true(value == UINT64_MAX); /* the index is write-only */
	rtc->ops->read(rtc, 0, 2, &value);
	rtc->ops->write(rtc, 0, 2, 0x1234);
	assert_true(value == UINT64_MAX);
}

#define RTC_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RTC_TEST(test_is_utc),
		RTC_TEST(test_powers_on_as_a_pc),
		RTC_TEST(test_set_in_each_format),
		RTC_TEST(test_weekday),
		RTC_TEST(test_carries_are_bounded),
		RTC_TEST(test_cmos_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
