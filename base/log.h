/* SPDX-License-Identifier: Apache-2.0 */
/* log: one line to the owner's callback, with a rate limit for lines that a guest can cause. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/*
 * Where lines go. line may be NULL (lines are dropped); it is called from any thread, one line
 * without its newline at a time, and must not call back into the VM. Lines above max_level are
 * dropped before they are formatted.
 */
struct log {
	void (*line)(void *opaque, enum log_level level, const char *text);
	void *opaque;
	enum log_level max_level;
};

void log_line(const struct log *log, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A budget for lines that a guest can cause: LOG_LIMIT_BURST lines, then one for each second.
 * Zeroed to begin with. */
#define LOG_LIMIT_BURST 5
struct log_limit {
	_Atomic uint64_t spent_ns; /* the budget is a bucket that refills with time */
	_Atomic uint64_t dropped;
};

/* As log_line(), within the budget; the next line that gets through says how many did not. Any
 * thread. */
void log_limited(const struct log *log, struct log_limit *limit, enum log_level level,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
