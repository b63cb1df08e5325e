/* SPDX-License-Identifier: Apache-2.0 */
/* test_net: a driver and a peer exchange packets through the network device: what it sends, its
 * queues and rates, resets, rules broken, and a backend that fails. */
#include "tests/unit/net_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(configuration),
		TEST(sends),
		TEST(malformed_packets_are_lost),
		TEST(sending_waits_for_room),
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
