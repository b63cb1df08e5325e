/* SPDX-License-Identifier: Apache-2.0 */
/* test_doorbell: what is rung is heard, also after the watch of it ended; and a device that cannot
 * be heard says so. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "devices/virtio_mmio.h"
#include "tests/fake/guest.h"
#include "vmm/plug_virtio.h"

#define LIMIT_NS     (30 * NS_PER_SEC)
#define STATUS_LIVE  0x0f
#define NEEDS_RESET  0x40
#define VERSION_1    VIRTIO_FEATURE(VIRTIO_F_VERSION_1)
#define REARM_ROUNDS 1000

static bool nothing(struct virtio *virtio, unsigned int queue)
{
	(void)virtio;
	(void)queue;
	return false;
}

static void destroy(struct virtio *virtio)
{
	free(virtio);
}

static const struct virtio_type type = {
	.name = "bell",
	.id = 42,
	.queue_count = 1,
	.queue_size = 16,
	.kick = nothing,
	.destroy = destroy,
};

struct bench {
	struct ram ram;
	struct fake_wires wires;
	struct virtio_wiring wiring;
	struct fake_queue queue;
	struct log log;
	_Atomic unsigned int lines;
	struct virtio *virtio;
	struct device *mmio;
	struct plug plug;
	struct plug_virtio plugged;
	struct plug_doorbell doorbell;
	pthread_t thread;
	int loop_result;
};

static void on_line(void *opaque, enum log_level level, const char *text)
{
	struct bench *bench = opaque;

	if (level == LOG_LEVEL_ERROR && strstr(text, "virtio bell"))
		bench->lines++;
}

static int setup(void **state)
{
	static struct bench bench;
	struct error error;

	memset(&bench, 0, sizeof(bench));
	fake_ram_init(&bench.ram);
	fake_wires_init(&bench.wires, &bench.wiring);
	fake_queue_init(&bench.queue, &bench.ram, 0x10000, 16, false);
	bench.log = (struct log){ .line = on_line, .opaque = &bench, .max_level = LOG_LEVEL_ERROR };
	bench.virtio = calloc(1, sizeof(*bench.virtio));
	virtio_init(bench.virtio, &type, &bench.ram, &bench.log, 0, 0);
	bench.mmio = virtio_mmio_create(bench.virtio, &bench.wiring);
	assert_int_equal(loop_create(&bench.plug.loop, 8, &error), 0);
	bench.plugged = (struct plug_virtio){ .plug = &bench.plug, .virtio = bench.virtio };
	bench.doorbell =
		(struct plug_doorbell){ .owner = &bench.plugged, .fd = eventfd(0, EFD_CLOEXEC) };
	*state = &bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	loop_destroy(bench->plug.loop);
	device_destroy(bench->mmio);
	close(bench->doorbell.fd);
	fake_ram_fini(&bench->ram);
	return 0;
}

static void *run_loop(void *opaque)
{
	struct bench *bench = opaque;

	bench->loop_result = loop_run(bench->plug.loop);
	return NULL;
}

static void start_loop(struct bench *bench)
{
	assert_int_equal(plug_doorbell_listen(&bench->doorbell), 0);
	assert_int_equal(pthread_create(&bench->thread, NULL, run_loop, bench), 0);
}

static void stop_loop(struct bench *bench)
{
	loop_stop(bench->plug.loop);
	pthread_join(bench->thread, NULL);
	assert_int_equal(bench->loop_result, 0);
}

static uint64_t kicks(struct bench *bench)
{
	return atomic_load(&bench->virtio->stats.kicks);
}

static void wait_for_kicks(struct bench *bench, uint64_t count)
{
	uint64_t end_ns = clock_ns() + LIMIT_NS;

	while (kicks(bench) < count && clock_ns() < end_ns)
		sched_yield();
	assert_true(kicks(bench) >= count);
}

static void ring(struct bench *bench)
{
	assert_int_equal(eventfd_write(bench->doorbell.fd, 1), 0);
}

static void test_each_is_heard(void **state)
{
	struct bench *bench = *state;

	start_loop(bench);
	for (uint64_t count = 1; count <= REARM_ROUNDS; count++) {
		ring(bench);
		wait_for_kicks(bench, count);
	}
	stop_loop(bench);
}

/* Before the loop listens, and before it runs. */
static void test_early_ones_are_heard(void **state)
{
	struct bench *bench = *state;

	ring(bench);
	start_loop(bench);
	wait_for_kicks(bench, 1);
	stop_loop(bench);
}

static void end_watch(void *opaque)
{
	struct bench *bench = opaque;

	loop_cancel(bench->plug.loop, &bench->doorbell.watch);
}

/* The queue is looked at when its watch ends, and what is rung then or later is heard, too. */
static void test_a_watch_that_ends_is_begun_again(void **state)
{
	struct bench *bench = *state;
	uint64_t before;

	loop_on_wake(bench->plug.loop, end_watch, bench);
	start_loop(bench);
	for (unsigned int round = 0; round < REARM_ROUNDS; round++) {
		before = kicks(bench);
		loop_wake(bench->plug.loop);
		wait_for_kicks(bench, before + 1);
		before = kicks(bench);
		loop_wake(bench->plug.loop);
		ring(bench);
		wait_for_kicks(bench, before + 2);
	}
	stop_loop(bench);
	assert_int_equal(bench->lines, 0);
	assert_int_equal(bench->virtio->status, 0);
}

static void test_a_watch_that_never_lasts_ends_the_device(void **state)
{
	struct bench *bench = *state;
	uint64_t end_ns = clock_ns() + LIMIT_NS;
	int fd = bench->doorbell.fd;

	assert_true(fake_mmio_start(bench->mmio, VERSION_1, &bench->queue, 1));
	bench->doorbell.fd = -1;
	start_loop(bench);
	while (!bench->lines && clock_ns() < end_ns)
		sched_yield();
	stop_loop(bench);
	bench->doorbell.fd = fd;
	assert_int_equal(bench->lines, 1);
	assert_int_equal(bench->virtio->status, STATUS_LIVE | NEEDS_RESET);
	/* A driver that tries again is told again. */
	fake_mmio_start(bench->mmio, VERSION_1, &bench->queue, 1);
	assert_int_equal(bench->virtio->status, STATUS_LIVE | NEEDS_RESET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_each_is_heard, setup, teardown),
		cmocka_unit_test_setup_teardown(test_early_ones_are_heard, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_watch_that_ends_is_begun_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_a_watch_that_never_lasts_ends_the_device,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
