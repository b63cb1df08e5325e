/* SPDX-License-Identifier: Apache-2.0 */
/* test_vsock_rules: what a socket device does where its driver breaks a rule. */
#include "tests/unit/vsock_fixture.h"

static void test_overdrawn_credit(void **state)
{
	struct bench *bench = *state;
	int fd = open_from_guest(bench, 1024, 99);
	static uint8_t data[4000];
	unsigned int sent = 0;

	do {
		guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_RW, 0, data, sizeof(data));
		assert_true(++sent < 1000);
		while (fake_queue_used(&bench->q[0], &(uint32_t){ 0 }, &(uint32_t){ 0 })) {
			bench->q[0].used_seen--;
			guest_receives(bench);
		}
	} while (bench->header.op != VIRTIO_VSOCK_OP_RST);
	close(fd);
}

static void test_packets_of_nobody(void **state)
{
	struct bench *bench = *state;
	struct virtio_vsock_hdr header = { .src_cid = CID,
					   .dst_cid = 2,
					   .src_port = 5,
					   .dst_port = 6,
					   .type = VIRTIO_VSOCK_TYPE_STREAM };

	/* Refused, whatever they are. */
	for (unsigned int op = 0; op < 20; op++) {
		if (op == VIRTIO_VSOCK_OP_RST)
			continue;
		header.op = (uint16_t)op;
		guest_sends_header(bench, &header, NULL, 0);
		expect(bench, VIRTIO_VSOCK_OP_RST, 6, 5);
	}
	/* No answer: from elsewhere, to elsewhere, a reset, too short. */
	header.op = VIRTIO_VSOCK_OP_REQUEST;
	header.src_cid = CID + 1;
	guest_sends_header(bench, &header, NULL, 0);
	header.src_cid = CID;
	header.dst_cid = 1;
	guest_sends_header(bench, &header, NULL, 0);
	header.dst_cid = 2;
	header.op = VIRTIO_VSOCK_OP_RST;
	guest_sends_header(bench, &header, NULL, 0);
	fake_queue_add(&bench->q[1],
		       &(const struct fake_buffer){ TX_BUFFERS, sizeof(header) - 1, false }, 1);
	fake_io_kick(&bench->io, VSOCK_QUEUE_TX, &bench->q[1]);
	assert_true(fake_io_used(&bench->q[1], &(uint32_t){ 0 }, &(uint32_t){ 0 }));
	/* A type that we have not. */
	header.op = VIRTIO_VSOCK_OP_REQUEST;
	header.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	guest_sends_header(bench, &header, NULL, 0);
	expect(bench, VIRTIO_VSOCK_OP_RST, 6, 5);
	assert_int_equal(bench->header.type, VIRTIO_VSOCK_TYPE_SEQPACKET);
}

static void test_unexpected_operations(void **state)
{
	static const uint16_t unexpected[] = { VIRTIO_VSOCK_OP_INVALID, VIRTIO_VSOCK_OP_REQUEST,
					       VIRTIO_VSOCK_OP_RESPONSE, 17 };
	struct bench *bench = *state;

	for (unsigned int i = 0; i < ARRAY_SIZE(unexpected); i++) {
		int fd = open_from_guest(bench, 1024, 99);

		guest_sends(bench, 1024, 99, unexpected[i], 0, NULL, 0);
		expect(bench, VIRTIO_VSOCK_OP_RST, 99, 1024);
		close(fd);
	}
}

/* A length beyond the packet. */
static void test_long_length(void **state)
{
	struct bench *bench = *state;
	int fd = open_from_guest(bench, 1024, 99);
	struct virtio_vsock_hdr header = {
		.src_cid = CID,
		.dst_cid = 2,
		.src_port = 1024,
		.dst_port = 99,
		.len = 101,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = VIRTIO_VSOCK_OP_RW,
	};
	uint8_t data[100] = { 0 };

	guest_sends_header(bench, &header, data, 100);
	expect(bench, VIRTIO_VSOCK_OP_RST, 99, 1024);
	close(fd);
}

/* More refusals than there is room for, with no buffer to send them: the guest's packets wait, and
 * all are answered in the end. */
static void test_many_refusals(void **state)
{
	struct bench *bench = *state;
	struct virtio_vsock_hdr header = { .src_cid = CID,
					   .dst_cid = 2,
					   .type = VIRTIO_VSOCK_TYPE_STREAM,
					   .op = VIRTIO_VSOCK_OP_RW };
	uint8_t *ram = bench->io.ram.ranges[0].host + TX_BUFFERS;
	unsigned int sent = 0, refused = 0;
	uint32_t head, used;

	start(bench, 0);
	for (unsigned int i = 0; i < 64; i++) {
		const struct fake_buffer buffer = { TX_BUFFERS + i * 64, sizeof(header), false };

		header.src_port = i;
		memcpy(ram + i * 64, &header, sizeof(header));
		fake_queue_add(&bench->q[1], &buffer, 1);
	}
	fake_io_kick(&bench->io, VSOCK_QUEUE_TX, &bench->q[1]);
	while (sent < 300) {
		while (fake_queue_used(&bench->q[1], &head, &used)) {
			const struct fake_buffer buffer = { TX_BUFFERS + head * 64, sizeof(header),
							    false };

			fake_queue_add(&bench->q[1], &buffer, 1);
			fake_io_kick(&bench->io, VSOCK_QUEUE_TX, &bench->q[1]);
			sent++;
		}
		if (sent < 64)
			continue;
		give_rx_buffer(bench);
		fake_io_kick(&bench->io, VSOCK_QUEUE_RX, &bench->q[0]);
		assert_true(fake_io_used(&bench->q[0], &head, &used));
		refused++;
	}
	assert_in_range(refused, 300 - 64, 300);
}

static void test_bad_receive_buffers(void **state)
{
	struct bench *bench = *state;
	const struct timespec pause = { .tv_nsec = 1000000 };
	const struct fake_buffer tiny = { RX_BUFFERS, VSOCK_HEADER_BYTES, true };

	start(bench, 0);
	fake_queue_add(&bench->q[0], &tiny, 1);
	guest_sends(bench, 1, 2, VIRTIO_VSOCK_OP_RW, 0, NULL, 0);
	for (unsigned int i = 0; i < 5000; i++) {
		if (fake_read(bench->io.mmio, VIRTIO_MMIO_STATUS, 4) & NEEDS_RESET)
			break;
		nanosleep(&pause, NULL);
	}
	assert_true(fake_read(bench->io.mmio, VIRTIO_MMIO_STATUS, 4) & NEEDS_RESET);
	start(bench, 32);
	open_from_host(bench, 52, &(int){ -1 });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(overdrawn_credit), TEST(packets_of_nobody), TEST(unexpected_operations),
		TEST(long_length),      TEST(many_refusals),     TEST(bad_receive_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
