/* SPDX-License-Identifier: Apache-2.0 */
/* test_virtio_mmio: a driver's way to DRIVER_OK and every way off it, with a device that does
 * nothing but remember, and with the entropy device. */
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/num.h"
#include "devices/rng.h"
#include "devices/virtio_mmio.h"
#include "tests/fake/guest.h"

#define STATUS_DRIVER 0x03
#define STATUS_AGREED 0x0b
#define STATUS_LIVE   0x0f
#define NEEDS_RESET   0x40
#define VERSION_1     VIRTIO_FEATURE(VIRTIO_F_VERSION_1)
#define EVENT_IDX     VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX)
#define BUFFER        0x80000

/* A device of two queues that pushes what it pops, or keeps it in flight. */
struct echo {
	struct virtio virtio;
	struct virtq_chain chain;
	bool keep;
	unsigned int kicks, resets;
	unsigned int *destroyed;
};

static bool echo_kick(struct virtio *virtio, unsigned int queue)
{
	struct echo *echo = (struct echo *)virtio;

	echo->kicks++;
	while (virtio_pop(virtio, queue, &echo->chain)) {
		if (echo->keep)
			virtio_hold(virtio);
		else
			virtq_push(&virtio->queues[queue], echo->chain.head, 0);
	}
	virtq_kicks_on(&virtio->queues[queue]);
	virtio_interrupt(virtio, queue);
	return false;
}

static void echo_config_written(struct virtio *virtio, uint32_t offset, uint32_t bytes,
				uint64_t value)
{
	if (offset == 4 && bytes == 1)
		virtio->config[4] = (uint8_t)value;
}

static void echo_reset(struct virtio *virtio)
{
	((struct echo *)virtio)->resets++;
}

static void echo_destroy(struct virtio *virtio)
{
	++*((struct echo *)virtio)->destroyed;
	free(virtio);
}

static const struct virtio_type echo_type = {
	.name = "echo",
	.id = 42,
	.queue_count = 2,
	.queue_size = 16,
	.features = VIRTIO_FEATURE(5),
	.config_bytes = 6,
	.kick = echo_kick,
	.config_written = echo_config_written,
	.reset = echo_reset,
	.destroy = echo_destroy,
};

struct bench {
	struct ram ram;
	struct fake_wires wires;
	struct virtio_wiring wiring;
	struct log log;
	unsigned int lines, destroyed;
	struct fake_queue queues[2];
	struct echo *echo;
	struct device *mmio;
};

static void on_line(void *opaque, enum log_level level, const char *text)
{
	struct bench *bench = opaque;

	assert_int_equal(level, LOG_LEVEL_WARNING);
	assert_non_null(strstr(text, "virtio echo"));
	bench->lines++;
}

static int setup(void **state)
{
	static struct bench bench;

	memset(&bench, 0, sizeof(bench));
	fake_ram_init(&bench.ram);
	fake_wires_init(&bench.wires, &bench.wiring);
	bench.log = (struct log){ .line = on_line, .opaque = &bench, .max_level = LOG_LEVEL_DEBUG };
	bench.echo = calloc(1, sizeof(*bench.echo));
	bench.echo->destroyed = &bench.destroyed;
	virtio_init(&bench.echo->virtio, &echo_type, &bench.ram, &bench.log, VIRTIO_FEATURE(7), 0);
	memcpy(bench.echo->virtio.config, "\x11\x22\x33\x44\x55\x66\x77", 7);
	bench.mmio = virtio_mmio_create(&bench.echo->virtio, &bench.wiring);
	assert_non_null(bench.mmio);
	for (unsigned int i = 0; i < 2; i++)
		fake_queue_init(&bench.queues[i], &bench.ram, 0x10000 + i * FAKE_QUEUE_BYTES, 16,
				true);
	*state = &bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	device_destroy(bench->mmio);
	assert_int_equal(bench->destroyed, 1);
	fake_ram_fini(&bench->ram);
	return 0;
}

static uint32_t get(struct bench *bench, uint64_t offset)
{
	return (uint32_t)fake_read(bench->mmio, offset, 4);
}

static void put(struct bench *bench, uint64_t offset, uint32_t value)
{
	fake_write(bench->mmio, offset, 4, value);
}

static void start(struct bench *bench)
{
	assert_true(fake_mmio_start(bench->mmio, VERSION_1 | EVENT_IDX, bench->queues, 2));
	fake_wires_run(&bench->wires, &bench->echo->virtio);
}

static void add(struct bench *bench, unsigned int queue)
{
	fake_queue_add(&bench->queues[queue], (struct fake_buffer[]){ { BUFFER, 64, true } }, 1);
}

static void test_identity(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(get(bench, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(get(bench, VIRTIO_MMIO_VERSION), 2);
	assert_int_equal(get(bench, VIRTIO_MMIO_DEVICE_ID), 42);
	assert_int_equal(get(bench, VIRTIO_MMIO_STATUS), 0);
	assert_int_equal(get(bench, VIRTIO_MMIO_DEVICE_FEATURES), 1 << 28 | 1 << 29 | 0xa0);
	put(bench, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	assert_int_equal(get(bench, VIRTIO_MMIO_DEVICE_FEATURES), 1);
	put(bench, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	assert_int_equal(get(bench, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	put(bench, VIRTIO_MMIO_DEVICE_FEATURES_SEL, UINT32_MAX);
	assert_int_equal(get(bench, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	assert_int_equal(get(bench, VIRTIO_MMIO_QUEUE_NUM_MAX), 16);
	put(bench, VIRTIO_MMIO_QUEUE_SEL, 2);
	assert_int_equal(get(bench, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	put(bench, VIRTIO_MMIO_QUEUE_SEL, UINT32_MAX);
	put(bench, VIRTIO_MMIO_QUEUE_READY, 1);
	assert_int_equal(get(bench, VIRTIO_MMIO_QUEUE_READY), 0);
	assert_int_equal(get(bench, VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX);
	assert_int_equal(fake_read(bench->mmio, VIRTIO_MMIO_MAGIC_VALUE, 1), 0xff);
	assert_int_equal(fake_read(bench->mmio, VIRTIO_MMIO_MAGIC_VALUE + 2, 4), UINT32_MAX);
}

static void test_negotiation(void **state)
{
	struct bench *bench = *state;

	assert_false(fake_mmio_start(bench->mmio, EVENT_IDX, NULL, 0)); /* not VERSION_1 */
	assert_int_equal(get(bench, VIRTIO_MMIO_STATUS), STATUS_DRIVER);
	assert_false(fake_mmio_start(bench->mmio, VERSION_1 | VIRTIO_FEATURE(6), NULL, 0));
	assert_false(fake_mmio_start(bench->mmio, VERSION_1 | VIRTIO_FEATURE(34), NULL, 0));
	assert_true(fake_mmio_start(bench->mmio, VERSION_1 | VIRTIO_FEATURE(5), NULL, 0));
	put(bench, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	put(bench, VIRTIO_MMIO_DRIVER_FEATURES, 0xffffffff); /* too late */
	assert_true(bench->echo->virtio.accepted == (VERSION_1 | VIRTIO_FEATURE(5)));
	assert_int_equal(bench->lines, 0);
}

static void test_status_bits_stay(void **state)
{
	struct bench *bench = *state;

	start(bench);
	put(bench, VIRTIO_MMIO_STATUS, STATUS_DRIVER);
	assert_int_equal(get(bench, VIRTIO_MMIO_STATUS), STATUS_LIVE);
	put(bench, VIRTIO_MMIO_STATUS, STATUS_LIVE | 0x30 | NEEDS_RESET); /* not the driver's */
	assert_int_equal(get(bench, VIRTIO_MMIO_STATUS), STATUS_LIVE);
	put(bench, VIRTIO_MMIO_STATUS, STATUS_LIVE | 0x80);
	assert_int_equal(get(bench, VIRTIO_MMIO_STATUS), STATUS_LIVE | 0x80);
	put(bench, VIRTIO_MMIO_STATUS, 0x100); /* eight bits are status */
	assert_int_equal(get(bench, VIRTIO_MMIO_STATUS), 0);
}

static void test_echoes(void **state)
{
	struct bench *bench = *state;
	uint32_t head, bytes;

	start(bench);
	assert_int_equal(bench->echo->kicks, 2); /* each queue was looked at once */
	add(bench, 1);
	put(bench, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	put(bench, VIRTIO_MMIO_QUEUE_NOTIFY, 2); /* there is none */
	put(bench, VIRTIO_MMIO_QUEUE_NOTIFY, UINT32_MAX);
	assert_int_equal(bench->wires.kicks_all, 3);
	assert_false(fake_queue_used(&bench->queues[1], &head, &bytes)); /* not on this thread */
	fake_wires_run(&bench->wires, &bench->echo->virtio);
	assert_true(fake_queue_used(&bench->queues[1], &head, &bytes));
	assert_int_equal(bench->wires.interrupts[0], 1);
	assert_int_equal(get(bench, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
	put(bench, VIRTIO_MMIO_INTERRUPT_ACK, 1);
	assert_int_equal(get(bench, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	assert_int_equal(bench->echo->virtio.stats.chains, 1);
	assert_int_equal(bench->echo->virtio.stats.interrupts, 1);
}

static void test_frozen_after_driver_ok(void **state)
{
	struct bench *bench = *state;
	uint32_t head, bytes;

	start(bench);
	put(bench, VIRTIO_MMIO_QUEUE_SEL, 0);
	put(bench, VIRTIO_MMIO_QUEUE_NUM, 256);
	put(bench, VIRTIO_MMIO_QUEUE_DESC_LOW, 0xfffffff0);
	put(bench, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0xffffffff);
	put(bench, VIRTIO_MMIO_QUEUE_AVAIL_LOW, 0x1000);
	put(bench, VIRTIO_MMIO_QUEUE_USED_HIGH, 7);
	put(bench, VIRTIO_MMIO_QUEUE_READY, 0);
	assert_int_equal(get(bench, VIRTIO_MMIO_QUEUE_READY), 1);
	add(bench, 0);
	virtio_kick(&bench->echo->virtio, 0);
	assert_true(fake_queue_used(&bench->queues[0], &head, &bytes));
	assert_int_equal(bench->echo->virtio.queues[0].size, 16);
}

static void test_bad_queue_needs_reset(void **state)
{
	struct bench *bench = *state;

	bench->queues[1].device_gpa = FAKE_LOW_BYTES - 4;
	assert_false(fake_mmio_start(bench->mmio, VERSION_1, bench->queues, 2));
	assert_int_equal(get(bench, VIRTIO_MMIO_STATUS), STATUS_LIVE | NEEDS_RESET);
	assert_int_equal(get(bench, VIRTIO_MMIO_INTERRUPT_STATUS), 2);
	assert_int_equal(bench->lines, 1);
	add(bench, 0);
	virtio_kick(&bench->echo->virtio, 0);
	assert_int_equal(bench->echo->kicks, 0);
	bench->queues[1].size = 48;
	assert_false(fake_mmio_start(bench->mmio, VERSION_1, bench->queues, 2));
	bench->queues[1].size = 16;
	bench->queues[1].device_gpa = 0x30000;
	start(bench);
}

static void test_broken_ring_needs_reset(void **state)
{
	struct bench *bench = *state;

	start(bench);
	for (unsigned int i = 0; i < 1000; i++) {
		fake_queue_offer(&bench->queues[0], 77);
		virtio_kick(&bench->echo->virtio, 0);
	}
	assert_int_equal(get(bench, VIRTIO_MMIO_STATUS), STATUS_LIVE | NEEDS_RESET);
	assert_int_equal(bench->lines, 1);
	assert_int_equal(bench->wires.interrupts_all, 1);
	add(bench, 1); /* the other queue stands still as well */
	virtio_kick(&bench->echo->virtio, 1);
	assert_int_equal(bench->echo->virtio.stats.chains, 0);
	put(bench, VIRTIO_MMIO_STATUS, STATUS_LIVE); /* no way out but a reset */
	assert_int_equal(get(bench, VIRTIO_MMIO_STATUS), STATUS_LIVE | NEEDS_RESET);
	put(bench, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(get(bench, VIRTIO_MMIO_STATUS), 0);
	assert_int_equal(get(bench, VIRTIO_MMIO_QUEUE_READY), 0);
}

static void test_driver_ok_too_early(void **state)
{
	struct bench *bench = *state;

	put(bench, VIRTIO_MMIO_STATUS, 0x07);
	assert_int_equal(get(bench, VIRTIO_MMIO_STATUS), 0x07 | NEEDS_RESET);
}

static void test_log_is_bounded(void **state)
{
	struct bench *bench = *state;

	for (unsigned int i = 0; i < 1000; i++) {
		put(bench, VIRTIO_MMIO_STATUS, 0x07);
		put(bench, VIRTIO_MMIO_STATUS, 0);
	}
	assert_in_range(bench->lines, 1, 20);
	assert_int_equal(bench->echo->virtio.stats.broken, 1000);
}

/* A reset while requests are in flight: the driver may go on at once, the device waits for them. */
static void test_reset_in_flight(void **state)
{
	struct bench *bench = *state;
	struct virtio *virtio = &bench->echo->virtio;
	uint32_t head, bytes, epoch;

	start(bench);
	bench->echo->keep = true;
	add(bench, 0);
	add(bench, 0);
	virtio_kick(virtio, 0);
	assert_int_equal(virtio->in_flight, 2);
	epoch = virtio->epoch;
	put(bench, VIRTIO_MMIO_STATUS, 0);
	assert_int_not_equal(virtio->epoch, epoch);
	assert_true(virtio_resetting(virtio));
	for (unsigned int i = 0; i < 2; i++)
		fake_queue_init(&bench->queues[i], &bench->ram, 0x10000 + i * FAKE_QUEUE_BYTES, 16,
				true);
	bench->echo->keep = false;
	bench->wires.kicks_all = 0;
	assert_true(fake_mmio_start(bench->mmio, VERSION_1 | EVENT_IDX, bench->queues, 2));
	assert_int_equal(bench->wires.kicks_all, 0);
	add(bench, 0);
	virtio_kick(virtio, 0);
	assert_false(fake_queue_used(&bench->queues[0], &head, &bytes));
	virtio_release(virtio);
	assert_int_equal(bench->wires.kicks_all, 0);
	virtio_release(virtio);
	assert_int_equal(bench->wires.kicks_all, 2);
	fake_wires_run(&bench->wires, virtio);
	assert_true(fake_queue_used(&bench->queues[0], &head, &bytes));
}

static void *finish_one(void *opaque)
{
	struct virtio *virtio = opaque;

	pthread_mutex_lock(virtio->lock);
	while (!virtio_resetting(virtio)) { /* until the reset waits, without the lock */
		pthread_mutex_unlock(virtio->lock);
		sched_yield();
		pthread_mutex_lock(virtio->lock);
	}
	virtio_release(virtio);
	pthread_mutex_unlock(virtio->lock);
	return NULL;
}

/* A driver that never asks whether the reset is done: it is when the write is. But the host's
 * storage may hang, and the vCPU must not hang with it for ever. */
static void test_reset_waits(void **state)
{
	struct bench *bench = *state;
	struct virtio *virtio = &bench->echo->virtio;
	pthread_t thread;

	start(bench);
	bench->echo->keep = true;
	add(bench, 0);
	virtio_kick(virtio, 0);
	virtio->wiring.reset_limit_ns = 600 * NS_PER_SEC;
	assert_int_equal(pthread_create(&thread, NULL, finish_one, virtio), 0);
	put(bench, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(virtio->in_flight, 0);
	assert_int_equal(pthread_join(thread, NULL), 0);

	for (unsigned int i = 0; i < 2; i++)
		fake_queue_init(&bench->queues[i], &bench->ram, 0x10000 + i * FAKE_QUEUE_BYTES, 16,
				true);
	start(bench);
	add(bench, 0);
	virtio_kick(virtio, 0);
	virtio->wiring.reset_limit_ns = 1;
	put(bench, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(virtio->in_flight, 1);
	assert_int_equal(get(bench, VIRTIO_MMIO_STATUS), 0);
	virtio_release(virtio);
}

static void test_config_space(void **state)
{
	struct bench *bench = *state;
	struct device *mmio = bench->mmio;

	assert_int_equal(fake_read(mmio, 0x100, 4), 0x44332211);
	assert_int_equal(fake_read(mmio, 0x101, 2), 0x3322);
	assert_int_equal(fake_read(mmio, 0x104, 4), 0x6655); /* six bytes are there */
	assert_int_equal(fake_read(mmio, 0x106, 1), 0);
	assert_int_equal(fake_read(mmio, 0xff8, 8), 0);
	fake_write(mmio, 0x104, 1, 0x99);
	assert_int_equal(fake_read(mmio, 0x104, 1), 0x99);
	fake_write(mmio, 0x100, 4, 0);
	fake_write(mmio, 0x105, 2, 0);
	fake_write(mmio, 0xff8, 8, 0);
	assert_int_equal(fake_read(mmio, 0x100, 4), 0x44332211);
	assert_int_equal(get(bench, VIRTIO_MMIO_CONFIG_GENERATION), 0);
	start(bench);
	virtio_config_changed(&bench->echo->virtio);
	assert_int_equal(get(bench, VIRTIO_MMIO_CONFIG_GENERATION), 1);
	assert_int_equal(get(bench, VIRTIO_MMIO_INTERRUPT_STATUS), 2);
}

/* An acknowledgement that waited is for what the driver had seen, not for what came since. */
static void test_late_acknowledgement(void **state)
{
	struct bench *bench = *state;

	start(bench);
	virtio_config_changed(&bench->echo->virtio);
	assert_int_equal(get(bench, VIRTIO_MMIO_INTERRUPT_STATUS), 2);
	virtio_config_changed(&bench->echo->virtio);
	put(bench, VIRTIO_MMIO_INTERRUPT_ACK, 2);
	assert_int_equal(get(bench, VIRTIO_MMIO_INTERRUPT_STATUS), 2);
	put(bench, VIRTIO_MMIO_INTERRUPT_ACK, 2);
	assert_int_equal(get(bench, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	put(bench, VIRTIO_MMIO_INTERRUPT_ACK, 2);
	virtio_config_changed(&bench->echo->virtio);
	assert_int_equal(get(bench, VIRTIO_MMIO_INTERRUPT_STATUS), 2);
}

static void test_deferred(void **state)
{
	struct virtio_range ranges[VIRTIO_MMIO_DEFERRED];
	static const uint64_t at_once[] = { VIRTIO_MMIO_QUEUE_NOTIFY, VIRTIO_MMIO_STATUS,
					    VIRTIO_MMIO_CONFIG };

	(void)state;
	virtio_mmio_deferred(ranges);
	for (size_t i = 0; i < VIRTIO_MMIO_DEFERRED; i++)
		for (size_t j = 0; j < ARRAY_SIZE(at_once); j++)
			assert_false(at_once[j] - ranges[i].offset < ranges[i].bytes);
}

static void test_device_reset(void **state)
{
	struct bench *bench = *state;

	start(bench);
	put(bench, VIRTIO_MMIO_QUEUE_SEL, 1);
	bench->mmio->ops->reset(bench->mmio);
	assert_int_equal(get(bench, VIRTIO_MMIO_STATUS), 0);
	assert_int_equal(get(bench, VIRTIO_MMIO_QUEUE_READY), 0);
	assert_int_equal(bench->echo->resets, 2);
}

static void test_doorbell(void **state)
{
	struct virtio_doorbell doorbell;

	(void)state;
	virtio_mmio_doorbell(3, &doorbell);
	assert_int_equal(doorbell.address, VIRTIO_MMIO_QUEUE_NOTIFY);
	assert_int_equal(doorbell.value, 3);
	assert_int_equal(doorbell.bytes, 4);
	assert_true(doorbell.match);
	assert_false(doorbell.port);
}

static void test_entropy(void **state)
{
	static const uint8_t zeroes[256];
	struct bench *bench = *state;
	struct virtio *rng = rng_create(&bench->ram, &bench->log);
	struct device *mmio = virtio_mmio_create(rng, &bench->wiring);
	struct fake_queue q;
	uint32_t head, bytes;

	fake_queue_init(&q, &bench->ram, 0x18000, 16, true);
	assert_true(fake_mmio_start(mmio, VERSION_1 | EVENT_IDX, &q, 1));
	fake_queue_add(
		&q, (struct fake_buffer[]){ { BUFFER, 100, true }, { BUFFER + 200, 28, true } }, 2);
	fake_queue_add(&q, (struct fake_buffer[]){ { 0x100000, 0x80000, true } }, 1);
	fake_queue_add(&q, (struct fake_buffer[]){ { 0x80400, 16, false } },
		       1); /* no room at all */
	fake_wires_run(&bench->wires, rng);
	assert_true(fake_queue_used(&q, &head, &bytes));
	assert_int_equal(bytes, 128);
	assert_memory_not_equal(ram_ptr(&bench->ram, BUFFER, 64), zeroes, 64);
	assert_memory_equal(ram_ptr(&bench->ram, BUFFER + 100, 100), zeroes, 100);
	assert_memory_not_equal(ram_ptr(&bench->ram, BUFFER + 200, 28), zeroes, 28);
	assert_true(fake_queue_used(&q, &head, &bytes));
	assert_int_equal(bytes, 4096); /* a request is not unbounded work */
	assert_true(fake_queue_used(&q, &head, &bytes));
	assert_int_equal(bytes, 0);
	assert_int_equal(bench->wires.interrupts[0], 1); /* one for the batch */
	for (unsigned int i = 0; i < 16; i++)
		fake_queue_add(&q, (struct fake_buffer[]){ { BUFFER, 8, true } }, 1);
	assert_true(virtio_kick(rng, 0)); /* the budget: call again */
	assert_false(virtio_kick(rng, 0));
	device_destroy(mmio);
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(test_identity),
		BENCH_TEST(test_negotiation),
		BENCH_TEST(test_status_bits_stay),
		BENCH_TEST(test_echoes),
		BENCH_TEST(test_frozen_after_driver_ok),
		BENCH_TEST(test_bad_queue_needs_reset),
		BENCH_TEST(test_broken_ring_needs_reset),
		BENCH_TEST(test_driver_ok_too_early),
		BENCH_TEST(test_log_is_bounded),
		BENCH_TEST(test_reset_in_flight),
		BENCH_TEST(test_reset_waits),
		BENCH_TEST(test_config_space),
		BENCH_TEST(test_late_acknowledgement),
		BENCH_TEST(test_deferred),
		BENCH_TEST(test_device_reset),
		BENCH_TEST(test_doorbell),
		BENCH_TEST(test_entropy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
