/* SPDX-License-Identifier: Apache-2.0 */
/* test_vsock: a driver and programs of the host talk through the socket device: connections from
 * both sides, credit, shutting down, refusals, and rules broken. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_mmio.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
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

static int create(struct bench *bench, const char *path, uint64_t cid, struct error *error)
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

static void give_rx_buffer(struct bench *bench)
{
	const struct fake_buffer buffer = {
		RX_BUFFERS + bench->rx_given++ % 64 * RX_BYTES,
		RX_BYTES,
		true,
	};

	fake_queue_add(&bench->q[VSOCK_QUEUE_RX], &buffer, 1);
}

static void start(struct bench *bench, unsigned int rx_buffers)
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

static int setup(void **state)
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

static int teardown(void **state)
{
	struct bench *bench = *state;

	fake_io_fini(&bench->io);
	assert_int_equal(access(bench->path, F_OK), -1);
	free(bench);
	return 0;
}

/* ---- The guest ---- */

static void guest_sends_header(struct bench *bench, const struct virtio_vsock_hdr *header,
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

static void guest_sends(struct bench *bench, uint32_t guest_port, uint32_t host_port, uint16_t op,
			uint32_t flags, const void *data, uint32_t bytes)
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
static void guest_receives(struct bench *bench)
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

static void expect(struct bench *bench, uint16_t op, uint32_t host_port, uint32_t guest_port)
{
	guest_receives(bench);
	assert_int_equal(bench->header.op, op);
	assert_int_equal(bench->header.src_port, host_port);
	assert_int_equal(bench->header.dst_port, guest_port);
}

/* ---- The host ---- */

static int host_socket(const char *path, bool listens)
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

static int host_listens(struct bench *bench, unsigned int port)
{
	char path[100];
	int fd;

	snprintf(path, sizeof(path), "%s_%u", bench->path, port);
	unlink(path);
	fd = host_socket(path, true);
	return fd;
}

static void host_unlistens(struct bench *bench, unsigned int port, int fd)
{
	char path[100];

	snprintf(path, sizeof(path), "%s_%u", bench->path, port);
	unlink(path);
	close(fd);
}

static void say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* What comes within 5 s; 0 at the end. */
static ssize_t hear(int fd, void *data, size_t bytes)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };

	if (poll(&ready, 1, 5000) != 1)
		return -2;
	return read(fd, data, bytes);
}

/* A program of the host connects to a port of the guest, who takes it. The host's port. */
static uint32_t open_from_host(struct bench *bench, uint32_t guest_port, int *fd)
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
static int open_from_guest(struct bench *bench, uint32_t guest_port, uint32_t host_port)
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

/* ---- Connections ---- */

static void test_from_host(void **state)
{
	struct bench *bench = *state;
	char text[16];
	int fd;
	uint32_t port = open_from_host(bench, 52, &fd);

	say(fd, "hello");
	expect(bench, VIRTIO_VSOCK_OP_RW, port, 52);
	assert_int_equal(bench->header.len, 5);
	assert_memory_equal(bench->payload, "hello", 5);
	guest_sends(bench, 52, port, VIRTIO_VSOCK_OP_RW, 0, "world!", 6);
	assert_int_equal(hear(fd, text, sizeof(text)), 6);
	assert_memory_equal(text, "world!", 6);
	/* The host's program ends: so does the guest's. */
	close(fd);
	expect(bench, VIRTIO_VSOCK_OP_SHUTDOWN, port, 52);
	while (bench->header.flags != VSOCK_SHUTDOWN_BOTH)
		expect(bench, VIRTIO_VSOCK_OP_SHUTDOWN, port, 52);
	guest_sends(bench, 52, port, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	assert_int_equal(atomic_load(&((struct vsock *)bench->virtio)->stats.connections), 1);
}

static void test_from_guest(void **state)
{
	struct bench *bench = *state;
	int fd = open_from_guest(bench, 1024, 99);
	char text[16];

	guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_RW, 0, "ping", 4);
	assert_int_equal(hear(fd, text, sizeof(text)), 4);
	say(fd, "pong");
	expect(bench, VIRTIO_VSOCK_OP_RW, 99, 1024);
	assert_memory_equal(bench->payload, "pong", 4);
	assert_int_equal(bench->header.fwd_cnt, 4);
	/* The guest's program ends. */
	guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_BOTH, NULL, 0);
	expect(bench, VIRTIO_VSOCK_OP_RST, 99, 1024);
	assert_int_equal(hear(fd, text, sizeof(text)), 0);
	close(fd);
}

/* What a client sends behind its line, in the same breath, belongs to the stream. */
static void test_pipelined(void **state)
{
	struct bench *bench = *state;
	int fd = host_socket(bench->path, false);

	say(fd, "connect   77 \r\nGET /");
	guest_receives(bench);
	assert_int_equal(bench->header.op, VIRTIO_VSOCK_OP_REQUEST);
	assert_int_equal(bench->header.dst_port, 77);
	guest_sends(bench, 77, bench->header.src_port, VIRTIO_VSOCK_OP_RESPONSE, 0, NULL, 0);
	expect(bench, VIRTIO_VSOCK_OP_RW, bench->header.src_port, 77);
	assert_int_equal(bench->header.len, 5);
	assert_memory_equal(bench->payload, "GET /", 5);
	close(fd);
}

static void test_line_in_pieces(void **state)
{
	struct bench *bench = *state;
	const struct timespec pause = { .tv_nsec = 2000000 };
	int fd = host_socket(bench->path, false);

	for (const char *at = "CONNECT 4294967294\n"; *at; at++) {
		assert_int_equal(write(fd, at, 1), 1);
		nanosleep(&pause, NULL);
	}
	guest_receives(bench);
	assert_int_equal(bench->header.op, VIRTIO_VSOCK_OP_REQUEST);
	assert_int_equal(bench->header.dst_port, 4294967294);
	close(fd);
}

static void test_bad_lines(void **state)
{
	static const char *const lines[] = {
		"CONNECT\n",
		"CONNECT \n",
		"CONNECT x\n",
		"CONNECT -1\n",
		"CONNECT 52 53\n",
		"CONNECT 4294967295\n",
		"CONNECT 99999999999\n",
		"HELLO 52\n",
		"\n",
		"CONNECT                          52\n",
		"a line that does not end and is longer than any",
	};
	struct bench *bench = *state;
	char text[16];

	for (unsigned int i = 0; i < ARRAY_SIZE(lines); i++) {
		int fd = host_socket(bench->path, false);

		say(fd, lines[i]);
		/* Closed, with a reset where it said more than was read. */
		assert_true(hear(fd, text, sizeof(text)) <= 0);
		close(fd);
	}
	assert_int_equal(atomic_load(&vsock_stats(bench->virtio)->refused), ARRAY_SIZE(lines));
	open_from_host(bench, 52, &(int){ -1 });
}

static void test_guest_refuses(void **state)
{
	struct bench *bench = *state;
	int fd = host_socket(bench->path, false);
	char text[16];

	say(fd, "CONNECT 52\n");
	guest_receives(bench);
	guest_sends(bench, 52, bench->header.src_port, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	assert_int_equal(hear(fd, text, sizeof(text)), 0);
	close(fd);
}

/* A guest that does not answer: the client is let go after a while. */
static void test_guest_is_silent(void **state)
{
	struct bench *bench = *state;
	int fd = host_socket(bench->path, false);
	uint32_t port;
	char text[16];

	say(fd, "CONNECT 52\n");
	guest_receives(bench);
	port = bench->header.src_port;
	assert_int_equal(hear(fd, text, sizeof(text)), 0);
	expect(bench, VIRTIO_VSOCK_OP_RST, port, 52);
	close(fd);
}

static void test_nobody_listens(void **state)
{
	struct bench *bench = *state;

	guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	expect(bench, VIRTIO_VSOCK_OP_RST, 99, 1024);
	assert_int_equal(atomic_load(&vsock_stats(bench->virtio)->refused), 1);
}

/* ---- Ends ---- */

static void test_host_half_closes(void **state)
{
	struct bench *bench = *state;
	int fd = open_from_guest(bench, 1024, 99);
	char text[16];

	say(fd, "last words");
	shutdown(fd, SHUT_WR);
	expect(bench, VIRTIO_VSOCK_OP_RW, 99, 1024);
	expect(bench, VIRTIO_VSOCK_OP_SHUTDOWN, 99, 1024);
	assert_int_equal(bench->header.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
	/* The other direction goes on. */
	guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_RW, 0, "still here", 10);
	assert_int_equal(hear(fd, text, sizeof(text)), 10);
	close(fd);
	expect(bench, VIRTIO_VSOCK_OP_SHUTDOWN, 99, 1024);
	assert_int_equal(bench->header.flags, VSOCK_SHUTDOWN_BOTH);
}

static void test_guest_half_closes(void **state)
{
	struct bench *bench = *state;
	int fd = open_from_guest(bench, 1024, 99);
	char text[16];

	guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_RW, 0, "question", 8);
	guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
	assert_int_equal(hear(fd, text, sizeof(text)), 8);
	assert_int_equal(hear(fd, text, sizeof(text)), 0);
	say(fd, "answer");
	expect(bench, VIRTIO_VSOCK_OP_RW, 99, 1024);
	/* After that, more is a broken rule. */
	guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_RW, 0, "more", 4);
	expect(bench, VIRTIO_VSOCK_OP_RST, 99, 1024);
	close(fd);
}

/* A program that answers and goes, while the guest still talks: the guest hears the answer. */
static void test_answer_before_the_end(void **state)
{
	struct bench *bench = *state;
	int fd = open_from_guest(bench, 1024, 99);
	bool is_answered = false;

	guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_RW, 0, "question", 8);
	say(fd, "answer");
	close(fd);
	guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_RW, 0, "blah", 4);
	do {
		guest_receives(bench);
		is_answered |= bench->header.op == VIRTIO_VSOCK_OP_RW && bench->header.len == 6;
	} while (bench->header.flags != VSOCK_SHUTDOWN_BOTH);
	assert_true(is_answered);
}

static void test_reset_cuts_connections(void **state)
{
	struct bench *bench = *state;
	char text[16];
	int fds[3];

	for (unsigned int i = 0; i < 3; i++)
		open_from_host(bench, 52 + i, &fds[i]);
	start(bench, 32);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(hear(fds[i], text, sizeof(text)), 0);
		close(fds[i]);
	}
	open_from_host(bench, 52, &fds[0]);
	close(fds[0]);
}

/* ---- Credit ---- */

/* The guest has no more room: the rest waits in the host's socket. */
static void test_credit_of_the_guest(void **state)
{
	struct bench *bench = *state;
	int fd = open_from_guest(bench, 1024, 99);
	const struct timespec pause = { .tv_nsec = 20000000 };
	uint32_t total = 0, head, used;
	static uint8_t data[100000];

	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 3 + i / 256);
	assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
	while (total < GUEST_BUFFER) {
		guest_receives(bench);
		assert_int_equal(bench->header.op, VIRTIO_VSOCK_OP_RW);
		assert_memory_equal(bench->payload, data + total, bench->header.len);
		total += bench->header.len;
	}
	assert_int_equal(total, GUEST_BUFFER);
	nanosleep(&pause, NULL);
	assert_false(fake_queue_used(&bench->q[0], &head, &used));
	bench->forwarded = total;
	guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, NULL, 0);
	while (total < sizeof(data)) {
		guest_receives(bench);
		assert_memory_equal(bench->payload, data + total, bench->header.len);
		total += bench->header.len;
	}
	assert_int_equal(total, sizeof(data));
	close(fd);
}

/* The guest sends while the host does not read, up to its credit; then the host reads all. */
static void test_credit_of_the_host(void **state)
{
	struct bench *bench = *state;
	int fd = open_from_guest(bench, 1024, 99);
	uint32_t credit = bench->header.buf_alloc, sent = 0, forwarded = 0, head, used;
	static uint8_t data[4000], text[4000];
	size_t heard = 0;

	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 3 + i / 256);
	for (;;) {
		while (fake_queue_used(&bench->q[0], &head, &used)) {
			bench->q[0].used_seen--;
			guest_receives(bench);
			assert_int_equal(bench->header.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
			forwarded = bench->header.fwd_cnt;
		}
		if (sent - forwarded + sizeof(data) > credit) {
			const uint32_t before = forwarded;

			guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, NULL, 0);
			guest_receives(bench);
			forwarded = bench->header.fwd_cnt;
			if (forwarded == before)
				break; /* full */
			continue;
		}
		guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_RW, 0, data, sizeof(data));
		sent += sizeof(data);
	}
	assert_true(sent > credit);
	guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_BOTH, NULL, 0);
	while (heard < sent) {
		ssize_t got = hear(fd, text, sizeof(data) - heard % sizeof(data));

		assert_true(got > 0);
		assert_memory_equal(text, data + heard % sizeof(data), got);
		heard += (size_t)got;
	}
	assert_int_equal(hear(fd, text, 1), 0);
	do
		guest_receives(bench);
	while (bench->header.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(bench->header.op, VIRTIO_VSOCK_OP_RST);
	close(fd);
}

/* The guest gives up waiting for a host that reads slowly: the host hears all the same. */
static void test_lingers(void **state)
{
	struct bench *bench = *state;
	int fd = open_from_guest(bench, 1024, 99), size = 1;
	static uint8_t data[4000], text[4000];
	const struct vsock_stats *stats = vsock_stats(bench->virtio);
	size_t sent = 0, heard = 0;
	ssize_t got;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	/* Until some of it is in the device's buffer. */
	while (sent == atomic_load(&stats->to_host_bytes)) {
		guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_RW, 0, data, sizeof(data));
		sent += sizeof(data);
		while (fake_queue_used(&bench->q[0], &(uint32_t){ 0 }, &(uint32_t){ 0 })) {
			give_rx_buffer(bench);
			fake_io_kick(&bench->io, VSOCK_QUEUE_RX, &bench->q[0]);
		}
	}
	guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_SHUTDOWN, VSOCK_SHUTDOWN_BOTH, NULL, 0);
	guest_sends(bench, 1024, 99, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	while ((got = hear(fd, text, sizeof(text))) > 0)
		heard += (size_t)got;
	assert_int_equal(got, 0);
	assert_int_equal(heard, sent);
	close(fd);
}

/* ---- Rules broken ---- */

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

/* ---- Many ---- */

static unsigned int open_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned int count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

/* All places are taken, given back, and taken again; no descriptor is left behind. */
static void test_all_places(void **state)
{
	struct bench *bench = *state;
	const struct vsock_stats *stats = vsock_stats(bench->virtio);
	const struct timespec pause = { .tv_nsec = 1000000 };
	unsigned int before = open_descriptors();

	for (unsigned int round = 0; round < 2; round++) {
		int listener = host_listens(bench, 99);
		unsigned int accepted = 0, refused = 0;
		static int fds[VSOCK_CONNECTIONS_MAX];

		for (unsigned int i = 0; i < VSOCK_CONNECTIONS_MAX + 10; i++) {
			guest_sends(bench, 5000 + i, 99, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
			guest_receives(bench);
			if (bench->header.op == VIRTIO_VSOCK_OP_RESPONSE) {
				assert_true(accepted < VSOCK_CONNECTIONS_MAX);
				fds[accepted++] = accept(listener, NULL, NULL);
			} else {
				assert_int_equal(bench->header.op, VIRTIO_VSOCK_OP_RST);
				refused++;
			}
		}
		assert_int_equal(accepted, VSOCK_CONNECTIONS_MAX);
		assert_int_equal(refused, 10);
		for (unsigned int i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
			guest_sends(bench, 5000 + i, 99, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
			close(fds[i]);
		}
		host_unlistens(bench, 99, listener);
		/* Polls of the last ones come back from the loop. */
		for (unsigned int i = 0; i < 2000 && open_descriptors() > before; i++)
			nanosleep(&pause, NULL);
		assert_int_equal(open_descriptors(), before);
		nanosleep(&pause, NULL);
	}
	assert_int_equal(atomic_load(&stats->connections), 2 * VSOCK_CONNECTIONS_MAX);
}

/* ---- Setting up ---- */

static void refused_setup(struct bench *bench, const char *path, uint64_t cid, int code,
			  const char *text)
{
	struct error error = { 0 };

	assert_int_equal(create(bench, path, cid, &error), -code);
	if (!strstr(error.text, text))
		fail_msg("'%s' is not in '%s'", text, error.text);
}

static void test_bad_setups(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	char path[200] = "/tmp/";
	struct stat file;
	int fd;

	(void)state;
	fake_io_init(&bench->io);
	refused_setup(bench, "/tmp/stet-vsock", 2, EINVAL, "CID");
	refused_setup(bench, "/tmp/stet-vsock", UINT32_MAX, EINVAL, "CID");
	refused_setup(bench, "/tmp/stet-vsock", UINT64_C(0x100000003), EINVAL, "CID");
	refused_setup(bench, "", 3, EINVAL, "path");
	refused_setup(bench, "/nonexistent/vsock", 3, ENOENT, "cannot listen on /nonexistent");
	memset(path + 5, 'x', 92);
	refused_setup(bench, path, 3, ENAMETOOLONG, "it has 97");
	/* In use by a program, or by something else. */
	snprintf(path, sizeof(path), "/tmp/stet-vsock-%d-bad", getpid());
	fd = host_socket(path, true);
	refused_setup(bench, path, 3, EADDRINUSE, "in use");
	/* The program is gone, its socket is not: it is taken. */
	close(fd);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(create(bench, path, 3, NULL), 0);
	virtio_destroy(bench->virtio);
	assert_int_equal(access(path, F_OK), -1);
	fd = creat(path, 0600);
	refused_setup(bench, path, 3, EADDRINUSE, "in use");
	assert_int_equal(fstat(fd, &file), 0);
	assert_int_equal(file.st_nlink, 1);
	close(fd);
	unlink(path);
	loop_destroy(bench->io.loop);
	fake_ram_fini(&bench->io.ram);
	free(bench);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(from_host),
		TEST(from_guest),
		TEST(pipelined),
		TEST(line_in_pieces),
		TEST(bad_lines),
		TEST(guest_refuses),
		TEST(guest_is_silent),
		TEST(nobody_listens),
		TEST(host_half_closes),
		TEST(guest_half_closes),
		TEST(answer_before_the_end),
		TEST(reset_cuts_connections),
		TEST(credit_of_the_guest),
		TEST(credit_of_the_host),
		TEST(lingers),
		TEST(overdrawn_credit),
		TEST(packets_of_nobody),
		TEST(unexpected_operations),
		TEST(long_length),
		TEST(many_refusals),
		TEST(bad_receive_buffers),
		TEST(all_places),
		cmocka_unit_test(test_bad_setups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
