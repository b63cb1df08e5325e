/* SPDX-License-Identifier: Apache-2.0 */
/* test_cli_console: Ctrl-a commands are taken out of the input, and a full pipe holds it up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/stet/console.h"

/* Runs input through the filter; the guest's bytes are appended to output, commands as one letter
 * each to commands. */
static void filter(struct console *console, const char *input, char *output, char *commands)
{
	size_t bytes = strlen(input);
	size_t at = 0;

	while (at < bytes) {
		unsigned char part[64];
		enum console_command command;
		size_t part_bytes;

		at += console_filter(console, (const unsigned char *)input + at, bytes - at, part,
				     &part_bytes, &command);
		strncat(output, (const char *)part, part_bytes);
		if (command != CONSOLE_NOTHING)
			strcat(commands, (const char *[]){ "", "q", "s", "h" }[command]);
	}
}

static void commands_are_taken_out(void **state)
{
	static const struct {
		const char *input;
		const char *output;
		const char *commands;
	} cases[] = {
		{ "plain\r", "plain\r", "" }, { "ab\1xcd", "abcd", "q" }, { "\1s\1h", "", "sh" },
		{ "\1a\1\1", "\1\1", "" },    { "\1qz", "z", "h" },       { "\1\1x", "\1x", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct console console = { .escapes = true };
		char output[64] = "";
		char commands[8] = "";

		filter(&console, cases[i].input, output, commands);
		assert_string_equal(output, cases[i].output);
		assert_string_equal(commands, cases[i].commands);
	}
}

static void an_escape_may_come_in_two_reads(void **state)
{
	struct console console = { .escapes = true };
	char output[64] = "";
	char commands[8] = "";

	(void)state;
	filter(&console, "a\1", output, commands);
	filter(&console, "sb", output, commands);
	assert_string_equal(output, "ab");
	assert_string_equal(commands, "s");
}

static void without_a_terminal_all_passes(void **state)
{
	struct console console = { .escapes = false };
	char output[64] = "";
	char commands[8] = "";

	(void)state;
	filter(&console, "a\1x\1s", output, commands);
	assert_string_equal(output, "a\1x\1s");
	assert_string_equal(commands, "");
}

static void no_command(void *opaque, enum console_command command)
{
	(void)opaque;
	(void)command;
	fail();
}

/* Standard input is a pipe with more than the guest's pipe holds: what does not fit waits, nothing
 * is lost or reordered. */
static void a_full_pipe_holds_input_up(void **state)
{
	struct console console = { .escapes = false };
	unsigned char got[CONSOLE_BUFFER_BYTES];
	unsigned char next_in = 0;
	unsigned char next_out = 0;
	size_t left = 200000;
	int fds[2];

	(void)state;
	assert_int_equal(console_open(&console, false), 0);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(dup2(fds[0], STDIN_FILENO), STDIN_FILENO);
	while (left > 0) {
		ssize_t n;

		while (!console_waits(&console)) {
			unsigned char data[700];

			for (size_t i = 0; i < sizeof(data); i++)
				data[i] = next_in++;
			assert_int_equal(write(fds[1], data, sizeof(data)), sizeof(data));
			assert_int_equal(console_read(&console, no_command, NULL), 0);
		}
		n = read(console.read_fd, got, sizeof(got));
		assert_true(n > 0);
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(got[i], next_out++);
		left -= (size_t)n < left ? (size_t)n : left;
		console_flush(&console);
	}
	close(fds[1]);
	while (console_waits(&console)) {
		assert_true(read(console.read_fd, got, sizeof(got)) > 0);
		console_flush(&console);
	}
	assert_int_equal(console_read(&console, no_command, NULL), 0);
	assert_true(console.ended);
	console_close(&console);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_taken_out),
		cmocka_unit_test(an_escape_may_come_in_two_reads),
		cmocka_unit_test(without_a_terminal_all_passes),
		cmocka_unit_test(a_full_pipe_holds_input_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
