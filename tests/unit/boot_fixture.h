/* SPDX-License-Identifier: Apache-2.0 */
/* boot_fixture: guest memory, files in memory, and boot_load() called with them. */
#ifndef TESTS_UNIT_BOOT_FIXTURE_H
#define TESTS_UNIT_BOOT_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/num.h"
#include "boot/boot.h"
#include "mem/ram.h"

/* One attempt to boot: fresh memory, what went in, what came out. */
struct attempt {
	struct ram ram;
	struct boot_source source;
	struct boot_image image;
	struct error error;
	int result;
};

/* A file of these bytes; data may be NULL (zeros). */
static inline int file_of(const void *data, uint64_t bytes)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	if (data && bytes)
		assert_int_equal(pwrite(fd, data, bytes, 0), (ssize_t)bytes);
	return fd;
}

static inline void attempt_begin(struct attempt *attempt, uint64_t ram_mib, const void *kernel,
				 uint64_t kernel_bytes)
{
	memset(attempt, 0, sizeof(*attempt));
	assert_int_equal(ram_init(&attempt->ram, ram_mib * MIB, BACKING_4K, &attempt->error), 0);
	attempt->source.kernel_fd = file_of(kernel, kernel_bytes);
	attempt->source.kernel_bytes = kernel_bytes;
	attempt->source.kernel_name = "KERNEL";
	attempt->source.initrd_fd = -1;
}

static inline void attempt_initrd(struct attempt *attempt, const void *data, uint64_t bytes)
{
	attempt->source.initrd_fd = file_of(data, bytes);
	attempt->source.initrd_bytes = bytes;
	attempt->source.initrd_name = "INITRD";
}

/* Loads; checks that a failure has its text and leaves the image alone. */
static inline int attempt_load(struct attempt *attempt)
{
	static const struct boot_image untouched = { .entry = 0xabad1dea };

	attempt->image = untouched;
	attempt->result =
		boot_load(&attempt->ram, &attempt->source, &attempt->image, &attempt->error);
	if (attempt->result) {
		assert_int_equal(attempt->error.code, -attempt->result);
		assert_int_not_equal(attempt->error.text[0], 0);
		assert_memory_equal(&attempt->image, &untouched, sizeof(untouched));
	}
	return attempt->result;
}

static inline void attempt_end(struct attempt *attempt)
{
	close(attempt->source.kernel_fd);
	if (attempt->source.initrd_fd >= 0)
		close(attempt->source.initrd_fd);
	ram_fini(&attempt->ram);
}

/* From begin to end, for images that are to be refused; text has to be part of the message. */
static inline void assert_refused(const void *kernel, uint64_t bytes, int result, const char *text)
{
	struct attempt attempt;

	attempt_begin(&attempt, 32, kernel, bytes);
	if (attempt_load(&attempt) != result || !strstr(attempt.error.text, text))
		fail_msg("result %d, wanted %d with \"%s\": %s", attempt.result, result, text,
			 attempt.error.text);
	assert_non_null(strstr(attempt.error.text, "KERNEL"));
	attempt_end(&attempt);
}

/* The memory size in MiB that the message tells to give. */
static inline uint64_t advised_mib(const struct attempt *attempt)
{
	const char *at = strstr(attempt->error.text, "at least ");

	assert_non_null(at);
	return strtoull(at + strlen("at least "), NULL, 10);
}

static inline uint8_t *guest(const struct attempt *attempt, uint64_t gpa, uint64_t bytes)
{
	uint8_t *at = ram_ptr(&attempt->ram, gpa, bytes);

	assert_non_null(at);
	return at;
}

#endif
