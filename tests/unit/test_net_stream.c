/* SPDX-License-Identifier: Apache-2.0 */
/* test_net_stream: frames behind their lengths, cut anywhere on their way, both ways. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "devices/net_stream.h"

struct bench {
	struct net_backend *backend;
	int peer;
	uint8_t out[80000], in[80000];
};

static int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(net_stream_create(&bench->backend, "test", ends[0], NULL), 0);
	bench->peer = ends[1];
	for (unsigned int i = 0; i < sizeof(bench->out); i++)
		bench->out[i] = (uint8_t)(i * 11 + i / 256);
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	net_backend_destroy(bench->backend);
	fd_close(&bench->peer);
	free(bench);
	return 0;
}

static ssize_t receive(struct bench *bench, size_t bytes)
{
	/* Cut into odd parts, with an empty one. */
	const struct iovec iov[] = {
		{ bench->in, 5 },
		{ bench->in + 5, 0 },
		{ bench->in + 5, 20 },
		{ bench->in + 25, bytes - 25 },
	};

	memset(bench->in, 0xee, sizeof(bench->in));
	return bench->backend->ops->receive(bench->backend, 0, iov, 4);
}

static int send_packet(struct bench *bench, size_t frame_bytes)
{
	const struct iovec iov[] = {
		{ bench->out, 7 },
		{ bench->out + 7, 0 },
		{ bench->out + 7, 20 },
		{ bench->out + 27, NET_HEADER_BYTES + frame_bytes - 27 },
	};

	return bench->backend->ops->send(bench->backend, 0, iov, 4);
}

static void put_length(uint8_t *at, uint32_t length)
{
	length = htonl(length);
	memcpy(at, &length, sizeof(length));
}

static void check_frame(const struct bench *bench, ssize_t got, const uint8_t *frame,
			size_t frame_bytes)
{
	static const uint8_t zero[NET_HEADER_BYTES];

	assert_int_equal(got, NET_HEADER_BYTES + frame_bytes);
	assert_memory_equal(bench->in, zero, NET_HEADER_BYTES);
	assert_memory_equal(bench->in + NET_HEADER_BYTES, frame, frame_bytes);
}

static void test_byte_by_byte(void **state)
{
	struct bench *bench = *state;

	put_length(bench->out, 100);
	for (unsigned int i = 0; i < 104; i++) {
		assert_int_equal(receive(bench, 2000), -EAGAIN);
		assert_int_equal(write(bench->peer, bench->out + i, 1), 1);
	}
	check_frame(bench, receive(bench, 2000), bench->out + 4, 100);
	assert_int_equal(receive(bench, 2000), -EAGAIN);
}

static void test_many_in_one(void **state)
{
	struct bench *bench = *state;

	for (unsigned int i = 0; i < 50; i++)
		put_length(bench->out + i * 64, 60);
	assert_int_equal(write(bench->peer, bench->out, 50 * 64), 50 * 64);
	for (unsigned int i = 0; i < 50; i++)
		check_frame(bench, receive(bench, 2000), bench->out + i * 64 + 4, 60);
	assert_int_equal(receive(bench, 2000), -EAGAIN);
}

static void test_smallest_and_largest(void **state)
{
	struct bench *bench = *state;

	for (unsigned int i = 0; i < 20; i++) {
		size_t bytes = i % 2 ? NET_FRAME_BYTES_MAX : 14;

		put_length(bench->out, (uint32_t)bytes);
		assert_int_equal(write(bench->peer, bench->out, 4 + bytes), 4 + bytes);
		check_frame(bench, receive(bench, 70000), bench->out + 4, bytes);
	}
}

/* As a tap does: the caller's last byte shows that it was more. */
static void test_cut_off(void **state)
{
	struct bench *bench = *state;

	put_length(bench->out, 1000);
	assert_int_equal(write(bench->peer, bench->out, 1004), 1004);
	assert_int_equal(receive(bench, 500), 500);
	assert_memory_equal(bench->in + 12, bench->out + 4, 488);
	assert_int_equal(bench->in[500], 0xee);
	assert_int_equal(receive(bench, 500), -EAGAIN);
}

static void test_impossible_lengths(void **state)
{
	const uint32_t lengths[] = { 0, 13, NET_FRAME_BYTES_MAX + 1, UINT32_MAX };

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		void *one;
		struct bench *bench;

		setup(&one);
		bench = one;
		put_length(bench->out, lengths[i]);
		assert_int_equal(write(bench->peer, bench->out, 100), 100);
		assert_int_equal(receive(bench, 2000), -EPROTO);
		assert_int_equal(receive(bench, 2000), -EPROTO);
		teardown(&one);
	}
}

static void test_the_end(void **state)
{
	struct bench *bench = *state;

	fd_close(&bench->peer);
	assert_int_equal(receive(bench, 2000), -ENOLINK);
	assert_int_equal(send_packet(bench, 100), -ENOLINK);
}

static void read_all(int fd, uint8_t *data, size_t bytes)
{
	while (bytes) {
		ssize_t got = read(fd, data, bytes);

		assert_true(got > 0);
		data += got;
		bytes -= (size_t)got;
	}
}

static void test_sends(void **state)
{
	struct bench *bench = *state;
	uint8_t length[4];

	for (unsigned int i = 0; i < 100; i++) {
		size_t bytes = 60 + i * 653 % 65000;

		assert_int_equal(send_packet(bench, bytes), 0);
		put_length(length, (uint32_t)bytes);
		/* A socket takes no more than its buffer's worth at once. */
		read_all(bench->peer, bench->in, 4 + bytes);
		assert_memory_equal(bench->in, length, 4);
		assert_memory_equal(bench->in + 4, bench->out + NET_HEADER_BYTES, bytes);
		assert_int_equal(bench->backend->ops->flush(bench->backend, 0), 0);
	}
	assert_int_equal(send_packet(bench, NET_FRAME_BYTES_MAX + 1), -EMSGSIZE);
}

/* What a full socket took half of is kept, and nothing is sent before its rest. */
static void test_full_socket(void **state)
{
	struct bench *bench = *state;
	unsigned int taken = 0, seen = 0;
	size_t bytes = 50000;
	bool is_kept = false;
	int size = 1;

	assert_int_equal(setsockopt(bench->backend->ops->fd(bench->backend, 0), SOL_SOCKET,
				    SO_SNDBUF, &size, sizeof(size)),
			 0);
	while (seen < 200) {
		int ret = taken < 200 ? send_packet(bench, bytes) : -EAGAIN;

		assert_true(ret == 0 || ret == -EAGAIN);
		if (!ret) {
			taken++;
			is_kept |= bench->backend->ops->flush(bench->backend, 0) == -EAGAIN;
			continue;
		}
		/* Takes one frame; flush moves the rest of the next one on meanwhile. */
		for (size_t done = 0; done < 4 + bytes;) {
			ssize_t got =
				recv(bench->peer, bench->in + done, 4 + bytes - done, MSG_DONTWAIT);

			bench->backend->ops->flush(bench->backend, 0);
			if (got > 0)
				done += (size_t)got;
			else
				assert_int_equal(errno, EAGAIN);
		}
		assert_memory_equal(bench->in + 4, bench->out + NET_HEADER_BYTES, bytes);
		seen++;
	}
	assert_int_equal(taken, 200);
	assert_true(is_kept);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(byte_by_byte),
		TEST(many_in_one),
		TEST(smallest_and_largest),
		TEST(cut_off),
		cmocka_unit_test(test_impossible_lengths),
		TEST(the_end),
		TEST(sends),
		TEST(full_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
