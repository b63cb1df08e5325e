/* SPDX-License-Identifier: Apache-2.0 */
/* test_net: a driver and a peer exchange packets through the network device, with buffers of all
 * shapes, with none, with rules broken, and with a backend that fails. */
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/num.h"
#include "devices/net.h"
#include "devices/virtio_mmio.h"
#include "tests/fake/io.h"
#include "tests/fake/net.h"

#define F(bit)    VIRTIO_FEATURE(bit)
#define BASIC     (F(VIRTIO_F_VERSION_1) | F(VIRTIO_RING_F_EVENT_IDX))
#define MERGE     F(VIRTIO_NET_F_MRG_RXBUF)
#define SEGMENTED (F(VIRTIO_NET_F_GUEST_CSUM) | F(VIRTIO_NET_F_GUEST_TSO4))
#define MULTI     (F(VIRTIO_NET_F_CTRL_VQ) | F(VIRTIO_NET_F_MQ))

#define BUFFERS     UINT64_C(0x80000) /* receive buffers */
#define SENT        UINT64_C(0x60000) /* packets to send */
#define COMMAND     UINT64_C(0x78000)
#define PACKET_MAX  70000
#define NEEDS_RESET 0x40

struct bench {
	struct fake_io io;
	struct fake_net backend;
	struct virtio *virtio;
	struct fake_queue q[2 * FAKE_NET_PAIRS + 1];
	uint8_t out[PACKET_MAX], in[PACKET_MAX];
};

static const uint8_t mac[NET_MAC_BYTES] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };

static void begin(struct bench *bench, uint16_t pairs, const struct net_rate *rate)
{
	struct net_setup setup = { .mtu = 1400 };

	fake_io_init(&bench->io);
	fake_net_init(&bench->backend, pairs, SEGMENTED);
	setup.ram = &bench->io.ram;
	setup.log = &bench->io.log;
	setup.loop = bench->io.loop;
	setup.backend = &bench->backend.backend;
	memcpy(setup.mac, mac, sizeof(mac));
	if (rate)
		setup.receive_rate = setup.send_rate = *rate;
	assert_int_equal(net_create(&bench->virtio, &setup, NULL), 0);
	fake_io_start(&bench->io, bench->virtio);
	for (unsigned int i = 0; i < PACKET_MAX; i++)
		bench->out[i] = (uint8_t)(i * 7 + i / 256);
	memset(bench->out, 0, NET_HEADER_BYTES);
	memcpy(bench->io.ram.ranges[0].host + SENT, bench->out, PACKET_MAX);
}

static bool start(struct bench *bench, uint64_t features, uint16_t size)
{
	unsigned int count = bench->virtio->queue_count;

	fake_write(bench->io.mmio, VIRTIO_MMIO_STATUS, 4, 0);
	for (unsigned int i = 0; i < count; i++)
		fake_queue_init(&bench->q[i], &bench->io.ram, 0x10000 + i * FAKE_QUEUE_BYTES, size,
				true);
	return fake_mmio_start(bench->io.mmio, BASIC | features, bench->q, count);
}

static int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	begin(bench, 1, NULL);
	*state = bench;
	return 0;
}

static int setup_multi(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	begin(bench, FAKE_NET_PAIRS, NULL);
	*state = bench;
	return 0;
}

static int setup_limited(void **state)
{
	const struct net_rate rate = { .packets = { .per_second = 500, .burst = 1 } };
	struct bench *bench = calloc(1, sizeof(*bench));

	begin(bench, 1, &rate);
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	fake_io_fini(&bench->io);
	assert_int_equal(atomic_load(&bench->backend.destroyed), 1);
	fake_net_close_peers(&bench->backend);
	free(bench);
	return 0;
}

/* ---- The driver and the peer ---- */

static void give_buffers(struct bench *bench, unsigned int pair, unsigned int first,
			 unsigned int count, uint32_t bytes)
{
	for (unsigned int i = first; i < first + count; i++) {
		const struct fake_buffer buffer = { BUFFERS + (uint64_t)i * bytes, bytes, true };

		fake_queue_add(&bench->q[2 * pair], &buffer, 1);
	}
	fake_io_kick(&bench->io, 2 * pair, &bench->q[2 * pair]);
}

static void peer_sends(struct bench *bench, unsigned int pair, size_t frame_bytes)
{
	size_t bytes = NET_HEADER_BYTES + frame_bytes;

	assert_int_equal(write(bench->backend.peers[pair], bench->out, bytes), bytes);
}

static ssize_t peer_receives(struct bench *bench, unsigned int pair)
{
	struct pollfd fd = { .fd = bench->backend.peers[pair], .events = POLLIN };

	if (poll(&fd, 1, 5000) != 1)
		return -1;
	return read(fd.fd, bench->in, sizeof(bench->in));
}

/* Takes one packet from a receive queue whose buffers are bytes each, begun at buffer first. */
static size_t driver_receives(struct bench *bench, unsigned int pair, unsigned int first,
			      uint32_t bytes)
{
	const uint8_t *ram = bench->io.ram.ranges[0].host + BUFFERS;
	uint32_t head, length, count;
	size_t total = 0;

	assert_true(fake_io_used(&bench->q[2 * pair], &head, &length));
	count = load_le16(ram + (size_t)first * bytes + 10);
	for (uint32_t i = 0; i < count; i++) {
		/* The others are there by the time the first one is. */
		if (i)
			assert_true(fake_queue_used(&bench->q[2 * pair], &head, &length));
		assert_int_equal(head, (first + i) % bench->q[2 * pair].size);
		memcpy(bench->in + total, ram + (size_t)(first + i) * bytes, length);
		total += length;
	}
	assert_int_equal(load_le16(bench->in + 10), count);
	assert_memory_equal(bench->in + 12, bench->out + 12, total - 12);
	return total - NET_HEADER_BYTES;
}

static void driver_sends(struct bench *bench, unsigned int pair, size_t frame_bytes)
{
	uint32_t rest = (uint32_t)(NET_HEADER_BYTES + frame_bytes - 100);
	const struct fake_buffer buffers[] = { { SENT, 100, false }, { SENT + 100, rest, false } };

	fake_queue_add(&bench->q[2 * pair + 1], buffers, 2);
	fake_io_kick(&bench->io, 2 * pair + 1, &bench->q[2 * pair + 1]);
}

static uint64_t counter(const _Atomic uint64_t *value)
{
	return atomic_load((_Atomic uint64_t *)value);
}

static void wait_for(const _Atomic uint64_t *value, uint64_t at_least)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (unsigned int i = 0; i < 5000 && counter(value) < at_least; i++)
		nanosleep(&pause, NULL);
	assert_true(counter(value) >= at_least);
}

static uint32_t status(struct bench *bench)
{
	return (uint32_t)fake_read(bench->io.mmio, VIRTIO_MMIO_STATUS, 4);
}

static void wait_for_needs_reset(struct bench *bench)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (unsigned int i = 0; i < 5000 && !(status(bench) & NEEDS_RESET); i++)
		nanosleep(&pause, NULL);
	assert_true(status(bench) & NEEDS_RESET);
}

/* ---- Tests ---- */

static void test_configuration(void **state)
{
	struct bench *bench = *state;
	struct device *mmio = bench->io.mmio;

	for (unsigned int i = 0; i < NET_MAC_BYTES; i++)
		assert_int_equal(fake_read(mmio, VIRTIO_MMIO_CONFIG + i, 1), mac[i]);
	assert_int_equal(fake_read(mmio, VIRTIO_MMIO_CONFIG + 6, 2), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(fake_read(mmio, VIRTIO_MMIO_CONFIG + 10, 2), 1400);
	assert_int_equal(bench->virtio->queue_count, 2);
	assert_true(bench->virtio->offered & F(VIRTIO_NET_F_MTU));
	assert_false(bench->virtio->offered & F(VIRTIO_NET_F_CTRL_VQ));
}

static void test_sends(void **state)
{
	struct bench *bench = *state;
	uint32_t head, bytes;

	assert_true(start(bench, MERGE, 256));
	for (unsigned int i = 0; i < 1000; i++) {
		size_t frame = 100 + i * 61 % 60000;

		driver_sends(bench, 0, frame);
		assert_int_equal(peer_receives(bench, 0), NET_HEADER_BYTES + frame);
		assert_memory_equal(bench->in, bench->out, NET_HEADER_BYTES + frame);
		assert_true(fake_io_used(&bench->q[1], &head, &bytes));
		assert_int_equal(head, 2 * i % 256);
		assert_int_equal(bytes, 0);
	}
	assert_int_equal(counter(&net_stats(bench->virtio)->sent), 1000);
}

static void test_malformed_packets_are_lost(void **state)
{
	struct bench *bench = *state;
	const uint32_t sizes[] = { 1, NET_HEADER_BYTES, NET_HEADER_BYTES + 13,
				   NET_PACKET_BYTES_MAX + 1, 0x100000 };
	uint32_t head, bytes;

	assert_true(start(bench, MERGE, 256));
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct fake_buffer buffer = { SENT, sizes[i], false };

		fake_queue_add(&bench->q[1], &buffer, 1);
		fake_io_kick(&bench->io, 1, &bench->q[1]);
		assert_true(fake_io_used(&bench->q[1], &head, &bytes));
	}
	assert_int_equal(counter(&net_stats(bench->virtio)->send_dropped), ARRAY_SIZE(sizes));
	driver_sends(bench, 0, 200);
	assert_int_equal(peer_receives(bench, 0), 212);
}

static void test_sending_waits_for_room(void **state)
{
	struct bench *bench = *state;
	const struct net_stats *stats = net_stats(bench->virtio);
	uint32_t head, bytes;

	assert_true(start(bench, MERGE, 256));
	for (unsigned int i = 0; i < 100; i++)
		driver_sends(bench, 0, 60000);
	wait_for(&stats->send_waits, 1);
	for (unsigned int i = 0; i < 100; i++) {
		assert_int_equal(peer_receives(bench, 0), 60012);
		assert_true(fake_io_used(&bench->q[1], &head, &bytes));
		assert_int_equal(head, 2 * i % 256);
	}
	assert_int_equal(counter(&stats->sent), 100);
	assert_int_equal(counter(&stats->send_dropped), 0);
}

/* The loop's queue is full when the backend is: the device tries again by itself. */
static void test_sending_waits_for_a_place_in_the_loop(void **state)
{
	const struct fake_buffer buffer = { SENT, 100, false };
	struct loop_request fillers[64] = { 0 };
	struct fake_queue queues[2];
	struct fake_wires wires;
	struct virtio_wiring wiring;
	struct fake_net backend;
	struct net_setup setup = { .mtu = 1400 };
	struct virtio *virtio;
	struct device *mmio;
	unsigned int used = 0;
	struct log log = { 0 };
	struct ram ram;

	(void)state;
	fake_ram_init(&ram);
	fake_wires_init(&wires, &wiring);
	fake_net_init(&backend, 1, 0);
	setup.ram = &ram;
	setup.log = &log;
	setup.backend = &backend.backend;
	memcpy(setup.mac, mac, sizeof(mac));
	assert_int_equal(loop_create(&setup.loop, 4, NULL), 0);
	while (used < ARRAY_SIZE(fillers) && !loop_timeout(setup.loop, &fillers[used], 1))
		used++;
	assert_in_range(used, 1, ARRAY_SIZE(fillers) - 1);
	assert_int_equal(net_create(&virtio, &setup, NULL), 0);
	mmio = virtio_mmio_create(virtio, &wiring);
	for (unsigned int i = 0; i < 2; i++)
		fake_queue_init(&queues[i], &ram, 0x10000 + i * FAKE_QUEUE_BYTES, 256, true);
	assert_true(fake_mmio_start(mmio, BASIC, queues, 2));
	fake_queue_add(&queues[1], &buffer, 1);
	atomic_store(&backend.send_error, EAGAIN);
	for (unsigned int i = 0; i < 3; i++) {
		wires.kicks[1] = 0;
		assert_false(virtio_kick(virtio, 1));
		assert_int_equal(wires.kicks[1], 1);
	}
	atomic_store(&backend.send_error, 0);
	assert_false(virtio_kick(virtio, 1));
	assert_int_equal(counter(&net_stats(virtio)->sent), 1);
	device_destroy(mmio);
	loop_destroy(setup.loop);
	fake_net_close_peers(&backend);
	fake_ram_fini(&ram);
}

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

static void test_reset_and_again(void **state)
{
	struct bench *bench = *state;

	for (unsigned int i = 0; i < 100; i++) {
		assert_true(start(bench, MERGE, 256));
		give_buffers(bench, 0, 0, 64, 1536);
		peer_sends(bench, 0, 60 + i);
		assert_int_equal(driver_receives(bench, 0, 0, 1536), 60 + i);
		driver_sends(bench, 0, 100 + i);
		assert_int_equal(peer_receives(bench, 0), 112 + i);
	}
}

static void test_backend_gone(void **state)
{
	struct bench *bench = *state;
	const struct timespec pause = { .tv_nsec = 1000000 };
	uint32_t head, bytes;

	assert_true(start(bench, MERGE, 256));
	give_buffers(bench, 0, 0, 64, 1536);
	fake_net_close_peers(&bench->backend);
	for (unsigned int i = 0; i < 5000 && !atomic_load(&bench->io.lines); i++)
		nanosleep(&pause, NULL);
	assert_int_equal(fake_read(bench->io.mmio, VIRTIO_MMIO_CONFIG + 6, 2), 0);
	assert_int_equal(fake_read(bench->io.mmio, VIRTIO_MMIO_INTERRUPT_STATUS, 4) & 2, 2);
	/* The device stays a device. */
	assert_true(start(bench, MERGE, 256));
	driver_sends(bench, 0, 200);
	fake_io_stop(&bench->io);
	assert_false(fake_queue_used(&bench->q[1], &head, &bytes));
	assert_int_equal(atomic_load(&bench->io.lines), 1);
	assert_non_null(strstr(bench->io.line, "the guest's link is down"));
}

static void test_backend_refuses_packets(void **state)
{
	struct bench *bench = *state;
	const struct net_stats *stats = net_stats(bench->virtio);

	assert_true(start(bench, MERGE, 256));
	atomic_store(&bench->backend.send_error, EIO);
	driver_sends(bench, 0, 200);
	wait_for(&stats->send_dropped, 1);
	atomic_store(&bench->backend.send_error, 0);
	driver_sends(bench, 0, 300);
	assert_int_equal(peer_receives(bench, 0), 312);
}

static void test_rate_limit(void **state)
{
	struct bench *bench = *state;
	const struct net_stats *stats = net_stats(bench->virtio);

	assert_true(start(bench, MERGE, 256));
	give_buffers(bench, 0, 0, 100, 1536);
	for (unsigned int i = 0; i < 20; i++) {
		peer_sends(bench, 0, 100 + i);
		driver_sends(bench, 0, 100 + i);
	}
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(driver_receives(bench, 0, i, 1536), 100 + i);
		assert_int_equal(peer_receives(bench, 0), 112 + i);
	}
	/* One operation is a burst, so most packets waited; the others came in between. */
	assert_true(counter(&stats->rate_waits) >= 20);
}

static uint8_t command(struct bench *bench, const void *bytes, uint32_t count)
{
	struct fake_queue *q = &bench->q[2 * FAKE_NET_PAIRS];
	const struct fake_buffer buffers[] = { { COMMAND, count, false },
					       { COMMAND + 64, 1, true } };
	uint8_t *ram = bench->io.ram.ranges[0].host + COMMAND;
	uint32_t head, used;

	memcpy(ram, bytes, count);
	ram[64] = 0x55;
	fake_queue_add(q, buffers, 2);
	fake_io_kick(&bench->io, 2 * FAKE_NET_PAIRS, q);
	assert_true(fake_io_used(q, &head, &used));
	assert_int_equal(used, 1);
	return ram[64];
}

static void test_multiple_queues(void **state)
{
	struct bench *bench = *state;

	assert_true(start(bench, MERGE | MULTI, 256));
	for (unsigned int i = 0; i < FAKE_NET_PAIRS; i++)
		give_buffers(bench, i, i * 32, 32, 1536);
	assert_int_equal(command(bench, "\x04\x00\x03\x00", 4), VIRTIO_NET_OK);
	assert_int_equal(atomic_load(&bench->backend.active_pairs), 3);
	for (unsigned int i = 0; i < FAKE_NET_PAIRS; i++) {
		uint32_t head, bytes;

		peer_sends(bench, i, 100 + i);
		assert_true(fake_io_used(&bench->q[2 * i], &head, &bytes));
		assert_int_equal(bytes, 112 + i);
		driver_sends(bench, i, 200 + i);
		assert_int_equal(peer_receives(bench, i), 212 + i);
	}
	assert_int_equal(command(bench, "\x04\x00\x01\x00", 4), VIRTIO_NET_OK);
	assert_int_equal(atomic_load(&bench->backend.active_pairs), 1);
}

static void test_bad_commands(void **state)
{
	struct bench *bench = *state;

	assert_true(start(bench, MERGE | MULTI, 256));
	assert_int_equal(command(bench, "\x04\x00\x00\x00", 4), VIRTIO_NET_ERR);
	assert_int_equal(command(bench, "\x04\x00\x04\x00", 4), VIRTIO_NET_ERR);
	assert_int_equal(command(bench, "\x04\x01\x01\x00", 4), VIRTIO_NET_ERR);
	assert_int_equal(command(bench, "\x09\x00\x01\x00", 4), VIRTIO_NET_ERR);
	assert_int_equal(command(bench, "\x04\x00\x01", 3), VIRTIO_NET_ERR);
	assert_int_equal(command(bench, "\x04", 1), VIRTIO_NET_ERR);
}

/* A driver that knows one pair only finds the control queue behind it. */
static void test_control_queue_without_multiqueue(void **state)
{
	struct bench *bench = *state;
	struct fake_queue *q = &bench->q[2];
	const struct fake_buffer buffers[] = { { SENT, 4, false }, { SENT + 64, 1, true } };
	uint32_t head, used;

	assert_true(start(bench, MERGE | F(VIRTIO_NET_F_CTRL_VQ), 256));
	memcpy(bench->io.ram.ranges[0].host + SENT, "\x04\x00\x01\x00", 4);
	fake_queue_add(q, buffers, 2);
	fake_io_kick(&bench->io, 2, q);
	assert_true(fake_io_used(q, &head, &used));
	assert_int_equal(bench->io.ram.ranges[0].host[SENT + 64], VIRTIO_NET_ERR);
}

static void test_bad_setups(void **state)
{
	struct fake_net backend;
	struct net_setup setup = { .backend = &backend.backend };
	struct virtio *virtio = NULL;
	struct error error;

	(void)state;
	fake_net_init(&backend, 1, 0);
	assert_int_equal(net_create(&virtio, &setup, &error), -EINVAL);
	assert_non_null(strstr(error.text, "00:00:00:00:00:00"));
	memcpy(setup.mac, "\x01\x02\x03\x04\x05\x06", 6);
	assert_int_equal(net_create(&virtio, &setup, &error), -EINVAL);
	memcpy(setup.mac, mac, 6);
	setup.mtu = 67;
	assert_int_equal(net_create(&virtio, &setup, &error), -EINVAL);
	assert_non_null(strstr(error.text, "MTU"));
	setup.mtu = 0;
	backend.backend.pairs = 33;
	assert_int_equal(net_create(&virtio, &setup, &error), -EINVAL);
	assert_null(virtio);
	backend.backend.pairs = 1;
	net_backend_destroy(&backend.backend);
	fake_net_close_peers(&backend);
}

#define TEST(name)         cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
#define TEST_MULTI(name)   cmocka_unit_test_setup_teardown(test_##name, setup_multi, teardown)
#define TEST_LIMITED(name) cmocka_unit_test_setup_teardown(test_##name, setup_limited, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(configuration),
		TEST(sends),
		TEST(malformed_packets_are_lost),
		TEST(sending_waits_for_room),
		TEST(receives),
		TEST(receives_for_long),
		TEST(receives_into_gaps),
		TEST(receives_into_scattered_chains),
		TEST(without_merging),
		TEST(starved),
		TEST(few_buffers),
		TEST(small_queue),
		TEST(broken_receive_buffers),
		TEST(reset_and_again),
		TEST(backend_gone),
		TEST(backend_refuses_packets),
		TEST_LIMITED(rate_limit),
		TEST_MULTI(multiple_queues),
		TEST_MULTI(bad_commands),
		TEST_MULTI(control_queue_without_multiqueue),
		cmocka_unit_test(test_sending_waits_for_a_place_in_the_loop),
		cmocka_unit_test(test_bad_setups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
