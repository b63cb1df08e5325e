/* SPDX-License-Identifier: Apache-2.0 */
/* test_text: growing strings, JSON's structure and its escapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "base/text.h"

static void empty(void **state)
{
	struct text text = { 0 };

	(void)state;
	assert_true(text_ok(&text));
	text_free(&text);
	text_append(&text, NULL, 0);
	assert_string_equal(text.data, "");
	text_printf(&text, "%s", "");
	assert_int_equal(text.bytes, 0);
	text_free(&text);
	assert_null(text.data);
}

/* Across every capacity there is on the way to some KiB. */
static void grows(void **state)
{
	struct text text = { 0 };
	unsigned int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		text_printf(&text, "%04u", i);
		text_append(&text, "-x-", 2);
		assert_int_equal(strlen(text.data), text.bytes);
	}
	assert_true(text_ok(&text));
	assert_int_equal(text.bytes, 6000);
	for (i = 0; i < 1000; i++) {
		char expected[8];

		snprintf(expected, sizeof(expected), "%04u-x", i);
		assert_memory_equal(text.data + (size_t)i * 6, expected, 6);
	}
	text_free(&text);
}

static void one_printf_longer_than_any_step(void **state)
{
	struct text text = { 0 };

	(void)state;
	text_printf(&text, "%s%70000d", "a", 7);
	assert_int_equal(text.bytes, 70001);
	assert_int_equal(text.data[70000], '7');
	text_free(&text);
}

static void failure_sticks(void **state)
{
	struct text text = { 0 };

	(void)state;
	text_printf(&text, "kept");
	text_append(&text, "x", SIZE_MAX / 2); /* no memory has room for it; nothing is read */
	assert_false(text_ok(&text));
	text_printf(&text, "lost");
	text_append(&text, "lost", 4);
	json_string(&text, "lost", "lost");
	assert_string_equal(text.data, "kept");
	text_free(&text);
	assert_true(text_ok(&text));
}

static void structure(void **state)
{
	struct text text = { 0 };

	(void)state;
	json_begin_object(&text, NULL);
	json_u64(&text, "schema", 1);
	json_begin_array(&text, "empty");
	json_end_array(&text);
	json_begin_array(&text, "list");
	json_u64(&text, NULL, 0);
	json_u64(&text, NULL, UINT64_MAX);
	json_begin_object(&text, NULL);
	json_end_object(&text);
	json_begin_object(&text, NULL);
	json_null(&text, "n");
	json_string(&text, "s", NULL);
	json_end_object(&text);
	json_end_array(&text);
	json_bool(&text, "t", true);
	json_bool(&text, "f", false);
	json_string(&text, "na\"me", "value");
	json_end_object(&text);
	assert_string_equal(
		text.data,
		"{\"schema\":1,\"empty\":[],\"list\":[0,18446744073709551615,{},"
		"{\"n\":null,\"s\":null}],\"t\":true,\"f\":false,\"na\\\"me\":\"value\"}");
	text_free(&text);
}

#define BAD "\xef\xbf\xbd"

static void escapes(void **state)
{
	static const struct {
		const char *value, *json;
	} cases[] = {
		{ "", "\"\"" },
		{ "plain /", "\"plain /\"" },
		{ "a\"b\\c", "\"a\\\"b\\\\c\"" },
		{ "\n\r\t\b\x01\x1f", "\"\\n\\r\\t\\u0008\\u0001\\u001f\"" },
		{ "\x7f", "\"\\u007f\"" },
		{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
		  "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		/* the limits of each length */
		{ "\xc2\x80 \xdf\xbf", "\"\xc2\x80 \xdf\xbf\"" },
		{ "\xe0\xa0\x80 \xef\xbf\xbf", "\"\xe0\xa0\x80 \xef\xbf\xbf\"" },
		{ "\xed\x9f\xbf \xee\x80\x80", "\"\xed\x9f\xbf \xee\x80\x80\"" },
		{ "\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf", "\"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf\"" },
		/* no UTF-8: one replacement for each byte */
		{ "\x80", "\"" BAD "\"" },
		{ "\xff\xfe", "\"" BAD BAD "\"" },
		{ "\xc0\x80", "\"" BAD BAD "\"" }, /* overlong */
		{ "\xc1\xbf", "\"" BAD BAD "\"" },
		{ "\xe0\x9f\xbf", "\"" BAD BAD BAD "\"" },
		{ "\xed\xa0\x80", "\"" BAD BAD BAD "\"" }, /* surrogate */
		{ "\xf0\x8f\xbf\xbf", "\"" BAD BAD BAD BAD "\"" },
		{ "\xf4\x90\x80\x80", "\"" BAD BAD BAD BAD "\"" }, /* beyond U+10FFFF */
		{ "\xf5\x80", "\"" BAD BAD "\"" },
		/* cut off, by the end and by something else */
		{ "\xc3", "\"" BAD "\"" },
		{ "\xe2\x82", "\"" BAD BAD "\"" },
		{ "\xf0\x9f\x98", "\"" BAD BAD BAD "\"" },
		{ "\xe2\x82x", "\"" BAD BAD "x\"" },
		{ "\xc3\"", "\"" BAD "\\\"\"" },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct text text = { 0 };

		json_string(&text, NULL, cases[i].value);
		assert_string_equal(text.data, cases[i].json);
		text_free(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty),
		cmocka_unit_test(grows),
		cmocka_unit_test(one_printf_longer_than_any_step),
		cmocka_unit_test(failure_sticks),
		cmocka_unit_test(structure),
		cmocka_unit_test(escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
