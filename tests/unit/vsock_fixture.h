/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_fixture: a driver and programs of the host, with a socket device between them. */
#ifndef TESTS_UNIT_VSOCK_FIXTURE_H
#define TESTS_UNIT_VSOCK_FIXTURE_H

#include <errno.h>
#include <linux/virtio_mmio.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/num.h"
#include "devices/vsock_device.h"
#include "tests/fake/io.h"

#define CID          7
#define GUEST_BUFFER 65536 /* the credit that our guest gives */
#define RX_BUFFERS   UINT64_C(0x80000)
#define RX_BYTES     4096
#define TX_BUFFERS   UINT64_C(0x60000)
#define TX_BYTES     4096
#define NEEDS_RESET  0x40

struct bench {
	struct fake_io io;
	struct virtio *virtio;
	struct fake_queue q[3];
	char path[64];
	unsigned int rx_given, tx_given;
	struct virtio_vsock_hdr header; /* of the packet received last */
	uint8_t *payload;
	uint32_t forwarded; /* what the guest says it took, of one connection */
};

static inline int create(struct bench *bench, const char *path, uint64_t cid, struct error *error)
{
	const struct vsock_setup setup = {
		.ram = &bench->io.ram,
		.log = &bench->io.log,
		.loop = bench->io.loop,
		.guest_cid = cid,
		.path = path,
	};

	return vsock_create(&bench->virtio, &setup, error);
}

static inline void give_rx_buffer(struct bench *bench)
{
	const struct fake_buffer buffer = {
		RX_BUFFERS + bench->rx_given++ % 64 * RX_BYTES,
		RX_BYTES,
		true,
	};

	fake_queue_add(&bench->q[VSOCK_QUEUE_RX], &buffer, 1);
}

static inline void start(struct bench *bench, unsigned int rx_buffers)
{
	fake_write(bench->io.mmio, VIRTIO_MMIO_STATUS, 4, 0);
	for (unsigned int i = 0; i < 3; i++)
		fake_queue_init(&bench->q[i], &bench->io.ram, 0x10000 + i * FAKE_QUEUE_BYTES, 64,
				true);
	bench->rx_given = bench->tx_given = 0;
	bench->forwarded = 0;
	for (unsigned int i = 0; i < rx_buffers; i++)
		give_rx_buffer(bench);
	assert_true(fake_mmio_start(bench->io.mmio,
				    VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |
					    VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX),
				    bench->q, 3));
}

static inline int setup(void **state)
{
	static unsigned int number;
	struct bench *bench = calloc(1, sizeof(*bench));

	snprintf(bench->path, sizeof(bench->path), "/tmp/stet-vsock-%d-%u", getpid(), number++);
	fake_io_init(&bench->io);
	assert_int_equal(create(bench, bench->path, CID, NULL), 0);
	fake_io_start(&bench->io, bench->virtio);
	start(bench, 32);
	*state = bench;
	return 0;
}

static inline int teardown(void **state)
{
	struct bench *bench = *state;

	fake_io_fini(&bench->io);
	assert_int_equal(access(bench->path, F_OK), -1);
	free(bench);
	return 0;
}

/* ---- The guest ---- */

static inline void guest_sends_header(struct bench *bench, const struct virtio_vsock_hdr *header,
				      const void *data, uint32_t bytes)
{
	struct fake_queue *q = &bench->q[VSOCK_QUEUE_TX];
	uint64_t gpa = TX_BUFFERS + bench->tx_given++ % 8 * TX_BYTES;
	const struct fake_buffer buffers[] = { { gpa, sizeof(*header), false },
					       { gpa + sizeof(*header), bytes, false } };
	uint8_t *ram = bench->io.ram.ranges[0].host + gpa;
	uint32_t head, used;

	memcpy(ram, header, sizeof(*header));
	if (bytes)
		memcpy(ram + sizeof(*header), data, bytes);
	fake_queue_add(q, buffers, bytes ? 2 : 1);
	fake_io_kick(&bench->io, VSOCK_QUEUE_TX, q);
	assert_true(fake_io_used(q, &head, &used));
	assert_int_equal(used, 0);
}

static inline void guest_sends(struct bench *bench, uint32_t guest_port, uint32_t host_port,
			       uint16_t op, uint32_t flags, const void *data, uint32_t bytes)
{
	const struct virtio_vsock_hdr header = {
		.src_cid = CID,
		.dst_cid = 2,
		.src_port = guest_port,
		.dst_port = host_port,
		.len = bytes,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.flags = flags,
		.buf_alloc = GUEST_BUFFER,
		.fwd_cnt = bench->forwarded,
	};

	guest_sends_header(bench, &header, data, bytes);
}

/* The next packet, whose buffer is given back. */
static inline void guest_receives(struct bench *bench)
{
	uint32_t head, used;

	assert_true(fake_io_used(&bench->q[VSOCK_QUEUE_RX], &head, &used));
	/* Buffers lie at their descriptors' places. */
	bench->payload = bench->io.ram.ranges[0].host + RX_BUFFERS + head * RX_BYTES;
	memcpy(&bench->header, bench->payload, sizeof(bench->header));
	bench->payload += sizeof(bench->header);
	assert_int_equal(bench->header.src_cid, 2);
	assert_int_equal(bench->header.dst_cid, CID);
	assert_int_equal(used, sizeof(bench->header) + bench->header.len);
	give_rx_buffer(bench);
	fake_io_kick(&bench->io, VSOCK_QUEUE_RX, &bench->q[0]);
}

static inline void expect(struct bench *bench, uint16_t op, uint32_t host_port, uint32_t guest_port)
{
	guest_receives(bench);
	assert_int_equal(bench->header.op, op);
	assert_int_equal(bench->header.src_port, host_port);
	assert_int_equal(bench->header.dst_port, guest_port);
}

/* ---- The host ---- */

static inline int host_socket(const char *path, bool listens)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (listens) {
		assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
		assert_int_equal(listen(fd, 200), 0);
	} else {
		assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	}
	return fd;
}

static inline int host_listens(struct bench *bench, unsigned int port)
{
	char path[100];
	int fd;

	snprintf(path, sizeof(path), "%s_%u", bench->path, port);
	unlink(path);
	fd = host_socket(path, true);
	return fd;
}

static inline void host_unlistens(struct bench *bench, unsigned int port, int fd)
{
	char path[100];

	snprintf(path, sizeof(path), "%s_%u", bench->path, port);
	unlink(path);
	close(fd);
}

static inline void say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* What comes within 5 s; 0 at the end. */
static inline ssize_t hear(int fd, void *data, size_t bytes)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };

	if (poll(&ready, 1, 5000) != 1)
		return -2;
	return read(fd, data, bytes);
}

/* A program of the host connects to a port of the guest, who takes it. The host's port. */
static inline uint32_t open_from_host(struct bench *bench, uint32_t guest_port, int *fd)
{
	char line[64], expected[64];
	uint32_t host_port;

	*fd = host_socket(bench->path, false);
	snprintf(line, sizeof(line), "CONNECT %u\n", guest_port);
	say(*fd, line);
	guest_receives(bench);
	host_port = bench->header.src_port;
	assert_int_equal(bench->header.op, VIRTIO_VSOCK_OP_REQUEST);
	assert_int_equal(bench->header.dst_port, guest_port);
	assert_int_equal(bench->header.type, VIRTIO_VSOCK_TYPE_STREAM);
	guest_sends(bench, guest_port, host_port, VIRTIO_VSOCK_OP_RESPONSE, 0, NULL, 0);
	memset(line, 0, sizeof(line));
	assert_true(hear(*fd, line, sizeof(line) - 1) > 0);
	snprintf(expected, sizeof(expected), "OK %u\n", host_port);
	assert_string_equal(line, expected);
	return host_port;
}

/* A program of the guest connects to one of the host. */
static inline int open_from_guest(struct bench *bench, uint32_t guest_port, uint32_t host_port)
{
	int listener = host_listens(bench, host_port), fd;

	guest_sends(bench, guest_port, host_port, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	expect(bench, VIRTIO_VSOCK_OP_RESPONSE, host_port, guest_port);
	assert_true(bench->header.buf_alloc >= 65536);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	host_unlistens(bench, host_port, listener);
	return fd;
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

#endif
