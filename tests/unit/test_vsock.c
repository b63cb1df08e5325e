/* SPDX-License-Identifier: Apache-2.0 */
/* test_vsock: a driver and programs of the host talk through the socket device: connections from
 * both sides, credit, shutting down, and as many as there are places. */
#include <dirent.h>
#include <time.h>

#include "tests/unit/vsock_fixture.h"

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

	pthread_mutex_lock(bench->virtio->lock);
	((struct vsock *)bench->virtio)->request_limit_ns = NS_PER_SEC;
	pthread_mutex_unlock(bench->virtio->lock);
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

/* Who connects while the guest boots waits for it; its driver begins with a reset. */
static void test_request_outlives_a_reset(void **state)
{
	struct bench *bench = *state;
	const struct timespec pause = { .tv_nsec = 1000000 };
	const struct vsock *vsock = (const struct vsock *)bench->virtio;
	int early = host_socket(bench->path, false), late = host_socket(bench->path, false);
	uint32_t requested = 0;
	uint32_t ports[2];

	start(bench, 0);
	say(early, "CONNECT 52\n");
	for (unsigned int i = 0; i < 5000 && !requested; i++) {
		nanosleep(&pause, NULL);
		pthread_mutex_lock(bench->virtio->lock);
		for (unsigned int c = 0; c < VSOCK_CONNECTIONS_MAX; c++)
			requested += vsock->connections[c].state == VSOCK_REQUESTED;
		pthread_mutex_unlock(bench->virtio->lock);
	}
	assert_int_equal(requested, 1);
	start(bench, 32);
	say(late, "CONNECT 53\n");
	for (unsigned int i = 0; i < 2; i++) {
		guest_receives(bench);
		assert_int_equal(bench->header.op, VIRTIO_VSOCK_OP_REQUEST);
		ports[i] = bench->header.dst_port;
	}
	assert_true(ports[0] == 52 && ports[1] == 53);
	close(early);
	close(late);
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
		TEST(request_outlives_a_reset),
		TEST(credit_of_the_guest),
		TEST(credit_of_the_host),
		TEST(lingers),
		TEST(all_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
