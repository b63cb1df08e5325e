/* SPDX-License-Identifier: Apache-2.0 */
/* test_virtq: chains good and bad, wrapping indices, kicks and interrupts asked for and not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "tests/fake/guest.h"

#define RING   0x10000
#define TABLE  0x20000
#define BUFFER 0x40000

struct bench {
	struct ram ram;
	struct fake_queue driver;
	struct virtq q;
	struct virtq_chain chain;
};

static void begin(struct bench *bench, uint16_t size, bool event_index)
{
	fake_queue_init(&bench->driver, &bench->ram, RING, size, event_index);
	bench->q.size_max = VIRTQ_SIZE_MAX;
	virtq_reset(&bench->q);
	bench->q.size = size;
	bench->q.descriptors_gpa = bench->driver.descriptors_gpa;
	bench->q.driver_gpa = bench->driver.driver_gpa;
	bench->q.device_gpa = bench->driver.device_gpa;
	assert_true(virtq_start(&bench->q, &bench->ram, true, event_index));
}

static int setup(void **state)
{
	static struct bench bench;

	memset(&bench, 0, sizeof(bench));
	fake_ram_init(&bench.ram);
	begin(&bench, 8, true);
	*state = &bench;
	return 0;
}

static int teardown(void **state)
{
	fake_ram_fini(&((struct bench *)*state)->ram);
	return 0;
}

static enum virtq_pop pop(struct bench *bench)
{
	return virtq_pop(&bench->q, &bench->chain);
}

static void test_start_checks(void **state)
{
	static const struct {
		uint16_t size;
		uint64_t descriptors, driver, device;
	} bad[] = {
		{ 0, RING, 0x11000, 0x12000 },
		{ 3, RING, 0x11000, 0x12000 },
		{ 512, RING, 0x11000, 0x12000 },
		{ 8, RING + 8, 0x11000, 0x12000 },
		{ 8, RING, 0x11001, 0x12000 },
		{ 8, RING, 0x11000, 0x12002 },
		{ 8, FAKE_LOW_BYTES - 127, 0x11000, 0x12000 },
		{ 8, FAKE_LOW_BYTES - 112, 0x11000, 0x12000 },
		{ 8, RING, FAKE_LOW_BYTES - 20, 0x12000 }, /* 22 with the event index */
		{ 8, RING, 0x11000, FAKE_LOW_BYTES - 68 }, /* 70 */
		{ 8, RING, 0x11000, FAKE_HIGH_GPA + FAKE_HIGH_BYTES - 64 },
		{ 8, UINT64_MAX - 15, 0x11000, 0x12000 },
		{ 8, FAKE_HIGH_GPA - 64, 0x11000, 0x12000 },
	};
	struct bench *bench = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		virtq_reset(&bench->q);
		bench->q.size = bad[i].size;
		bench->q.descriptors_gpa = bad[i].descriptors;
		bench->q.driver_gpa = bad[i].driver;
		bench->q.device_gpa = bad[i].device;
		assert_false(virtq_start(&bench->q, &bench->ram, true, true));
		assert_false(virtq_running(&bench->q));
	}
	virtq_reset(&bench->q);
	bench->q.size = 8;
	bench->q.descriptors_gpa = FAKE_LOW_BYTES - 128;
	bench->q.driver_gpa = FAKE_HIGH_GPA + FAKE_HIGH_BYTES - 20;
	bench->q.device_gpa = FAKE_HIGH_GPA;
	assert_true(virtq_start(&bench->q, &bench->ram, true, false)); /* to the last byte */
	bench->q.size_max = 4;
	assert_false(virtq_start(&bench->q, &bench->ram, true, false));
}

static void test_pops_a_copy(void **state)
{
	struct bench *bench = *state;
	const struct fake_buffer buffers[] = {
		{ BUFFER, 16, false },
		{ FAKE_HIGH_GPA + FAKE_HIGH_BYTES - 512, 512, true },
		{ BUFFER + 0x1000, 1, true },
	};
	uint16_t head;
	uint8_t data[600];

	assert_int_equal(pop(bench), VIRTQ_EMPTY);
	head = fake_queue_add(&bench->driver, buffers, 3);
	memcpy(ram_ptr(&bench->ram, BUFFER, 16), "0123456789abcdef", 16);
	assert_int_equal(pop(bench), VIRTQ_CHAIN);
	assert_int_equal(bench->chain.head, head);
	assert_int_equal(bench->chain.readable, 1);
	assert_int_equal(bench->chain.writable, 2);
	assert_int_equal(bench->chain.readable_bytes, 16);
	assert_int_equal(bench->chain.writable_bytes, 513);
	fake_descriptor(&bench->ram, bench->driver.descriptors_gpa, head, UINT64_MAX, 9, 0, 0);
	assert_ptr_equal(bench->chain.iov[0].iov_base, ram_ptr(&bench->ram, BUFFER, 16));
	assert_int_equal(virtq_read(&bench->chain, 10, data, sizeof(data)), 6);
	assert_memory_equal(data, "abcdef", 6);
	assert_int_equal(virtq_read(&bench->chain, 16, data, 1), 0);
	memset(data, 0x5a, sizeof(data));
	assert_int_equal(virtq_write(&bench->chain, 500, data, sizeof(data)), 13);
	assert_int_equal(*(uint8_t *)ram_ptr(&bench->ram, BUFFER + 0x1000, 1), 0x5a);
	assert_int_equal(bench->ram.ranges[1].host[FAKE_HIGH_BYTES - 13], 0);
	assert_int_equal(bench->ram.ranges[1].host[FAKE_HIGH_BYTES - 12], 0x5a);
	assert_int_equal(virtq_write(&bench->chain, 513, data, 1), 0);
	assert_int_equal(pop(bench), VIRTQ_EMPTY);
}

static void test_indirect(void **state)
{
	struct bench *bench = *state;
	struct fake_buffer buffers[9];

	for (unsigned int i = 0; i < 9; i++)
		buffers[i] = (struct fake_buffer){ BUFFER + 0x100 * i, 0x80, i >= 4 };
	fake_queue_add_indirect(&bench->driver, TABLE + 4, buffers, 8); /* any alignment */
	assert_int_equal(pop(bench), VIRTQ_CHAIN);
	assert_int_equal(bench->chain.readable, 4);
	assert_int_equal(bench->chain.writable, 4);
	virtq_unpop(&bench->q);
	assert_int_equal(pop(bench), VIRTQ_CHAIN);
	assert_int_equal(pop(bench), VIRTQ_EMPTY);
	fake_queue_add_indirect(&bench->driver, TABLE, buffers, 9); /* longer than the queue */
	assert_int_equal(pop(bench), VIRTQ_BROKEN);
	assert_int_equal(pop(bench), VIRTQ_BROKEN);
	assert_false(virtq_running(&bench->q));
}

static void test_indirect_after_direct(void **state)
{
	struct bench *bench = *state;
	uint64_t table = bench->driver.descriptors_gpa;

	fake_descriptor(&bench->ram, table, 0, BUFFER, 4, VRING_DESC_F_NEXT, 1);
	fake_descriptor(&bench->ram, table, 1, TABLE, 16, VRING_DESC_F_INDIRECT, 0);
	fake_descriptor(&bench->ram, TABLE, 0, BUFFER, 4, VRING_DESC_F_WRITE, 0);
	fake_queue_offer(&bench->driver, 0);
	assert_int_equal(pop(bench), VIRTQ_CHAIN);
	assert_int_equal(bench->chain.readable, 1);
	assert_int_equal(bench->chain.writable, 1);
}

/* Each of these is one descriptor (or an indirect one that leads to it) that no driver may write.
 */
static void test_bad_descriptors(void **state)
{
	static const struct {
		uint64_t gpa;
		uint32_t bytes;
		uint16_t flags, next;
	} bad[] = {
		{ BUFFER, 0, 0, 0 },
		{ FAKE_LOW_BYTES, 1, 0, 0 },
		{ FAKE_LOW_BYTES - 1, 2, 0, 0 },
		{ FAKE_HIGH_GPA + FAKE_HIGH_BYTES - 4, 8, VRING_DESC_F_WRITE, 0 },
		{ FAKE_HIGH_GPA - 4, 8, 0, 0 },
		{ UINT64_MAX, 1, 0, 0 },
		{ UINT64_MAX - 3, 8, 0, 0 },
		{ UINT64_C(0xfee00000), 4, VRING_DESC_F_WRITE, 0 }, /* a device window */
		{ 0, UINT32_MAX, 0, 0 },
		{ BUFFER, 4, VRING_DESC_F_NEXT, 0 }, /* itself, for ever */
		{ BUFFER, 4, VRING_DESC_F_NEXT, 8 }, /* beyond the table */
		{ BUFFER, 4, VRING_DESC_F_NEXT, UINT16_MAX },
		{ BUFFER, 4, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1 }, /* then one to read */
		{ TABLE, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1 },
		{ TABLE, 0, VRING_DESC_F_INDIRECT, 0 },
		{ TABLE, 15, VRING_DESC_F_INDIRECT, 0 },
		{ TABLE, 16 * 9, VRING_DESC_F_INDIRECT, 0 },
		{ FAKE_LOW_BYTES - 8, 16, VRING_DESC_F_INDIRECT, 0 },
		{ TABLE + 0x100, 16, VRING_DESC_F_INDIRECT, 0 }, /* leads to an indirect one */
		{ TABLE + 0x200, 16, VRING_DESC_F_INDIRECT, 0 }, /* leads beyond its table */
	};
	struct bench *bench = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		begin(bench, 8, i & 1);
		fake_descriptor(&bench->ram, TABLE, 0, BUFFER, 4, 0, 0);
		fake_descriptor(&bench->ram, TABLE + 0x100, 0, TABLE, 16, VRING_DESC_F_INDIRECT, 0);
		fake_descriptor(&bench->ram, TABLE + 0x200, 0, BUFFER, 4, VRING_DESC_F_NEXT, 1);
		fake_descriptor(&bench->ram, bench->driver.descriptors_gpa, 0, bad[i].gpa,
				bad[i].bytes, bad[i].flags, bad[i].next);
		fake_descriptor(&bench->ram, bench->driver.descriptors_gpa, 1, BUFFER, 4, 0, 0);
		fake_queue_offer(&bench->driver, 0);
		assert_int_equal(pop(bench), VIRTQ_BROKEN);
		assert_int_equal(bench->driver.used_seen, bench->q.next_used);
	}
}

static void test_sum_below_4_gib(void **state)
{
	struct bench *bench = *state;
	struct ram huge = bench->ram;

	/* A range that is large in name only: pop looks at addresses, not at what is there. */
	huge.ranges[1].bytes = 8 * GIB;
	bench->q.ram = &huge;
	fake_queue_add(&bench->driver,
		       (struct fake_buffer[]){ { FAKE_HIGH_GPA, UINT32_MAX, false } }, 1);
	assert_int_equal(pop(bench), VIRTQ_CHAIN);
	fake_queue_add(&bench->driver,
		       (struct fake_buffer[]){ { FAKE_HIGH_GPA, UINT32_MAX, false },
					       { FAKE_HIGH_GPA, 1, true } },
		       2);
	assert_int_equal(pop(bench), VIRTQ_BROKEN);
}

static void test_indirect_not_negotiated(void **state)
{
	struct bench *bench = *state;

	bench->q.indirect = false;
	fake_queue_add_indirect(&bench->driver, TABLE,
				(struct fake_buffer[]){ { BUFFER, 4, false } }, 1);
	assert_int_equal(pop(bench), VIRTQ_BROKEN);
}

static void test_bad_heads_and_indices(void **state)
{
	struct bench *bench = *state;

	fake_queue_offer(&bench->driver, 8);
	assert_int_equal(pop(bench), VIRTQ_BROKEN);
	begin(bench, 8, true);
	bench->driver.avail = 8; /* nine at once where eight fit */
	fake_queue_offer(&bench->driver, 0);
	assert_int_equal(pop(bench), VIRTQ_BROKEN);
	begin(bench, 8, false);
	bench->driver.avail = UINT16_MAX - 1; /* backwards */
	fake_queue_offer(&bench->driver, 0);
	assert_true(virtq_kicks_on(&bench->q));
	assert_int_equal(pop(bench), VIRTQ_BROKEN);
	assert_false(virtq_kicks_on(&bench->q));
}

/* One head twice is the driver's own trouble: both are done, both are used. */
static void test_head_twice(void **state)
{
	struct bench *bench = *state;
	uint32_t head, bytes;
	uint16_t first =
		fake_queue_add(&bench->driver, (struct fake_buffer[]){ { BUFFER, 4, true } }, 1);

	fake_queue_offer(&bench->driver, first);
	assert_int_equal(pop(bench), VIRTQ_CHAIN);
	assert_int_equal(pop(bench), VIRTQ_CHAIN);
	virtq_push(&bench->q, first, 4);
	virtq_push(&bench->q, first, 4);
	assert_true(fake_queue_used(&bench->driver, &head, &bytes));
	assert_true(fake_queue_used(&bench->driver, &head, &bytes));
	assert_false(fake_queue_used(&bench->driver, &head, &bytes));
}

static void test_goes_round(void **state)
{
	struct bench *bench = *state;
	uint32_t head, bytes;

	for (unsigned int i = 0; i < 3 * 65536; i++) {
		uint16_t added = fake_queue_add(&bench->driver,
						(struct fake_buffer[]){ { BUFFER, 4, true } }, 1);

		assert_int_equal(pop(bench), VIRTQ_CHAIN);
		assert_int_equal(bench->chain.head, added);
		virtq_push(&bench->q, bench->chain.head, i & 0xff);
		assert_true(fake_queue_used(&bench->driver, &head, &bytes));
		assert_int_equal(head, added);
		assert_int_equal(bytes, i & 0xff);
	}
	assert_int_equal(pop(bench), VIRTQ_EMPTY);
}

static void kicks(struct bench *bench, bool event_index)
{
	const struct fake_buffer buffer = { BUFFER, 4, true };

	begin(bench, 8, event_index);
	assert_false(virtq_kicks_on(&bench->q));
	fake_queue_add(&bench->driver, &buffer, 1);
	assert_true(fake_queue_kick_wanted(&bench->driver));
	virtq_kicks_off(&bench->q);
	assert_int_equal(pop(bench), VIRTQ_CHAIN);
	fake_queue_add(&bench->driver, &buffer, 1);
	assert_false(fake_queue_kick_wanted(&bench->driver)); /* it is being emptied */
	assert_true(virtq_kicks_on(&bench->q));               /* and so is this one */
	virtq_kicks_off(&bench->q);
	assert_int_equal(pop(bench), VIRTQ_CHAIN);
	assert_int_equal(pop(bench), VIRTQ_EMPTY);
	assert_false(virtq_kicks_on(&bench->q));
	fake_queue_add(&bench->driver, &buffer, 1);
	assert_true(fake_queue_kick_wanted(&bench->driver));
}

static void interrupts(struct bench *bench, bool event_index)
{
	uint32_t head, bytes;

	begin(bench, 8, event_index);
	assert_false(virtq_signal_due(&bench->q));
	virtq_push(&bench->q, 0, 0);
	assert_true(virtq_signal_due(&bench->q));
	assert_false(virtq_signal_due(&bench->q)); /* once */
	fake_queue_interrupts(&bench->driver, false);
	virtq_push(&bench->q, 0, 0);
	assert_false(virtq_signal_due(&bench->q));
	while (fake_queue_used(&bench->driver, &head, &bytes))
		;
	fake_queue_interrupts(&bench->driver, true);
	assert_false(virtq_signal_due(&bench->q));
	virtq_push(&bench->q, 0, 0);
	virtq_push(&bench->q, 0, 0);
	assert_true(virtq_signal_due(&bench->q)); /* one for both */
	assert_false(virtq_signal_due(&bench->q));
}

static void test_suppression(void **state)
{
	for (int event_index = 0; event_index < 2; event_index++) {
		kicks(*state, event_index);
		interrupts(*state, event_index);
	}
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(test_start_checks),
		BENCH_TEST(test_pops_a_copy),
		BENCH_TEST(test_indirect),
		BENCH_TEST(test_indirect_after_direct),
		BENCH_TEST(test_bad_descriptors),
		BENCH_TEST(test_sum_below_4_gib),
		BENCH_TEST(test_indirect_not_negotiated),
		BENCH_TEST(test_bad_heads_and_indices),
		BENCH_TEST(test_head_twice),
		BENCH_TEST(test_goes_round),
		BENCH_TEST(test_suppression),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
