/* SPDX-License-Identifier: Apache-2.0 */
/* message: what the program says on standard error, whole lines in one write each. */
#ifndef TOOLS_STET_MESSAGE_H
#define TOOLS_STET_MESSAGE_H

#include <stdbool.h>

#include "vmm/stet.h"

/* "stet: " and the line. The newline is added. Any thread. */
void message(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* While the terminal is raw, lines on it end in \r\n. Called by terminal.c only. */
void message_set_raw(bool raw);

/* Writes all of text to fd, with \r\n where fd is the raw terminal. 0 or a negative errno. */
int message_write(int fd, const char *text);

/* The library's log (stet_log_fn). */
void message_log(void *opaque, enum stet_log_level level, const char *line);

/* The library's progress (stet_progress_fn): a bar on standard error where that is a terminal, once
 * the work has taken a second. start_ns of *opaque is when it began. */
struct message_progress {
	uint64_t start_ns;
};
void message_progress(void *opaque, const char *phase, uint64_t done, uint64_t total);

#endif
