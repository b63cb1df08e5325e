/* SPDX-License-Identifier: Apache-2.0 */
/* console: what comes in on standard input on its way to the guest, with the Ctrl-a commands taken
 * out. */
#include "tools/stet/console.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define CTRL_A 0x01

int console_open(struct console *console, bool escapes)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	console->escapes = escapes;
	console->read_fd = fds[0];
	console->write_fd = fds[1];
	return 0;
}

void console_close(struct console *console)
{
	close(console->read_fd);
	close(console->write_fd);
}

static enum console_command command_of(unsigned char key)
{
	switch (key) {
	case 'x':
		return CONSOLE_QUIT;
	case 's':
		return CONSOLE_STATS;
	default:
		return CONSOLE_HELP;
	}
}

size_t console_filter(struct console *console, const unsigned char *input, size_t bytes,
		      unsigned char *output, size_t *output_bytes, enum console_command *command)
{
	size_t used = 0;

	*output_bytes = 0;
	*command = CONSOLE_NOTHING;
	while (used < bytes) {
		unsigned char key = input[used++];

		if (!console->escapes || (!console->escaped && key != CTRL_A)) {
			output[(*output_bytes)++] = key;
		} else if (!console->escaped) {
			console->escaped = true;
		} else {
			console->escaped = false;
			if (key == 'a' || key == CTRL_A) {
				output[(*output_bytes)++] = CTRL_A;
			} else {
				*command = command_of(key);
				break;
			}
		}
	}
	return used;
}

bool console_waits(const struct console *console)
{
	return console->waiting_bytes > 0;
}

void console_flush(struct console *console)
{
	while (console->waiting_bytes > 0) {
		ssize_t n = write(console->write_fd, console->waiting + console->waiting_at,
				  console->waiting_bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) { /* nobody reads: the VM has ended */
			console->waiting_bytes = 0;
			return;
		}
		console->waiting_at += (size_t)n;
		console->waiting_bytes -= (size_t)n;
	}
}

/* Only called when nothing waits, hence there is room for a whole read. */
static void pass_on(struct console *console, const unsigned char *data, size_t bytes)
{
	memmove(console->waiting + console->waiting_at + console->waiting_bytes, data, bytes);
	console->waiting_bytes += bytes;
	console_flush(console);
}

int console_read(struct console *console,
		 void (*on_command)(void *opaque, enum console_command command), void *opaque)
{
	unsigned char input[CONSOLE_BUFFER_BYTES];
	unsigned char output[CONSOLE_BUFFER_BYTES];
	ssize_t n = read(STDIN_FILENO, input, sizeof(input));
	size_t at = 0;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0 && console->escapes)
		return -EIO;
	if (n <= 0) {
		console->ended = true;
		return 0;
	}
	console->waiting_at = 0;
	while (at < (size_t)n) {
		enum console_command command;
		size_t output_bytes;

		at += console_filter(console, input + at, (size_t)n - at, output, &output_bytes,
				     &command);
		pass_on(console, output, output_bytes);
		if (command != CONSOLE_NOTHING)
			on_command(opaque, command);
	}
	return 0;
}
