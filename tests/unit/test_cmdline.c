/* SPDX-License-Identifier: Apache-2.0 */
/* test_cmdline: what a command line may hold, and how long it may be. */
#include "boot_fixture.h"

static void test_accepted(void **state)
{
	static const char *const texts[] = {
		"",
		"console=ttyS0 root=/dev/vda rw",
		" ~!\"\\",
		"\xc2\xa0\xc3\xbf\xdf\xbf",         /* U+00A0, U+00FF, U+07FF */
		"\xe0\xa0\x80\xed\x9f\xbf",         /* U+0800, U+D7FF */
		"\xee\x80\x80\xef\xbf\xbd",         /* U+E000, U+FFFD */
		"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", /* U+10000, U+10FFFF */
	};
	struct error error = { 0 };
	char out[64];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		memset(out, 'x', sizeof(out));
		assert_int_equal(cmdline_copy(out, sizeof(out), texts[i], &error), 0);
		assert_string_equal(out, texts[i]);
	}
	assert_int_equal(cmdline_copy(out, sizeof(out), NULL, &error), 0);
	assert_string_equal(out, "");
}

static void test_refused(void **state)
{
	static const char *const texts[] = {
		"\n", /* control characters */
		"a\tb",
		"\x1b[0m",
		"\x7f",
		"\xc2\x80",
		"\xc2\x9f",
		"\x80", /* a continuation alone */
		"\xc3", /* cut sequences, before the end and before ASCII */
		"\xc3(",
		"\xe2\x82",
		"\xe2\x82x",
		"\xf0\x9f\x98",
		"\xf0\x9f\x98 ",
		"\xc0\xaf", /* longer than need be */
		"\xc1\xbf",
		"\xe0\x9f\xbf",
		"\xf0\x8f\xbf\xbf",
		"\xed\xa0\x80", /* surrogates */
		"\xed\xbf\xbf",
		"\xf4\x90\x80\x80", /* beyond U+10FFFF */
		"\xf5\x80\x80\x80",
		"\xff",
		"\xfe",
	};
	struct error error = { 0 };
	char out[64] = "untouched";
	char text[64];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		snprintf(text, sizeof(text), "ok %s", texts[i]);
		assert_int_equal(cmdline_copy(out, sizeof(out), text, &error), -EINVAL);
		assert_non_null(strstr(error.text, "position"));
		assert_string_equal(out, "untouched");
	}
}

static void test_capacity(void **state)
{
	struct error error = { 0 };
	char out[8] = "zzzzzzz";

	(void)state;
	assert_int_equal(cmdline_copy(out, 4, "abcd", &error), -E2BIG);
	assert_non_null(strstr(error.text, "4 bytes, the kernel takes 3"));
	assert_string_equal(out, "zzzzzzz");
	assert_int_equal(cmdline_copy(out, 0, "", &error), -E2BIG);
	assert_int_equal(cmdline_copy(out, 1, "", &error), 0);
	assert_memory_equal(out, "\0zzzzzz", 8);
	assert_int_equal(cmdline_copy(out, 4, "abc", &error), 0);
	assert_memory_equal(out, "abc\0zzz", 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_capacity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
