/* SPDX-License-Identifier: Apache-2.0 */
/* message: what the program says on standard error, whole lines in one write each. */
#include "tools/stet/message.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES         1024
#define PROGRESS_AFTER_NS  UINT64_C(1000000000)
#define PROGRESS_BAR_CELLS 30
#define CLEAR_LINE         "\r\033[K"

/* The library's threads log while the main thread changes these. */
static atomic_bool terminal_is_raw;
static atomic_bool bar_is_shown;

void message_set_raw(bool raw)
{
	atomic_store(&terminal_is_raw, raw);
}

static int write_all(int fd, const char *data, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(fd, data, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* One write for each line, so that lines of several threads do not mix. */
static int write_lines(int fd, const char *text, const char *line_end)
{
	char line[LINE_BYTES];
	int result = 0;

	while (*text && !result) {
		size_t bytes = strcspn(text, "\n");
		bool ends = text[bytes] == '\n';
		size_t room = sizeof(line) - 3;

		if (bytes > room) {
			bytes = room;
			ends = false;
		}
		memcpy(line, text, bytes);
		text += bytes + ends;
		if (ends) {
			memcpy(line + bytes, line_end, strlen(line_end));
			bytes += strlen(line_end);
		}
		result = write_all(fd, line, bytes);
	}
	return result;
}

int message_write(int fd, const char *text)
{
	if (atomic_load(&terminal_is_raw) && isatty(fd))
		return write_lines(fd, text, "\r\n");
	return write_all(fd, text, strlen(text));
}

static void message_line(const char *prefix, const char *format, va_list arguments)
{
	char line[LINE_BYTES];
	int used = 0;
	int n;

	if (atomic_exchange(&bar_is_shown, false))
		used = snprintf(line, sizeof(line), CLEAR_LINE);
	used += snprintf(line + used, sizeof(line) - (size_t)used, "stet: %s", prefix);
	n = vsnprintf(line + used, sizeof(line) - (size_t)used - 1, format, arguments);
	if (n < 0)
		return;
	used += n;
	if ((size_t)used > sizeof(line) - 2)
		used = sizeof(line) - 2;
	line[used] = '\n';
	line[used + 1] = '\0';
	(void)message_write(STDERR_FILENO, line);
}

static void message_prefixed(const char *prefix, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void message_prefixed(const char *prefix, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	message_line(prefix, format, arguments);
	va_end(arguments);
}

void message(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	message_line("", format, arguments);
	va_end(arguments);
}

void message_log(void *opaque, enum stet_log_level level, const char *line)
{
	static const char *const prefixes[] = {
		[STET_LOG_ERROR] = "",
		[STET_LOG_WARNING] = "warning: ",
		[STET_LOG_INFO] = "",
		[STET_LOG_DEBUG] = "debug: ",
	};

	(void)opaque;
	message_prefixed((size_t)level < sizeof(prefixes) / sizeof(prefixes[0]) ? prefixes[level]
										: "",
			 "%s", line);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void message_progress(void *opaque, const char *phase, uint64_t done, uint64_t total)
{
	const struct message_progress *progress = opaque;
	double part = total > 0 ? (double)done / (double)total : 1;
	int cells = (int)(part * PROGRESS_BAR_CELLS);
	char bar[PROGRESS_BAR_CELLS + 1];
	char line[LINE_BYTES];

	if (!isatty(STDERR_FILENO))
		return;
	if (done >= total) {
		if (atomic_exchange(&bar_is_shown, false))
			(void)write_all(STDERR_FILENO, CLEAR_LINE, strlen(CLEAR_LINE));
		return;
	}
	if (now_ns() - progress->start_ns < PROGRESS_AFTER_NS)
		return;
	memset(bar, '.', PROGRESS_BAR_CELLS);
	memset(bar, '#', (size_t)cells);
	bar[PROGRESS_BAR_CELLS] = '\0';
	snprintf(line, sizeof(line), CLEAR_LINE "stet: %s [%s] %3d%%", phase, bar,
		 (int)(part * 100));
	atomic_store(&bar_is_shown, true);
	(void)write_all(STDERR_FILENO, line, strlen(line));
}
