/* SPDX-License-Identifier: Apache-2.0 */
/* net_fixture: a driver and a peer, with a network device between them. */
#ifndef TESTS_UNIT_NET_FIXTURE_H
#define TESTS_UNIT_NET_FIXTURE_H

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

static inline void begin(struct bench *bench, uint16_t pairs, const struct net_rate *rate)
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

static inline bool start(struct bench *bench, uint64_t features, uint16_t size)
{
	unsigned int count = bench->virtio->queue_count;

	fake_write(bench->io.mmio, VIRTIO_MMIO_STATUS, 4, 0);
	for (unsigned int i = 0; i < count; i++)
		fake_queue_init(&bench->q[i], &bench->io.ram, 0x10000 + i * FAKE_QUEUE_BYTES, size,
				true);
	return fake_mmio_start(bench->io.mmio, BASIC | features, bench->q, count);
}

static inline int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	begin(bench, 1, NULL);
	*state = bench;
	return 0;
}

static inline int setup_multi(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	begin(bench, FAKE_NET_PAIRS, NULL);
	*state = bench;
	return 0;
}

static inline int setup_limited(void **state)
{
	const struct net_rate rate = { .packets = { .per_second = 500, .burst = 1 } };
	struct bench *bench = calloc(1, sizeof(*bench));

	begin(bench, 1, &rate);
	*state = bench;
	return 0;
}

static inline int teardown(void **state)
{
	struct bench *bench = *state;

	fake_io_fini(&bench->io);
	assert_int_equal(atomic_load(&bench->backend.destroyed), 1);
	fake_net_close_peers(&bench->backend);
	free(bench);
	return 0;
}

/* ---- The driver and the peer ---- */

static inline void give_buffers(struct bench *bench, unsigned int pair, unsigned int first,
				unsigned int count, uint32_t bytes)
{
	for (unsigned int i = first; i < first + count; i++) {
		const struct fake_buffer buffer = { BUFFERS + (uint64_t)i * bytes, bytes, true };

		fake_queue_add(&bench->q[2 * pair], &buffer, 1);
	}
	fake_io_kick(&bench->io, 2 * pair, &bench->q[2 * pair]);
}

static inline void peer_sends(struct bench *bench, unsigned int pair, size_t frame_bytes)
{
	size_t bytes = NET_HEADER_BYTES + frame_bytes;

	assert_int_equal(write(bench->backend.peers[pair], bench->out, bytes), bytes);
}

static inline ssize_t peer_receives(struct bench *bench, unsigned int pair)
{
	struct pollfd fd = { .fd = bench->backend.peers[pair], .events = POLLIN };

	if (poll(&fd, 1, 5000) != 1)
		return -1;
	return read(fd.fd, bench->in, sizeof(bench->in));
}

/* Takes one packet from a receive queue whose buffers are bytes each, begun at buffer first. */
static inline size_t driver_receives(struct bench *bench, unsigned int pair, unsigned int first,
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

static inline void driver_sends(struct bench *bench, unsigned int pair, size_t frame_bytes)
{
	uint32_t rest = (uint32_t)(NET_HEADER_BYTES + frame_bytes - 100);
	const struct fake_buffer buffers[] = { { SENT, 100, false }, { SENT + 100, rest, false } };

	fake_queue_add(&bench->q[2 * pair + 1], buffers, 2);
	fake_io_kick(&bench->io, 2 * pair + 1, &bench->q[2 * pair + 1]);
}

static inline uint64_t counter(const _Atomic uint64_t *value)
{
	return atomic_load((_Atomic uint64_t *)value);
}

static inline void wait_for(const _Atomic uint64_t *value, uint64_t at_least)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (unsigned int i = 0; i < 5000 && counter(value) < at_least; i++)
		nanosleep(&pause, NULL);
	assert_true(counter(value) >= at_least);
}

static inline uint32_t status(struct bench *bench)
{
	return (uint32_t)fake_read(bench->io.mmio, VIRTIO_MMIO_STATUS, 4);
}

static inline void wait_for_needs_reset(struct bench *bench)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (unsigned int i = 0; i < 5000 && !(status(bench) & NEEDS_RESET); i++)
		nanosleep(&pause, NULL);
	assert_true(status(bench) & NEEDS_RESET);
}

#define TEST(name)         cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
#define TEST_MULTI(name)   cmocka_unit_test_setup_teardown(test_##name, setup_multi, teardown)
#define TEST_LIMITED(name) cmocka_unit_test_setup_teardown(test_##name, setup_limited, teardown)

#endif
