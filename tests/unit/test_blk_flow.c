/* SPDX-License-Identifier: Apache-2.0 */
/* test_blk_flow: many requests of a block device: the ways they take, limits, failures, ends. */
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "devices/blk_io.h"
#include "tests/unit/blk_fixture.h"

static void test_takes_the_short_way(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, &(struct start){ .folder = "/dev/shm" });
	for (unsigned int i = 0; i < 50; i++) {
		assert_int_equal(run(&bench, VIRTIO_BLK_T_OUT, i, 512), VIRTIO_BLK_S_OK);
		assert_int_equal(run(&bench, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	}
	assert_in_range(blk_stats(bench.blk)->at_once, 1,
			50); /* a slow machine may take the ring */
	assert_int_equal(blk_stats(bench.blk)->at_once + blk_stats(bench.blk)->queued, 50);
	assert_int_equal(blk_stats(bench.blk)->writes, 50);
	assert_int_equal(blk_stats(bench.blk)->written_bytes, 50 * 512);
	end(&bench);
}

static void many(const struct start *start)
{
	struct bench bench;

	begin(&bench, start);
	for (unsigned int round = 0; round < 4; round++) {
		bool write = round % 2 == 0;

		for (unsigned int i = 0; i < DEPTH; i++) {
			if (write)
				fill(&bench, i, 4096, round + i);
			else
				memset(at(&bench, DATA(i), 4096), 0, 4096);
			post(&bench, i % QUEUES, i, write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
			     (uint64_t)i * 8, 4096);
		}
		for (unsigned int queue = 0; queue < QUEUES; queue++)
			fake_plug_kick(&bench.plug, queue);
		for (unsigned int i = 0; i < DEPTH; i++)
			await(&bench, i % QUEUES);
		for (unsigned int i = 0; i < DEPTH; i++) {
			assert_int_equal(status(&bench, i), VIRTIO_BLK_S_OK);
			if (!write)
				check(&bench, i, 4096, round - 1 + i);
		}
	}
	assert_int_equal(blk_stats(bench.blk)->reads, 2 * DEPTH);
	assert_in_range(bench.plug.interrupts, 1, 4 * DEPTH);
	end(&bench);
}

static void test_many_on_disk(void **state)
{
	(void)state;
	many(&(struct start){ .folder = "/tmp" });
	many(&(struct start){ .folder = "/tmp", .options = { .direct = true } });
}

static void test_many_in_memory(void **state)
{
	(void)state;
	many(&(struct start){ .folder = "/dev/shm" });
}

/* Past the page cache requests that come together share the ring's system call. */
static void test_together_in_the_ring(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, &(struct start){ .folder = "/tmp", .options = { .direct = true } });
	if (((const struct blk *)bench.blk)->image.direct_fd < 0) {
		end(&bench);
		skip(); /* /tmp is in memory, or its file system knows no O_DIRECT */
	}
	for (unsigned int i = 0; i < DEPTH; i++)
		post(&bench, 0, i, VIRTIO_BLK_T_IN, (uint64_t)i * 8, 4096);
	fake_plug_kick(&bench.plug, 0);
	for (unsigned int i = 0; i < DEPTH; i++)
		await(&bench, 0);
	assert_int_equal(blk_stats(bench.blk)->queued, DEPTH);
	assert_int_equal(blk_stats(bench.blk)->at_once, 0);
	end(&bench);
}

static void test_image_gets_shorter(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, &(struct start){ .folder = "/tmp" });
	assert_int_equal(truncate(bench.path, 1024), 0);
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(run(&bench, VIRTIO_BLK_T_IN, 4, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_IN, 1, 1024), VIRTIO_BLK_S_IOERR);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_IN, 1, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(bench.lines, 1); /* said once */
	assert_int_equal(blk_stats(bench.blk)->errors, 21);
	end(&bench);
}

static void test_writes_fail(void **state)
{
	struct rlimit before, limit;
	struct bench bench;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	for (int direct = 0; direct < 2; direct++) {
		begin(&bench, &(struct start){ .folder = "/tmp", .options.direct = direct });
		limit = before;
		limit.rlim_cur = 65536;
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
		for (unsigned int i = 0; i < 30; i++)
			assert_int_equal(run(&bench, VIRTIO_BLK_T_OUT, 256 + 8 * i, 4096),
					 VIRTIO_BLK_S_IOERR);
		assert_int_equal(run(&bench, VIRTIO_BLK_T_OUT, 120, 8192), VIRTIO_BLK_S_IOERR);
		assert_int_equal(run(&bench, VIRTIO_BLK_T_OUT, 120, 4096), VIRTIO_BLK_S_OK);
		assert_int_equal(run(&bench, VIRTIO_BLK_T_IN, 256, 4096), VIRTIO_BLK_S_OK);
		assert_int_equal(run(&bench, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
		assert_int_equal(bench.lines, 1);
		assert_int_equal(blk_stats(bench.blk)->errors, 31);
		end(&bench);
	}
	signal(SIGXFSZ, SIG_DFL);
}

static void test_reset_in_flight(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, &(struct start){ .folder = "/tmp", .options = { .direct = true } });
	for (unsigned int round = 0; round < 50; round++) {
		for (unsigned int i = 0; i < DEPTH; i++)
			post(&bench, i % QUEUES, i, i % 3 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_FLUSH,
			     (uint64_t)i * 8, i % 3 ? 4096 : 0);
		for (unsigned int queue = 0; queue < QUEUES; queue++)
			fake_plug_kick(&bench.plug, queue);
		drive(&bench); /* resets, with whatever is under way */
	}
	assert_int_equal(run(&bench, VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(bench.lines, 0);
	end(&bench);
}

static void test_end_in_flight(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, &(struct start){ .folder = "/tmp", .options = { .direct = true } });
	for (unsigned int i = 0; i < DEPTH; i++)
		post(&bench, 0, i, VIRTIO_BLK_T_OUT, (uint64_t)i * 8, 4096);
	fake_plug_kick(&bench.plug, 0);
	end(&bench);
}

static void test_limits(void **state)
{
	const struct start starts[] = {
		{ .folder = "/dev/shm", .requests = { .per_second = 1000, .burst = 1 } },
		{ .folder = "/dev/shm", .bytes = { .per_second = 8192000, .burst = 4096 } },
	};
	struct bench bench;

	(void)state;
	for (size_t kind = 0; kind < ARRAY_SIZE(starts); kind++) {
		begin(&bench, &starts[kind]);
		for (unsigned int i = 0; i < DEPTH; i++)
			post(&bench, 0, i, VIRTIO_BLK_T_IN, i, 4096);
		fake_plug_kick(&bench.plug, 0);
		for (unsigned int i = 0; i < DEPTH; i++)
			await(&bench, 0);
		for (unsigned int i = 0; i < DEPTH; i++)
			assert_int_equal(status(&bench, i), VIRTIO_BLK_S_OK);
		assert_in_range(blk_stats(bench.blk)->throttled, 1, 100000);
		end(&bench);
	}
}

static void test_limit_of_zeroes(void **state)
{
	const struct start start = { .folder = "/dev/shm",
				     .bytes = { .per_second = 1 << 20, .burst = 4096 } };
	struct bench bench;

	(void)state;
	begin(&bench, &start);
	store_le64(at(&bench, DATA(0), 16), 0);
	store_le32(at(&bench, DATA(0) + 8, 8), 128);
	store_le32(at(&bench, DATA(0) + 12, 4), 0);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16), VIRTIO_BLK_S_OK);
	assert_int_equal(blk_stats(bench.blk)->throttled, 0);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
	assert_in_range(blk_stats(bench.blk)->throttled, 1, 100000);
	end(&bench);
}

static void test_turns_are_bounded(void **state)
{
	const uint64_t bytes = UINT64_C(1) << 20;
	struct bench bench;
	uint64_t kicks;

	(void)state;
	begin(&bench, &(struct start){ .folder = "/dev/shm" });
	kicks = bench.blk->stats.kicks;
	for (unsigned int i = 0; i < DEPTH; i++) {
		const struct fake_buffer buffers[] = {
			{ HEADER(i), 16, false },
			{ DATA(0), (uint32_t)bytes, true },
			{ STATUS(i), 1, true },
		};

		header(&bench, i, VIRTIO_BLK_T_IN, 0);
		fake_queue_add_indirect(&bench.queues[0], TABLE(i), buffers, 3);
	}
	fake_plug_kick(&bench.plug, 0);
	for (unsigned int i = 0; i < DEPTH; i++)
		await(&bench, 0);
	assert_in_range(bench.blk->stats.kicks - kicks, DEPTH * bytes / 65536 / 256, 1000);
	end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_takes_the_short_way),
		cmocka_unit_test(test_together_in_the_ring),
		cmocka_unit_test(test_many_on_disk),
		cmocka_unit_test(test_many_in_memory),
		cmocka_unit_test(test_image_gets_shorter),
		cmocka_unit_test(test_writes_fail),
		cmocka_unit_test(test_reset_in_flight),
		cmocka_unit_test(test_end_in_flight),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_limit_of_zeroes),
		cmocka_unit_test(test_turns_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
