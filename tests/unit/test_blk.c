/* SPDX-License-Identifier: Apache-2.0 */
/* test_blk: a block device with a real loop and real files, on a disk and in memory. */
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_mmio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/num.h"
#include "devices/blk.h"
#include "devices/virtio_mmio.h"
#include "tests/fake/guest.h"
#include "tests/fake/plug.h"

#define IMAGE_BYTES (UINT64_C(1) << 20)
#define SECTORS     (IMAGE_BYTES / 512)
#define QUEUES      2
#define DEPTH       64
#define NO_STATUS   0xee

/* Guest memory: a header, a status byte and 16 KiB of data for each request. */
#define HEADER(i)  (0x20000 + 16 * (uint64_t)(i))
#define STATUS(i)  (0x24000 + (uint64_t)(i))
#define TABLE(i)   (0x28000 + 256 * (uint64_t)(i))
#define DATA(i)    (0x60000 + 0x4000 * (uint64_t)(i))
#define PATIENCE_S 20

struct bench {
	char path[64];
	struct ram ram;
	struct log log;
	unsigned int lines;
	struct fake_plug plug;
	struct virtio *blk;
	struct device *mmio;
	struct fake_queue queues[QUEUES];
};

struct start {
	const char *folder;
	struct image_options options;
	struct limit_rate bytes, requests;
};

static void on_line(void *opaque, enum log_level level, const char *text)
{
	(void)level;
	(void)text;
	((struct bench *)opaque)->lines++;
}

static void drive(struct bench *bench)
{
	fake_write(bench->mmio, VIRTIO_MMIO_STATUS, 4, 0); /* before the rings are made anew */
	for (unsigned int i = 0; i < QUEUES; i++)
		fake_queue_init(&bench->queues[i], &bench->ram, i * FAKE_QUEUE_BYTES, 256, true);
	assert_true(fake_mmio_start(bench->mmio,
				    VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |
					    VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |
					    VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX),
				    bench->queues, QUEUES));
}

static void begin(struct bench *bench, const struct start *start)
{
	struct blk_config config = {
		.serial = "stet-0123456789abcde",
		.queue_count = QUEUES,
		.bytes = start->bytes,
		.requests = start->requests,
	};
	int fd;

	memset(bench, 0, sizeof(*bench));
	bench->log = (struct log){ .line = on_line, .opaque = bench, .max_level = LOG_LEVEL_DEBUG };
	snprintf(bench->path, sizeof(bench->path), "%s/test_blk.XXXXXX", start->folder);
	fd = mkstemp(bench->path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, IMAGE_BYTES), 0);
	close(fd);
	fake_ram_init(&bench->ram);
	fake_plug_init(&bench->plug);
	assert_int_equal(image_open(&config.image, bench->path, &start->options, NULL), 0);
	assert_int_equal(
		blk_create(&bench->blk, &config, &bench->ram, bench->plug.loop, &bench->log, NULL),
		0);
	bench->mmio = virtio_mmio_create(bench->blk, &bench->plug.wiring);
	assert_non_null(bench->mmio);
	fake_plug_start(&bench->plug, bench->blk);
	drive(bench);
}

static void end(struct bench *bench)
{
	fake_plug_stop(&bench->plug);
	device_destroy(bench->mmio);
	fake_plug_fini(&bench->plug);
	fake_ram_fini(&bench->ram);
	unlink(bench->path);
}

static void *at(struct bench *bench, uint64_t gpa, uint64_t bytes)
{
	void *host = ram_ptr(&bench->ram, gpa, bytes);

	assert_non_null(host);
	return host;
}

static void header(struct bench *bench, unsigned int i, uint32_t type, uint64_t sector)
{
	uint8_t *host = at(bench, HEADER(i), 16);

	store_le32(host, type);
	store_le32(host + 4, 0);
	store_le64(host + 8, sector);
	*(uint8_t *)at(bench, STATUS(i), 1) = NO_STATUS;
}

/* As Linux does it: header, data, status, in an indirect table. */
static void post(struct bench *bench, unsigned int queue, unsigned int i, uint32_t type,
		 uint64_t sector, uint32_t bytes)
{
	bool to_guest = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	const struct fake_buffer buffers[] = {
		{ HEADER(i), 16, false },
		{ DATA(i), bytes, to_guest },
		{ STATUS(i), 1, true },
	};
	const struct fake_buffer without_data[] = { buffers[0], buffers[2] };

	header(bench, i, type, sector);
	if (bytes)
		fake_queue_add_indirect(&bench->queues[queue], TABLE(i), buffers, 3);
	else
		fake_queue_add_indirect(&bench->queues[queue], TABLE(i), without_data, 2);
}

/* Waits for the next used element; the bytes the device says it wrote. */
static uint32_t await(struct bench *bench, unsigned int queue)
{
	const struct timespec moment = { .tv_nsec = 100000 };
	time_t last = time(NULL) + PATIENCE_S;
	uint32_t head, bytes;

	while (!fake_queue_used(&bench->queues[queue], &head, &bytes)) {
		assert_true(time(NULL) < last);
		nanosleep(&moment, NULL);
	}
	fake_queue_interrupts(&bench->queues[queue], true);
	return bytes;
}

static uint8_t status(struct bench *bench, unsigned int i)
{
	return *(uint8_t *)at(bench, STATUS(i), 1);
}

static uint8_t run(struct bench *bench, uint32_t type, uint64_t sector, uint32_t bytes)
{
	post(bench, 0, 0, type, sector, bytes);
	fake_plug_kick(&bench->plug, 0);
	await(bench, 0);
	return status(bench, 0);
}

static void fill(struct bench *bench, unsigned int i, uint32_t bytes, uint32_t seed)
{
	uint8_t *data = at(bench, DATA(i), bytes);

	for (uint32_t byte = 0; byte < bytes; byte++)
		data[byte] = (uint8_t)(byte * 7 + byte / 256 + seed);
}

static void check(struct bench *bench, unsigned int i, uint32_t bytes, uint32_t seed)
{
	const uint8_t *data = at(bench, DATA(i), bytes);

	for (uint32_t byte = 0; byte < bytes; byte++)
		assert_int_equal(data[byte], (uint8_t)(byte * 7 + byte / 256 + seed));
}

static void check_all_zero(struct bench *bench, uint64_t sector, uint32_t bytes)
{
	memset(at(bench, DATA(0), bytes), 0xff, bytes);
	assert_int_equal(run(bench, VIRTIO_BLK_T_IN, sector, bytes), VIRTIO_BLK_S_OK);
	for (uint32_t byte = 0; byte < bytes; byte++)
		assert_int_equal(((uint8_t *)at(bench, DATA(0), bytes))[byte], 0);
}

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

/* A medium that takes no more: the guest is told, reads go on, it is said once. A limit on file
 * sizes stands in for a disk that is full. */
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

/* Ends with requests in flight and more in the queue: nothing is left behind (a sanitizer looks).
 */
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

/* The limit holds requests back and lets all of them through in the end. */
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

/* Zeroes that are written by hand (tmpfs cannot make them) count as what they are. */
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

/* Large requests that are done at once are more turns than one: others come in between. */
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
		cmocka_unit_test(test_config_space),
		cmocka_unit_test(test_all_kinds_on_disk),
		cmocka_unit_test(test_all_kinds_in_memory),
		cmocka_unit_test(test_all_kinds_direct),
		cmocka_unit_test(test_takes_the_short_way),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_any_layout),
		cmocka_unit_test(test_unanswerable),
		cmocka_unit_test(test_many_on_disk),
		cmocka_unit_test(test_many_in_memory),
		cmocka_unit_test(test_head_twice),
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
