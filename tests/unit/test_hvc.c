/* SPDX-License-Identifier: Apache-2.0 */
/* test_hvc: a driver types and prints through the virtio console: pipes that are full, empty,
 * closed or in non-blocking mode, and terminals that change their size. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_console.h>
#include <linux/virtio_mmio.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "devices/hvc.h"
#include "tests/fake/io.h"

#define IN_BUFFERS  UINT64_C(0x80000)
#define OUT_BUFFERS UINT64_C(0x60000)

struct bench {
	struct fake_io io;
	struct virtio *virtio;
	struct fake_queue q[2];
	int keyboard, screen; /* our ends */
	unsigned int printed; /* chains */
};

static const struct timespec pause_1ms = { .tv_nsec = 1000000 };

static void start(struct bench *bench)
{
	fake_write(bench->io.mmio, VIRTIO_MMIO_STATUS, 4, 0);
	for (unsigned int i = 0; i < 2; i++)
		fake_queue_init(&bench->q[i], &bench->io.ram, 0x10000 + i * FAKE_QUEUE_BYTES, 64,
				true);
	bench->printed = 0;
	assert_true(fake_mmio_start(bench->io.mmio,
				    VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |
					    VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) |
					    VIRTIO_FEATURE(VIRTIO_CONSOLE_F_SIZE),
				    bench->q, 2));
}

static void begin(struct bench *bench, int flags, bool has_descriptors)
{
	struct hvc_setup setup = { .in_fd = -1, .out_fd = -1, .columns = 80, .rows = 25 };
	int in[2] = { -1, -1 }, out[2] = { -1, -1 };

	fake_io_init(&bench->io);
	setup.ram = &bench->io.ram;
	setup.log = &bench->io.log;
	setup.loop = bench->io.loop;
	if (has_descriptors) {
		assert_int_equal(pipe2(in, O_CLOEXEC | flags), 0);
		assert_int_equal(pipe2(out, O_CLOEXEC | flags), 0);
		setup.in_fd = in[0];
		setup.out_fd = out[1];
	}
	assert_int_equal(hvc_create(&bench->virtio, &setup, NULL), 0);
	fd_close(&in[0]);
	fd_close(&out[1]);
	bench->keyboard = in[1];
	bench->screen = out[0];
	fake_io_start(&bench->io, bench->virtio);
	start(bench);
}

static int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	begin(bench, 0, true);
	*state = bench;
	return 0;
}

static int setup_nonblocking(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	begin(bench, O_NONBLOCK, true);
	*state = bench;
	return 0;
}

static int setup_without(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	begin(bench, 0, false);
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	fake_io_fini(&bench->io);
	fd_close(&bench->keyboard);
	fd_close(&bench->screen);
	free(bench);
	return 0;
}

static void print(struct bench *bench, const void *text, uint32_t bytes)
{
	uint64_t gpa = OUT_BUFFERS + bench->printed++ % 64 * 1024;
	const struct fake_buffer buffer = { gpa, bytes, false };

	memcpy(bench->io.ram.ranges[0].host + gpa, text, bytes);
	fake_queue_add(&bench->q[1], &buffer, 1);
	fake_io_kick(&bench->io, 1, &bench->q[1]);
}

static void give_buffers(struct bench *bench, unsigned int count, uint32_t bytes)
{
	for (unsigned int i = 0; i < count; i++) {
		const struct fake_buffer buffer = {
			IN_BUFFERS + bench->q[0].avail % 64 * 1024,
			bytes,
			true,
		};

		fake_queue_add(&bench->q[0], &buffer, 1);
	}
	fake_io_kick(&bench->io, 0, &bench->q[0]);
}

static void expect_typed(struct bench *bench, const char *text)
{
	size_t length = strlen(text);
	uint32_t head, bytes;

	while (length) {
		assert_true(fake_io_used(&bench->q[0], &head, &bytes));
		assert_in_range(bytes, 1, length);
		assert_memory_equal(bench->io.ram.ranges[0].host + IN_BUFFERS + head * 1024, text,
				    bytes);
		text += bytes;
		length -= bytes;
	}
}

static void type(struct bench *bench, const char *text)
{
	assert_int_equal(write(bench->keyboard, text, strlen(text)), strlen(text));
}

static size_t see(struct bench *bench, void *data, size_t bytes)
{
	struct pollfd ready = { .fd = bench->screen, .events = POLLIN };
	ssize_t got;

	assert_int_equal(poll(&ready, 1, 5000), 1);
	got = read(bench->screen, data, bytes);
	assert_true(got > 0);
	return (size_t)got;
}

static void test_prints_and_types(void **state)
{
	struct bench *bench = *state;
	uint32_t head, bytes;
	char text[32];

	give_buffers(bench, 4, 16);
	for (unsigned int i = 0; i < 200; i++) {
		print(bench, "login: ", 7);
		assert_true(fake_io_used(&bench->q[1], &head, &bytes));
		assert_int_equal(bytes, 0);
		assert_int_equal(see(bench, text, sizeof(text)), 7);
		assert_memory_equal(text, "login: ", 7);
		type(bench, "root\n");
		expect_typed(bench, "root\n");
		give_buffers(bench, 1, 16);
	}
	assert_int_equal(atomic_load(&hvc_stats(bench->virtio)->out_bytes), 1400);
	assert_int_equal(atomic_load(&hvc_stats(bench->virtio)->in_bytes), 1000);
}

/* What is typed before the driver has buffers waits; small buffers take it in pieces. */
static void test_typed_early(void **state)
{
	struct bench *bench = *state;

	type(bench, "typed before anybody was there");
	nanosleep(&pause_1ms, NULL);
	give_buffers(bench, 8, 7);
	expect_typed(bench, "typed before anybody was there");
}

/* Nobody reads: the guest's chains wait, and all arrive in order when somebody does. */
static void test_full_pipe(void **state)
{
	struct bench *bench = *state;
	uint8_t text[1000], seen[4096];
	unsigned int sent = 0, got = 0, total = 300;
	uint32_t head, bytes;

	fcntl(bench->screen, F_SETPIPE_SZ, 4096);
	for (unsigned int i = 0; i < 60; i++, sent++) {
		memset(text, (int)sent, sizeof(text));
		print(bench, text, sizeof(text));
	}
	/* 4096 in the pipe, 16384 in the device: the rest is not taken. */
	for (unsigned int i = 0; i < 100; i++)
		nanosleep(&pause_1ms, NULL);
	for (unsigned int i = 0; i < 60 && fake_queue_used(&bench->q[1], &head, &bytes); i++)
		got++;
	assert_in_range(got, 16, 22);
	assert_in_range(hvc_pending_bytes(bench->virtio), 15000, 16384);
	for (size_t at = 0; at < total * sizeof(text);) {
		size_t part = see(bench, seen, sizeof(seen));

		for (size_t i = 0; i < part; i++, at++)
			assert_int_equal(seen[i], (uint8_t)(at / sizeof(text)));
		while (fake_queue_used(&bench->q[1], &head, &bytes))
			got++;
		for (; sent < total && sent < got + 60; sent++) {
			memset(text, (int)sent, sizeof(text));
			print(bench, text, sizeof(text));
		}
	}
	while (got < total) {
		assert_true(fake_io_used(&bench->q[1], &head, &bytes));
		got++;
	}
	for (unsigned int i = 0; i < 5000 && hvc_pending_bytes(bench->virtio); i++)
		nanosleep(&pause_1ms, NULL);
	assert_int_equal(hvc_pending_bytes(bench->virtio), 0);
}

static void test_closed_pipes(void **state)
{
	struct bench *bench = *state;
	uint32_t head, bytes;

	fd_close(&bench->screen);
	fd_close(&bench->keyboard);
	for (unsigned int i = 0; i < 100; i++) {
		print(bench, "into the void", 13);
		assert_true(fake_io_used(&bench->q[1], &head, &bytes));
	}
	for (unsigned int i = 0; i < 5000 && !atomic_load(&bench->io.lines); i++)
		nanosleep(&pause_1ms, NULL);
	fake_io_stop(&bench->io);
	assert_int_equal(atomic_load(&bench->io.lines), 1);
	assert_non_null(strstr(bench->io.line, "cannot be written"));
}

static void test_without_descriptors(void **state)
{
	struct bench *bench = *state;
	uint32_t head, bytes;

	give_buffers(bench, 4, 16);
	print(bench, "hello", 5);
	assert_true(fake_io_used(&bench->q[1], &head, &bytes));
	assert_int_equal(hvc_pending_bytes(bench->virtio), 0);
}

/* More in one chain than the device can hold. */
static void test_huge_chain(void **state)
{
	struct bench *bench = *state;
	const struct fake_buffer buffer = { OUT_BUFFERS, 0x100000, false };
	uint8_t *text = bench->io.ram.ranges[0].host + OUT_BUFFERS;
	uint8_t seen[65536];
	uint32_t head, bytes;

	for (uint32_t i = 0; i < buffer.bytes; i++)
		text[i] = (uint8_t)(i / 251);
	fake_queue_add(&bench->q[1], &buffer, 1);
	fake_io_kick(&bench->io, 1, &bench->q[1]);
	for (size_t at = 0; at < buffer.bytes;) {
		size_t got = see(bench, seen, sizeof(seen));

		assert_true(at + got <= buffer.bytes);
		assert_memory_equal(seen, text + at, got);
		at += got;
	}
	assert_true(fake_io_used(&bench->q[1], &head, &bytes));
	print(bench, "next", 4);
	assert_int_equal(see(bench, seen, sizeof(seen)), 4);
	assert_memory_equal(seen, "next", 4);
}

static void test_size(void **state)
{
	struct bench *bench = *state;
	struct device *mmio = bench->io.mmio;

	assert_int_equal(fake_read(mmio, VIRTIO_MMIO_CONFIG, 2), 80);
	assert_int_equal(fake_read(mmio, VIRTIO_MMIO_CONFIG + 2, 2), 25);
	hvc_resize(bench->virtio, 132, 50);
	assert_int_equal(fake_read(mmio, VIRTIO_MMIO_CONFIG, 2), 132);
	assert_int_equal(fake_read(mmio, VIRTIO_MMIO_CONFIG + 2, 2), 50);
	assert_int_equal(fake_read(mmio, VIRTIO_MMIO_INTERRUPT_STATUS, 4) & 2, 2);
}

static void test_reset_and_again(void **state)
{
	struct bench *bench = *state;
	char text[32];

	for (unsigned int i = 0; i < 50; i++) {
		type(bench, "x");
		give_buffers(bench, 1, 16);
		expect_typed(bench, "x");
		print(bench, "y", 1);
		assert_int_equal(see(bench, text, sizeof(text)), 1);
		start(bench);
	}
}

static void test_bad_descriptor(void **state)
{
	const struct hvc_setup bad = { .in_fd = -1, .out_fd = 9999 };
	struct virtio *virtio = NULL;
	struct error error;

	(void)state;
	assert_int_equal(hvc_create(&virtio, &bad, &error), -EBADF);
	assert_non_null(strstr(error.text, "output (descriptor 9999)"));
	assert_null(virtio);
}

#define TEST(name)    cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
#define TEST_NB(name) cmocka_unit_test_setup_teardown(test_##name, setup_nonblocking, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(prints_and_types),
		TEST_NB(prints_and_types),
		TEST(typed_early),
		TEST(full_pipe),
		TEST_NB(full_pipe),
		TEST(closed_pipes),
		cmocka_unit_test_setup_teardown(test_without_descriptors, setup_without, teardown),
		TEST(huge_chain),
		TEST_NB(huge_chain),
		TEST(size),
		TEST(reset_and_again),
		cmocka_unit_test(test_bad_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
