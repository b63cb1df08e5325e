/* SPDX-License-Identifier: Apache-2.0 */
/* test_error: sentences, context in front of them, and what happens at the end of the buffer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static void set_and_context(void **state)
{
	struct error error = { 0 };

	(void)state;
	assert_int_equal(error_set(&error, ENOENT, "no %s", "kernel"), -ENOENT);
	assert_int_equal(error.code, ENOENT);
	assert_string_equal(error.text, "no kernel");
	assert_int_equal(error_context(&error, "disk %d", 3), -ENOENT);
	assert_string_equal(error.text, "disk 3: no kernel");
	assert_int_equal(error_set(&error, EIO, "again"), -EIO);
	assert_string_equal(error.text, "again");
}

static void without_error(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, EBUSY, "text"), -EBUSY);
	assert_int_equal(error_context(NULL, "text"), -EIO);
}

static void too_long(void **state)
{
	char text[2 * ERROR_TEXT_BYTES];
	struct {
		struct error error;
		char behind;
	} guarded = { .behind = 'x' };
	size_t bytes;

	(void)state;
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	error_set(&guarded.error, EINVAL, "%s", text);
	assert_int_equal(strlen(guarded.error.text), ERROR_TEXT_BYTES - 1);

	error_context(&guarded.error, "here");
	assert_int_equal(strlen(guarded.error.text), ERROR_TEXT_BYTES - 1);
	assert_memory_equal(guarded.error.text, "here: aaa", 9);

	/* Every length of context, against a text that then no longer fits. */
	for (bytes = 0; bytes < sizeof(text); bytes++) {
		error_set(&guarded.error, EINVAL, "the sentence");
		assert_int_equal(error_context(&guarded.error, "%.*s", (int)bytes, text), -EINVAL);
		assert_true(strlen(guarded.error.text) <= ERROR_TEXT_BYTES - 1);
		if (bytes + strlen(": the sentence") < ERROR_TEXT_BYTES)
			assert_int_equal(strlen(guarded.error.text),
					 bytes + strlen(": the sentence"));
	}
	assert_int_equal(guarded.behind, 'x');
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(error_name(ENOENT), "No such file or directory");
	assert_string_equal(error_name(987654), "unknown error");
	assert_string_equal(error_name(-1), "unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_and_context),
		cmocka_unit_test(without_error),
		cmocka_unit_test(too_long),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
