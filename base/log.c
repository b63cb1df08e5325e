/* SPDX-License-Identifier: Apache-2.0 */
/* log: one line to the owner's callback, with a rate limit for lines that a guest can cause. */
#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"

#define LINE_BYTES   1024
#define SUFFIX_BYTES 64 /* kept free for what log_limited() adds */

static bool is_wanted(const struct log *log, enum log_level level)
{
	return log && log->line && level <= log->max_level;
}

static void send_line(const struct log *log, enum log_level level, uint64_t dropped,
		      const char *format, va_list args)
{
	char line[LINE_BYTES];
	size_t length;
	char *at;

	if (vsnprintf(line, sizeof(line) - SUFFIX_BYTES, format, args) < 0)
		return;
	/* A line is one line, and nothing in it steers a terminal. */
	for (at = line; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = ' ';
	length = (size_t)(at - line);
	if (dropped)
		snprintf(line + length, sizeof(line) - length,
			 " (%" PRIu64 " more like it dropped before)", dropped);
	log->line(log->opaque, level, line);
}

void log_line(const struct log *log, enum log_level level, const char *format, ...)
{
	va_list args;

	if (!is_wanted(log, level))
		return;
	va_start(args, format);
	send_line(log, level, 0, format, args);
	va_end(args);
}

/*
 * A line costs a second of the future; at most LOG_LIMIT_BURST seconds may be spent ahead. Atomic
 * because lines come from any thread; relaxed because nothing else is published through it.
 */
static bool spend(struct log_limit *limit)
{
	uint64_t now_ns = clock_ns();
	uint64_t spent_ns = atomic_load_explicit(&limit->spent_ns, memory_order_relaxed);
	uint64_t next_ns;

	do {
		next_ns = num_max(spent_ns, now_ns) + NS_PER_SEC;
		if (next_ns > now_ns + LOG_LIMIT_BURST * NS_PER_SEC)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&limit->spent_ns, &spent_ns, next_ns, memory_order_relaxed, memory_order_relaxed));
	return true;
}

void log_limited(const struct log *log, struct log_limit *limit, enum log_level level,
		 const char *format, ...)
{
	uint64_t dropped;
	va_list args;

	if (!is_wanted(log, level))
		return;
	if (!spend(limit)) {
		atomic_fetch_add_explicit(&limit->dropped, 1, memory_order_relaxed);
		return;
	}
	dropped = atomic_exchange_explicit(&limit->dropped, 0, memory_order_relaxed);
	va_start(args, format);
	send_line(log, level, dropped, format, args);
	va_end(args);
}
