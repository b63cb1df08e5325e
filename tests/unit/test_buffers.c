/* SPDX-License-Identifier: Apache-2.0 */
/* test_buffers: which pieces of memory are worth being registered, and that the loop does so. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffers.h"
#include "base/loop.h"
#include "base/num.h"

/* Memory that nobody touches. */
#define BASE ((uint8_t *)(UINTPTR_MAX / 2 + 1 - GIB))

/* What buffers_use() says to transfer after transfer, all alike: the piece that becomes due after
 * BUFFERS_USES of them, or -1. */
static int use_until_due(struct buffers *buffers, const void *at, uint64_t bytes,
			 struct iovec *memory)
{
	int piece = -1;

	for (int i = 0; i < BUFFERS_USES; i++) {
		assert_int_equal(piece, -1);
		piece = buffers_use(buffers, at, bytes, memory);
	}
	return piece;
}

static void test_nothing(void **state)
{
	struct buffers buffers = { 0 };
	struct iovec memory;

	(void)state;
	assert_false(buffers_prepare(&buffers));
	assert_int_equal(use_until_due(&buffers, BASE, 4096, &memory), -1);
	buffers_add(&buffers, BASE, 0);
	assert_false(buffers_prepare(&buffers));
	buffers_fini(&buffers);
}

static void test_due_once_it_pays(void **state)
{
	struct buffers buffers = { 0 };
	struct iovec memory;
	int piece;

	(void)state;
	buffers_add(&buffers, BASE, 8 * BUFFERS_PIECE_BYTES);
	buffers_add(&buffers, BASE, 8 * BUFFERS_PIECE_BYTES); /* another disk's */
	assert_true(buffers_prepare(&buffers));
	assert_int_equal(buffers.count, 8);
	piece = use_until_due(&buffers, BASE + 3 * BUFFERS_PIECE_BYTES + 512, 4096, &memory);
	assert_int_equal(piece, 3);
	assert_ptr_equal(memory.iov_base, BASE + 3 * BUFFERS_PIECE_BYTES);
	assert_int_equal(memory.iov_len, BUFFERS_PIECE_BYTES);

	/* It stays due until it is registered, then it is simply there. */
	assert_int_equal(buffers_use(&buffers, BASE + 3 * BUFFERS_PIECE_BYTES, 1, &memory), 3);
	assert_int_not_equal(memory.iov_len, 0);
	buffers_registered(&buffers, piece);
	assert_int_equal(buffers_use(&buffers, BASE + 3 * BUFFERS_PIECE_BYTES, 1, &memory), 3);
	assert_int_equal(memory.iov_len, 0);
	/* Its neighbours have counts of their own. */
	assert_int_equal(buffers_use(&buffers, BASE + 2 * BUFFERS_PIECE_BYTES, 1, &memory), -1);
	buffers_fini(&buffers);
	assert_int_equal(buffers_use(&buffers, BASE + 3 * BUFFERS_PIECE_BYTES, 1, &memory), -1);
}

static void test_edges(void **state)
{
	struct buffers buffers = { 0 };
	struct iovec memory;
	uint8_t *end = BASE + BUFFERS_PIECE_BYTES + 8192;

	(void)state;
	buffers_add(&buffers, BASE, BUFFERS_PIECE_BYTES + 8192);
	assert_true(buffers_prepare(&buffers));
	assert_int_equal(buffers.count, 2);
	/* The last piece is what is left; a transfer lies in one piece, whole, or in none. */
	assert_int_equal(use_until_due(&buffers, end - 4096, 4096, &memory), 1);
	assert_int_equal(memory.iov_len, 8192);
	assert_int_equal(use_until_due(&buffers, BASE + BUFFERS_PIECE_BYTES - 1, 2, &memory), -1);
	assert_int_equal(use_until_due(&buffers, end - 4096, 4097, &memory), -1);
	assert_int_equal(use_until_due(&buffers, end, 1, &memory), -1);
	assert_int_equal(use_until_due(&buffers, BASE - 1, 1, &memory), -1);
	assert_int_equal(use_until_due(&buffers, BASE - 1, UINT64_MAX, &memory), -1);
	assert_int_equal(use_until_due(&buffers, BASE, 0, &memory), -1);
	assert_int_equal(use_until_due(&buffers, NULL, 1, &memory), -1);
	buffers_fini(&buffers);
}

static void test_areas_share_the_table(void **state)
{
	struct buffers buffers = { 0 };
	struct iovec memory;
	uint8_t *second = BASE + 3 * BUFFERS_PIECE_BYTES;

	(void)state;
	buffers_add(&buffers, BASE, 2 * BUFFERS_PIECE_BYTES);
	buffers_add(&buffers, second, BUFFERS_PIECE_BYTES);
	for (uint64_t i = 2; i <= BUFFERS_AREAS; i++) /* one too many */
		buffers_add(&buffers, second + i * BUFFERS_PIECE_BYTES, BUFFERS_PIECE_BYTES);
	assert_true(buffers_prepare(&buffers));
	assert_int_equal(buffers.count, 2 + BUFFERS_AREAS - 1);
	assert_int_equal(use_until_due(&buffers, second, 1, &memory), 2);
	assert_ptr_equal(memory.iov_base, second);
	assert_int_equal(use_until_due(&buffers, BASE + 2 * BUFFERS_PIECE_BYTES, 1, &memory), -1);
	buffers_fini(&buffers);
}

static void test_large_memory_has_large_pieces(void **state)
{
	struct buffers buffers = { 0 };
	struct iovec memory;
	uint8_t *base = (uint8_t *)(uintptr_t)GIB;
	uint64_t bytes = 16 * 1024 * GIB;

	(void)state;
	buffers_add(&buffers, base, bytes);
	assert_true(buffers_prepare(&buffers));
	assert_int_equal(buffers.count, BUFFERS_MAX);
	assert_int_equal(use_until_due(&buffers, base + bytes - 1, 1, &memory), BUFFERS_MAX - 1);
	assert_int_equal(memory.iov_len, GIB); /* the most that a ring takes as one buffer */
	buffers_fini(&buffers);
}

/* Reads the same bytes to the same place, one after the other. */
struct reader {
	struct loop_request request;
	struct loop *loop;
	struct iovec iov;
	int fd;
	int left;
	int result;
};

static void read_again(struct loop_request *request, int result)
{
	struct reader *reader = (struct reader *)request;

	reader->result = result;
	if (result < 0 || --reader->left == 0)
		loop_stop(reader->loop);
	else
		assert_int_equal(loop_readv(reader->loop, request, reader->fd, &reader->iov, 1, 0),
				 0);
}

static void read_many(struct reader *reader, int count)
{
	reader->request.done = read_again;
	reader->left = count;
	assert_int_equal(loop_create(&reader->loop, 8, NULL), 0);
	loop_register_file(reader->loop, reader->fd);
	loop_add_memory(reader->loop, reader->iov.iov_base, BUFFERS_PIECE_BYTES);
	assert_int_equal(loop_readv(reader->loop, &reader->request, reader->fd, &reader->iov, 1, 0),
			 0);
	assert_int_equal(loop_run(reader->loop), 0);
	loop_destroy(reader->loop);
}

/* What is registered is the pages, not the address: a transfer to an address whose pages were
 * exchanged meanwhile goes to the old ones. That is how we see it. */
static void exchange_then_read(struct loop_request *request, int result)
{
	struct reader *reader = (struct reader *)request;

	assert_int_equal(result, 4);
	if (reader->left == 2)
		assert_ptr_equal(mmap(reader->iov.iov_base, BUFFERS_PIECE_BYTES,
				      PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
				 reader->iov.iov_base);
	read_again(request, result);
}

static int file_of(const char *text)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

static uint8_t *map(int flags, int fd)
{
	uint8_t *memory = mmap(NULL, BUFFERS_PIECE_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

static void test_loop_registers_what_is_used(void **state)
{
	struct reader reader = { .fd = file_of("data") };
	int memory_fd = file_of("");
	uint8_t *other;

	(void)state;
	assert_int_equal(ftruncate(memory_fd, BUFFERS_PIECE_BYTES), 0);
	other = map(MAP_SHARED, memory_fd);
	reader.iov = (struct iovec){ map(MAP_SHARED, memory_fd), 4 };
	reader.request.done = exchange_then_read;
	reader.left = BUFFERS_USES + 2;
	assert_int_equal(loop_create(&reader.loop, 8, NULL), 0);
	loop_register_file(reader.loop, reader.fd);
	loop_add_memory(reader.loop, reader.iov.iov_base, BUFFERS_PIECE_BYTES);
	assert_int_equal(loop_readv(reader.loop, &reader.request, reader.fd, &reader.iov, 1, 0), 0);
	memset(other, 0, 4);
	assert_int_equal(loop_run(reader.loop), 0);
	assert_int_equal(reader.result, 4);
	assert_memory_equal(other, "data", 4);
	assert_memory_equal(reader.iov.iov_base, "\0\0\0\0", 4); /* nothing was read to it */
	loop_destroy(reader.loop);
	munmap(other, BUFFERS_PIECE_BYTES);
	munmap(reader.iov.iov_base, BUFFERS_PIECE_BYTES);
	close(memory_fd);
	close(reader.fd);
}

/* Memory that cannot be pinned is read to as ever; a read that fails, fails in either way. */
static void test_loop_without_registration(void **state)
{
	struct reader reader = { .fd = file_of("data") };
	uint8_t *memory = map(MAP_PRIVATE | MAP_ANONYMOUS, -1);

	(void)state;
	assert_int_equal(munmap(memory + BUFFERS_PIECE_BYTES / 2, BUFFERS_PIECE_BYTES / 2), 0);
	reader.iov = (struct iovec){ memory, 4 };
	read_many(&reader, 3 * BUFFERS_USES);
	assert_int_equal(reader.result, 4);
	assert_memory_equal(memory, "data", 4);

	reader.iov.iov_base = memory + BUFFERS_PIECE_BYTES / 2;
	read_many(&reader, 3 * BUFFERS_USES);
	assert_int_equal(reader.result, -EFAULT);
	munmap(memory, BUFFERS_PIECE_BYTES / 2);
	close(reader.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_due_once_it_pays),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_areas_share_the_table),
		cmocka_unit_test(test_large_memory_has_large_pieces),
		cmocka_unit_test(test_loop_registers_what_is_used),
		cmocka_unit_test(test_loop_without_registration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
