/* SPDX-License-Identifier: Apache-2.0 */
/* test_log: levels, one line per call, and the budget for lines a guest causes. */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"

struct sink {
	_Atomic unsigned int lines;
	enum log_level level;
	char text[2048];
};

static void take(void *opaque, enum log_level level, const char *text)
{
	struct sink *sink = opaque;

	atomic_fetch_add(&sink->lines, 1);
	sink->level = level;
	snprintf(sink->text, sizeof(sink->text), "%s", text);
}

static void levels(void **state)
{
	struct sink sink = { 0 };
	struct log log = { .line = take, .opaque = &sink, .max_level = LOG_LEVEL_WARNING };

	(void)state;
	log_line(&log, LOG_LEVEL_ERROR, "a %d", 1);
	assert_string_equal(sink.text, "a 1");
	assert_int_equal(sink.level, LOG_LEVEL_ERROR);
	log_line(&log, LOG_LEVEL_WARNING, "b");
	log_line(&log, LOG_LEVEL_INFO, "c");
	log_line(&log, LOG_LEVEL_DEBUG, "d");
	assert_int_equal(sink.lines, 2);
	assert_string_equal(sink.text, "b");
	log.line = NULL;
	log_line(&log, LOG_LEVEL_ERROR, "e");
	log_line(NULL, LOG_LEVEL_ERROR, "f");
	assert_int_equal(sink.lines, 2);
}

static void one_line(void **state)
{
	struct sink sink = { 0 };
	struct log log = { .line = take, .opaque = &sink, .max_level = LOG_LEVEL_DEBUG };
	char text[5000];

	(void)state;
	log_line(&log, LOG_LEVEL_ERROR, "a\nb\x1b[2J\x7f\xc3\xa9");
	assert_string_equal(sink.text, "a b [2J \xc3\xa9");
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_line(&log, LOG_LEVEL_ERROR, "%s", text);
	assert_in_range(strlen(sink.text), 500, 1023);
}

static void budget(void **state)
{
	struct sink sink = { 0 };
	struct log log = { .line = take, .opaque = &sink, .max_level = LOG_LEVEL_WARNING };
	struct log_limit limit = { 0 };
	char text[5000];
	unsigned int i;

	(void)state;
	/* What nobody wants to see costs nothing. */
	for (i = 0; i < 100; i++)
		log_limited(&log, &limit, LOG_LEVEL_DEBUG, "unseen");
	for (i = 0; i < 1000; i++)
		log_limited(&log, &limit, LOG_LEVEL_WARNING, "line %u", i);
	/* This takes less than a second on any machine that can run it. */
	assert_in_range(sink.lines, LOG_LIMIT_BURST, LOG_LIMIT_BURST + 1);
	assert_true(limit.dropped >= 994);

	/* As if a second had gone by: one more, and it says how many did not. */
	limit.dropped = 995;
	limit.spent_ns -= NS_PER_SEC;
	i = sink.lines;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_limited(&log, &limit, LOG_LEVEL_WARNING, "%s", text);
	assert_int_equal(sink.lines, i + 1);
	assert_non_null(strstr(sink.text, "x (995 more like it dropped before)"));
	assert_true(limit.dropped == 0);
}

/* A long pause fills the bucket, not more. */
static void bucket_does_not_overflow(void **state)
{
	struct sink sink = { 0 };
	struct log log = { .line = take, .opaque = &sink, .max_level = LOG_LEVEL_WARNING };
	struct log_limit limit = { .spent_ns = 1 };
	unsigned int i;

	(void)state;
	for (i = 0; i < 100; i++)
		log_limited(&log, &limit, LOG_LEVEL_WARNING, "line");
	assert_in_range(sink.lines, LOG_LIMIT_BURST, LOG_LIMIT_BURST + 1);
}

struct shared {
	struct log log;
	struct log_limit limit;
	_Atomic unsigned int lines;
};

static void count(void *opaque, enum log_level level, const char *text)
{
	struct shared *shared = opaque;

	(void)level;
	(void)text;
	atomic_fetch_add(&shared->lines, 1);
}

static void *flood(void *opaque)
{
	struct shared *shared = opaque;
	unsigned int i;

	for (i = 0; i < 10000; i++)
		log_limited(&shared->log, &shared->limit, LOG_LEVEL_ERROR, "%u", i);
	return NULL;
}

static void many_threads(void **state)
{
	struct shared shared = { .log = { .line = count, .max_level = LOG_LEVEL_ERROR } };
	uint64_t start_ns = clock_ns(), seconds;
	pthread_t threads[4];
	unsigned int i;

	(void)state;
	shared.log.opaque = &shared;
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, flood, &shared), 0);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	/* However slow this machine is today, it is the burst and one for each second. */
	seconds = (clock_ns() - start_ns) / NS_PER_SEC + 1;
	assert_in_range(shared.lines, LOG_LIMIT_BURST, LOG_LIMIT_BURST + seconds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels),       cmocka_unit_test(one_line),
		cmocka_unit_test(budget),       cmocka_unit_test(bucket_does_not_overflow),
		cmocka_unit_test(many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
