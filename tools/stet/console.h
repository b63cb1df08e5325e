/* SPDX-License-Identifier: Apache-2.0 */
/* console: what comes in on standard input on its way to the guest, with the Ctrl-a commands taken
 * out. */
#ifndef TOOLS_STET_CONSOLE_H
#define TOOLS_STET_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#define CONSOLE_BUFFER_BYTES 16384

enum console_command {
	CONSOLE_NOTHING,
	CONSOLE_QUIT,  /* Ctrl-a x */
	CONSOLE_STATS, /* Ctrl-a s */
	CONSOLE_HELP,  /* Ctrl-a h, or a key that means nothing */
};

/*
 * Between standard input and the pipe whose reading end the library has. The pipe does not block;
 * while it is full the bytes wait here and nothing more is read. Zeroed, then console_open().
 */
struct console {
	bool escapes; /* a terminal: Ctrl-a is ours */
	bool escaped; /* Ctrl-a was the last key */
	bool ended;   /* standard input has nothing more; the VM goes on */
	int read_fd;  /* for stet_config.console_in_fd */
	int write_fd;
	size_t waiting_at;
	size_t waiting_bytes;
	unsigned char waiting[CONSOLE_BUFFER_BYTES];
};

/* 0 or a negative errno. */
int console_open(struct console *console, bool escapes);
void console_close(struct console *console);

/*
 * Passes bytes on as far as the first command, which is returned in *command; the return value is
 * how many bytes were used. output (as large as the input) gets the guest's, *output_bytes says how
 * many.
 */
size_t console_filter(struct console *console, const unsigned char *input, size_t bytes,
		      unsigned char *output, size_t *output_bytes, enum console_command *command);

/* Bytes wait for room in the pipe: poll write_fd for POLLOUT, and do not read. */
bool console_waits(const struct console *console);

/* The pipe has room. */
void console_flush(struct console *console);

/*
 * Standard input is readable: reads once and passes it on; calls back for each command. 0; -EIO
 * when a terminal has hung up.
 */
int console_read(struct console *console,
		 void (*on_command)(void *opaque, enum console_command command), void *opaque);

#endif
