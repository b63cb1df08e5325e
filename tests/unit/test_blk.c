/* SPDX-License-Identifier: Apache-2.0 */
/* test_blk: requests of a block device, good and bad, one by one. */
#include "tests/unit/blk_fixture.h"

static void test_config_space(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, &(struct start){ .folder = "/tmp" });
	assert_int_equal(fake_read(bench.mmio, VIRTIO_MMIO_DEVICE_ID, 4), 2);
	assert_int_equal(fake_read(bench.mmio, 0x100, 8), SECTORS);
	assert_int_equal(fake_read(bench.mmio, 0x10c, 4), 254);
	assert_int_equal(fake_read(bench.mmio, 0x114, 4), 512);
	assert_int_equal(fake_read(bench.mmio, 0x118, 1), 3); /* 4 KiB below */
	assert_int_equal(fake_read(bench.mmio, 0x122, 2), QUEUES);
	assert_int_equal(fake_read(bench.mmio, 0x12c, 4), 8); /* 4 KiB to discard */
	end(&bench);
}

/* Every kind of request, once for each way the data can go. */
static void all_kinds(const struct start *start)
{
	struct bench bench;

	begin(&bench, start);
	fill(&bench, 0, 8192, 1);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_OUT, 8, 8192), VIRTIO_BLK_S_OK);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	memset(at(&bench, DATA(0), 8192), 0, 8192);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_IN, 8, 8192), VIRTIO_BLK_S_OK);
	check(&bench, 0, 8192, 1);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_IN, 9, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(*(uint8_t *)at(&bench, DATA(0), 1), (uint8_t)(512 * 7 + 2 + 1));
	assert_int_equal(run(&bench, VIRTIO_BLK_T_GET_ID, 0, 20), VIRTIO_BLK_S_OK);
	assert_memory_equal(at(&bench, DATA(0), 20), "stet-0123456789abcde", 20);

	store_le64(at(&bench, DATA(0), 16), 8);
	store_le32(at(&bench, DATA(0) + 8, 8), 8);
	store_le32(at(&bench, DATA(0) + 12, 4), 0);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16), VIRTIO_BLK_S_OK);
	check_all_zero(&bench, 8, 4096);
	store_le64(at(&bench, DATA(0), 16), 16);
	store_le32(at(&bench, DATA(0) + 8, 8), 8);
	store_le32(at(&bench, DATA(0) + 12, 4), 0);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_DISCARD, 0, 16), VIRTIO_BLK_S_OK);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_IN, SECTORS - 1, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(blk_stats(bench.blk)->errors, 0);
	assert_int_equal(bench.lines, 0);
	end(&bench);
}

static void test_all_kinds_on_disk(void **state)
{
	(void)state;
	all_kinds(&(struct start){ .folder = "/tmp" });
}

static void test_all_kinds_in_memory(void **state)
{
	(void)state;
	all_kinds(&(struct start){ .folder = "/dev/shm" });
}

static void test_all_kinds_direct(void **state)
{
	(void)state;
	all_kinds(&(struct start){ .folder = "/tmp", .options = { .direct = true } });
}

/* In memory everything is done at once, and nothing needs the ring. */
static void test_refused(void **state)
{
	static const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t bytes;
		uint8_t status;
	} bad[] = {
		{ VIRTIO_BLK_T_IN, SECTORS, 512, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, SECTORS - 1, 1024, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, UINT64_MAX, 512, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, UINT64_C(1) << 55, 512, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, (UINT64_C(1) << 55) - 1, 512, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, 511, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, 0, 513, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_GET_ID, 0, 19, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_DISCARD, 0, 15, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_DISCARD, 0, 32, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_SECURE_ERASE, 0, 16, VIRTIO_BLK_S_UNSUPP },
		{ 2, 0, 16, VIRTIO_BLK_S_UNSUPP }, /* SCSI pass-through: never */
		{ UINT32_MAX, 0, 0, VIRTIO_BLK_S_UNSUPP },
	};
	struct bench bench;

	(void)state;
	begin(&bench, &(struct start){ .folder = "/dev/shm" });
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(run(&bench, bad[i].type, bad[i].sector, bad[i].bytes),
				 bad[i].status);
	memset(at(&bench, DATA(0), 16), 0xff, 16); /* a segment far away */
	assert_int_equal(run(&bench, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16), VIRTIO_BLK_S_UNSUPP);
	store_le32(at(&bench, DATA(0) + 12, 4), 1);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_WRITE_ZEROES, 0, 16), VIRTIO_BLK_S_IOERR);
	store_le32(at(&bench, DATA(0) + 12, 4), 0);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_DISCARD, 0, 16), VIRTIO_BLK_S_IOERR);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(bench.lines, 0); /* the guest's own trouble */
	end(&bench);
}

static void test_read_only(void **state)
{
	struct bench bench;

	(void)state;
	begin(&bench, &(struct start){ .folder = "/tmp", .options = { .read_only = true } });
	assert_int_equal(fake_read(bench.mmio, VIRTIO_MMIO_DEVICE_FEATURES, 4) & (1 << 5), 1 << 5);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_OUT, 0, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_DISCARD, 0, 16), VIRTIO_BLK_S_IOERR);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
	end(&bench);
}

/* The standard lets a driver cut a request anywhere (2.7.4.4). */
static void test_any_layout(void **state)
{
	const struct fake_buffer one_each[] = { { HEADER(0), 16, false }, { DATA(0), 513, true } };
	const struct fake_buffer pieces[] = {
		{ HEADER(0), 3, false },      { HEADER(0) + 3, 13, false }, { DATA(0), 100, true },
		{ DATA(0) + 100, 411, true }, { DATA(0) + 511, 2, true },
	};
	const struct fake_buffer write[] = { { DATA(1), 16 + 512, false }, { STATUS(1), 1, true } };
	struct bench bench;

	(void)state;
	begin(&bench, &(struct start){ .folder = "/tmp" });
	fill(&bench, 1, 16 + 512, 3);
	store_le32(at(&bench, DATA(1), 16), VIRTIO_BLK_T_OUT);
	store_le64(at(&bench, DATA(1) + 8, 8), 5);
	fake_queue_add(&bench.queues[0], write, 2);
	fake_plug_kick(&bench.plug, 0);
	assert_int_equal(await(&bench, 0), 1);
	for (unsigned int i = 0; i < 2; i++) {
		memset(at(&bench, DATA(0), 513), NO_STATUS, 513);
		header(&bench, 0, VIRTIO_BLK_T_IN, 5);
		fake_queue_add(&bench.queues[0], i ? pieces : one_each, i ? 5 : 2);
		fake_plug_kick(&bench.plug, 0);
		assert_int_equal(await(&bench, 0), 513);
		assert_memory_equal(at(&bench, DATA(0), 512), at(&bench, DATA(1) + 16, 512), 512);
		assert_int_equal(*(uint8_t *)at(&bench, DATA(0) + 512, 1), VIRTIO_BLK_S_OK);
	}
	end(&bench);
}

static uint32_t device_status(struct bench *bench)
{
	return (uint32_t)fake_read(bench->mmio, VIRTIO_MMIO_STATUS, 4);
}

static void await_needs_reset(struct bench *bench)
{
	const struct timespec moment = { .tv_nsec = 100000 };
	time_t last = time(NULL) + PATIENCE_S;

	while (!(device_status(bench) & VIRTIO_CONFIG_S_NEEDS_RESET)) {
		assert_true(time(NULL) < last);
		nanosleep(&moment, NULL);
	}
}

static void test_unanswerable(void **state)
{
	const struct fake_buffer no_status = { HEADER(0), 16, false };
	const struct fake_buffer no_header[] = { { HEADER(0), 15, false }, { STATUS(0), 1, true } };
	struct bench bench;

	(void)state;
	begin(&bench, &(struct start){ .folder = "/tmp" });
	header(&bench, 0, VIRTIO_BLK_T_FLUSH, 0);
	fake_queue_add(&bench.queues[0], &no_status, 1);
	fake_queue_add(&bench.queues[0], &no_status, 1);
	fake_plug_kick(&bench.plug, 0);
	await_needs_reset(&bench);
	assert_int_equal(bench.lines, 1);
	drive(&bench);
	fake_queue_add(&bench.queues[0], no_header, 2);
	fake_plug_kick(&bench.plug, 0);
	await_needs_reset(&bench);
	drive(&bench);
	assert_int_equal(run(&bench, VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
	end(&bench);
}

/* Many at a time, on both queues, each checked; one head twice among them. */
/* The same head again and again, all in flight: each is a request of its own (CVE-2026-45782). */
static void test_head_twice(void **state)
{
	struct bench bench;
	uint16_t head;

	(void)state;
	begin(&bench, &(struct start){ .folder = "/tmp", .options = { .direct = true } });
	post(&bench, 0, 0, VIRTIO_BLK_T_IN, 0, 4096);
	head = load_le16((uint8_t *)at(&bench, bench.queues[0].driver_gpa, 8) + 4);
	for (unsigned int i = 1; i < 250; i++)
		fake_queue_offer(&bench.queues[0], head);
	fake_plug_kick(&bench.plug, 0);
	for (unsigned int i = 0; i < 250; i++)
		await(&bench, 0);
	assert_int_equal(status(&bench, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(blk_stats(bench.blk)->reads, 250);
	end(&bench);
}

/* A medium that takes no more: the guest is told, reads go on, it is said once. A limit on file
 * sizes stands in for a disk that is full. */
/* Ends with requests in flight and more in the queue: nothing is left behind (a sanitizer looks).
 */
/* The limit holds requests back and lets all of them through in the end. */
/* Zeroes that are written by hand (tmpfs cannot make them) count as what they are. */
/* Large requests that are done at once are more turns than one: others come in between. */

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config_space),
		cmocka_unit_test(test_all_kinds_on_disk),
		cmocka_unit_test(test_all_kinds_in_memory),
		cmocka_unit_test(test_all_kinds_direct),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_any_layout),
		cmocka_unit_test(test_unanswerable),
		cmocka_unit_test(test_head_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
