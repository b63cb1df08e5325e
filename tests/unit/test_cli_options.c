/* SPDX-License-Identifier: Apache-2.0 */
/* test_cli_options: command lines, good and bad, against a table. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tools/stet/options.h"

struct target {
	const char *file;
	const char *stats;
	uint32_t cpus;
	uint64_t bytes;
	int backing;
	int verbose;
	bool json;
};

static const struct option_choice choices[] = {
	{ "auto", 0 },
	{ "thp", 7 },
	{ NULL, 0 },
};

#define FIELD(name) offsetof(struct target, name)

static const struct option table[] = {
	{ 'f', "file", "FILE", OPTION_TEXT, FIELD(file), NULL, "a file" },
	{ 0, "stats", "FILE", OPTION_OPTIONAL_TEXT, FIELD(stats), NULL, "statistics" },
	{ 'c', "cpus", "N", OPTION_NUMBER, FIELD(cpus), NULL, "cpus" },
	{ 'm', "memory", "SIZE", OPTION_SIZE, FIELD(bytes), NULL, "memory" },
	{ 0, "backing", "KIND", OPTION_CHOICE, FIELD(backing), choices, "backing" },
	{ 'v', "verbose", NULL, OPTION_REPEAT, FIELD(verbose), NULL, "more" },
	{ 0, "json", NULL, OPTION_FLAG, FIELD(json), NULL, "json" },
	{ 'h', "help", NULL, OPTION_HELP, 0, NULL, "help" },
	{ 0, NULL, NULL, OPTION_HELP, 0, NULL, NULL },
};

#define WORDS(...) ((char *const[]){ __VA_ARGS__, NULL })

static void good_lines(void **state)
{
	struct target target = { .cpus = 1 };
	struct options_error error;

	(void)state;
	assert_int_equal(options_parse(table,
				       WORDS("--file=a=b", "-c4", "-m", "1G", "--backing", "thp",
					     "-vvf", "x", "--json", "--stats", "-v"),
				       &target, &error),
			 OPTIONS_OK);
	assert_string_equal(target.file, "x");
	assert_string_equal(target.stats, "");
	assert_int_equal(target.cpus, 4);
	assert_true(target.bytes == UINT64_C(1) << 30);
	assert_int_equal(target.backing, 7);
	assert_int_equal(target.verbose, 3);
	assert_true(target.json);
	assert_int_equal(options_parse(table, WORDS("--stats=out", "--file="), &target, &error),
			 OPTIONS_OK);
	assert_string_equal(target.stats, "out");
	assert_string_equal(target.file, "");
	assert_int_equal(options_parse(table, WORDS("-vh", "--bad"), &target, &error),
			 OPTIONS_HELP_WANTED);
}

static void bad_lines(void **state)
{
	static const struct {
		const char *words[3];
		const char *why;
	} cases[] = {
		{ { "--memroy", "1G" }, "unknown option '--memroy'; did you mean '--memory'?" },
		{ { "--mem=1G" }, "unknown option '--mem'; did you mean '--memory'?" },
		{ { "--xyzzy" }, "unknown option '--xyzzy'" },
		{ { "-z" }, "unknown option '-z'" },
		{ { "-vz" }, "unknown option '-z'" },
		{ { "--file" }, "--file needs a value: --file FILE" },
		{ { "-f" }, "-f needs a value: -f FILE" },
		{ { "--json=1" }, "--json takes no value" },
		{ { "--cpus=two" }, "--cpus: 'two' is not a number" },
		{ { "--cpus=" }, "--cpus: '' is not a number" },
		{ { "--cpus=-1" }, "--cpus: '-1' is not a number" },
		{ { "-c", "4294967296" }, "-c: 4294967296 is too large" },
		{ { "-c", "99999999999999999999" }, "-c: 99999999999999999999 is too large" },
		{ { "-m", "1.5M" }, "-m: '1.5M' is not a size; say for example 512M or 2G" },
		{ { "-m", "16777216T" }, "-m: 16777216T is too large" },
		{ { "--backing", "gold" }, "--backing: unknown value 'gold'; known: auto thp" },
		{ { "stray" }, "unexpected argument 'stray'" },
		{ { "-" }, "unexpected argument '-'" },
		{ { "--" }, "unexpected argument '--'" },
		{ { "" }, "unexpected argument ''" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *const words[] = { (char *)cases[i].words[0], (char *)cases[i].words[1],
					NULL };
		struct target target = { .cpus = 1 };
		struct options_error error;

		assert_int_equal(options_parse(table, words, &target, &error), OPTIONS_WRONG);
		assert_string_equal(error.why, cases[i].why);
	}
}

/* Words as long as the kernel lets them be: cut, never overrun. */
static void long_words(void **state)
{
	static const char *const heads[] = { "", "--", "--backing=", "--cpus=", "--memory=", "-" };
	static char word[100000];

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		struct target target = { .cpus = 1 };
		struct options_error error;

		memset(word, 'x', sizeof(word) - 1);
		memcpy(word, heads[i], strlen(heads[i]));
		assert_int_equal(options_parse(table, WORDS(word), &target, &error), OPTIONS_WRONG);
		assert_true(strlen(error.why) < OPTIONS_WHY_BYTES);
	}
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t bytes;
	} cases[] = {
		{ "512", 0, UINT64_C(512) << 20 },
		{ "4K", 0, 4096 },
		{ "4k", 0, 4096 },
		{ "2M", 0, UINT64_C(2) << 20 },
		{ "3GiB", 0, UINT64_C(3) << 30 },
		{ "1T", 0, UINT64_C(1) << 40 },
		{ "0", 0, 0 },
		{ "", -EINVAL, 0 },
		{ "M", -EINVAL, 0 },
		{ "-1M", -EINVAL, 0 },
		{ "+1M", -EINVAL, 0 },
		{ " 1M", -EINVAL, 0 },
		{ "1 M", -EINVAL, 0 },
		{ "1MB", -EINVAL, 0 },
		{ "1MM", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1.5G", -EINVAL, 0 },
		{ "1P", -EINVAL, 0 },
		{ "17592186044416", -ERANGE, 0 },
		{ "18446744073709551616K", -ERANGE, 0 },
		{ "16777215T", 0, UINT64_C(16777215) << 40 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t bytes = 0;

		assert_int_equal(options_size(cases[i].text, &bytes), cases[i].result);
		assert_true(bytes == cases[i].bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_lines),
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(long_words),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
