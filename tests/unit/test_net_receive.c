/* SPDX-License-Identifier: Apache-2.0 */
/* test_net_receive: what the network device receives, with buffers of all shapes, with few and with
 * none. */
#include "tests/unit/net_fixture.h"

static void test_receives(void **state)
{
	struct bench *bench = *state;

	assert_true(start(bench, MERGE | SEGMENTED, 256));
	give_buffers(bench, 0, 0, 100, 1536);
	peer_sends(bench, 0, 60);
	assert_int_equal(driver_receives(bench, 0, 0, 1536), 60);
	assert_int_equal(atomic_load(&bench->backend.accepted), BASIC | MERGE | SEGMENTED);
	peer_sends(bench, 0, 1524);
	assert_int_equal(driver_receives(bench, 0, 1, 1536), 1524);
	peer_sends(bench, 0, 1525); /* one byte more than a buffer */
	assert_int_equal(driver_receives(bench, 0, 2, 1536), 1525);
	peer_sends(bench, 0, 65549);
	assert_int_equal(driver_receives(bench, 0, 4, 1536), 65549);
	assert_int_equal(counter(&net_stats(bench->virtio)->received), 4);
}

/* Buffers wander through the whole ring, many times, and the window is moved again and again. */
static void test_receives_for_long(void **state)
{
	struct bench *bench = *state;
	unsigned int given = 256, taken = 0;

	assert_true(start(bench, MERGE | SEGMENTED, 256));
	for (unsigned int i = 0; i < 256; i++) {
		const struct fake_buffer buffer = { BUFFERS + i * 1024, 1024, true };

		fake_queue_add(&bench->q[0], &buffer, 1);
	}
	fake_io_kick(&bench->io, 0, &bench->q[0]);
	for (unsigned int i = 0; i < 2000; i++) {
		size_t frame = 60 + i * 977 % 20000, used;

		peer_sends(bench, 0, frame);
		/* The buffers lie at their descriptors' places, so a packet may wrap there. */
		used = (frame + NET_HEADER_BYTES + 1023) / 1024;
		for (size_t b = 0; b < used; b++) {
			uint32_t head, bytes;

			assert_true(b ? fake_queue_used(&bench->q[0], &head, &bytes)
				      : fake_io_used(&bench->q[0], &head, &bytes));
			assert_int_equal(head, taken % 256);
			memcpy(bench->in + 1024 * b,
			       bench->io.ram.ranges[0].host + BUFFERS + 1024 * head, bytes);
			taken++;
		}
		assert_int_equal(load_le16(bench->in + 10), used);
		assert_memory_equal(bench->in + 12, bench->out + 12, frame);
		for (; given < taken + 256; given++) {
			const struct fake_buffer buffer = { BUFFERS + given % 256 * 1024, 1024,
							    true };

			fake_queue_add(&bench->q[0], &buffer, 1);
		}
		fake_io_kick(&bench->io, 0, &bench->q[0]);
	}
}

/*
 * Packets of all sizes through buffers that partly touch each other in memory, so that the device
 * sees some as one: each lands where its descriptors say, and nothing is written between them.
 */
static void test_receives_into_gaps(void **state)
{
	struct bench *bench = *state;
	uint8_t *ram = bench->io.ram.ranges[0].host + BUFFERS;
	unsigned int given = 0, taken = 0;

	assert_true(start(bench, MERGE | SEGMENTED, 256));
	for (unsigned int i = 0; i < 1000; i++) {
		size_t frame = i % 3 ? 60 + i * 7 % 900 : 60 + i * 977 % 60000, total = 0;
		uint32_t head, bytes, count = 1;

		for (; given < taken + 256; given++) {
			uint64_t at = BUFFERS + given % 256 * 1024 + (given & 4 ? 0 : 64);
			const struct fake_buffer buffer = { at, given & 4 ? 1024 : 960, true };

			memset(ram + given % 256 * 1024, 0xee, 1024);
			fake_queue_add(&bench->q[0], &buffer, 1);
		}
		fake_io_kick(&bench->io, 0, &bench->q[0]);
		peer_sends(bench, 0, frame);
		for (uint32_t b = 0; b < count; b++, taken++) {
			const uint8_t *place = ram + (size_t)1024 * (taken % 256);

			assert_true(b ? fake_queue_used(&bench->q[0], &head, &bytes)
				      : fake_io_used(&bench->q[0], &head, &bytes));
			assert_int_equal(head, taken % 256);
			if (!(taken & 4))
				assert_int_equal(place[0], 0xee);
			memcpy(bench->in + total, place + (taken & 4 ? 0 : 64), bytes);
			if (!b)
				count = load_le16(bench->in + 10);
			total += bytes;
		}
		assert_int_equal(total, NET_HEADER_BYTES + frame);
		assert_memory_equal(bench->in + 12, bench->out + 12, frame);
	}
}

/* The header may be cut anywhere. */
static void test_receives_into_scattered_chains(void **state)
{
	struct bench *bench = *state;
	const uint8_t *ram = bench->io.ram.ranges[0].host + BUFFERS;
	struct fake_buffer buffers[20];
	uint32_t head, bytes;

	assert_true(start(bench, MERGE, 256));
	for (unsigned int i = 0; i < 20; i++)
		buffers[i] = (struct fake_buffer){ BUFFERS + 2 * i, i < 19 ? 1 : 1600, true };
	fake_queue_add(&bench->q[0], buffers, 20);
	fake_io_kick(&bench->io, 0, &bench->q[0]);
	peer_sends(bench, 0, 100);
	assert_true(fake_io_used(&bench->q[0], &head, &bytes));
	assert_int_equal(bytes, 112);
	assert_int_equal(ram[20], 1);
	assert_int_equal(ram[22], 0);
	for (unsigned int i = 12; i < 19; i++)
		assert_int_equal(ram[2 * i], bench->out[i]);
	assert_memory_equal(ram + 38, bench->out + 19, 93);
}

static void test_without_merging(void **state)
{
	struct bench *bench = *state;
	const struct net_stats *stats = net_stats(bench->virtio);

	assert_true(start(bench, 0, 256));
	give_buffers(bench, 0, 0, 4, 1526);
	peer_sends(bench, 0, 1514);
	assert_int_equal(driver_receives(bench, 0, 0, 1526), 1514);
	peer_sends(bench, 0, 1515); /* too large: lost, its buffer is not */
	wait_for(&stats->receive_dropped, 1);
	peer_sends(bench, 0, 1000);
	assert_int_equal(driver_receives(bench, 0, 1, 1526), 1000);
}

/* No buffers, then some, again and again: nothing is lost and nothing stands still. */
static void test_starved(void **state)
{
	struct bench *bench = *state;

	assert_true(start(bench, MERGE, 256));
	for (unsigned int round = 0; round < 200; round++) {
		unsigned int first = round * 8 % 256;

		for (unsigned int i = 0; i < 8; i++)
			peer_sends(bench, 0, 1000 + i);
		wait_for(&net_stats(bench->virtio)->receive_waits, round + 1);
		give_buffers(bench, 0, first, 8, 1536);
		for (unsigned int i = 0; i < 8; i++)
			assert_int_equal(driver_receives(bench, 0, first + i, 1536), 1000 + i);
	}
}

/* Less in the queue than the largest packet needs: small ones pass, a large one waits for more. */
static void test_few_buffers(void **state)
{
	struct bench *bench = *state;

	assert_true(start(bench, MERGE | SEGMENTED, 256));
	give_buffers(bench, 0, 0, 4, 1536);
	peer_sends(bench, 0, 500);
	assert_int_equal(driver_receives(bench, 0, 0, 1536), 500);
	peer_sends(bench, 0, 20000);
	peer_sends(bench, 0, 600);
	wait_for(&net_stats(bench->virtio)->receive_waits, 1);
	give_buffers(bench, 0, 4, 5, 1536);
	wait_for(&net_stats(bench->virtio)->receive_waits, 2);
	give_buffers(bench, 0, 9, 10, 1536);
	assert_int_equal(driver_receives(bench, 0, 1, 1536), 20000);
	assert_int_equal(driver_receives(bench, 0, 15, 1536), 600);
}

/* A queue that can never hold the largest packet: those that are too large are lost, not the
 * others. */
static void test_small_queue(void **state)
{
	struct bench *bench = *state;

	assert_true(start(bench, MERGE | SEGMENTED, 4));
	give_buffers(bench, 0, 0, 4, 1536);
	peer_sends(bench, 0, 20000);
	peer_sends(bench, 0, 700);
	assert_int_equal(driver_receives(bench, 0, 0, 1536), 700);
	assert_int_equal(counter(&net_stats(bench->virtio)->receive_dropped), 1);
}

static void test_broken_receive_buffers(void **state)
{
	struct bench *bench = *state;
	const struct fake_buffer readable = { BUFFERS, 2000, false };
	const struct fake_buffer tiny = { BUFFERS, NET_HEADER_BYTES - 1, true };

	for (unsigned int i = 0; i < 2; i++) {
		assert_true(start(bench, MERGE, 256));
		fake_queue_add(&bench->q[0], i ? &readable : &tiny, 1);
		fake_io_kick(&bench->io, 0, &bench->q[0]);
		wait_for_needs_reset(bench);
	}
	assert_true(start(bench, MERGE, 256));
	give_buffers(bench, 0, 0, 4, 2048);
	peer_sends(bench, 0, 800);
	assert_int_equal(driver_receives(bench, 0, 0, 2048), 800);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(receives),
		TEST(receives_for_long),
		TEST(receives_into_gaps),
		TEST(receives_into_scattered_chains),
		TEST(without_merging),
		TEST(starved),
		TEST(few_buffers),
		TEST(small_queue),
		TEST(broken_receive_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
