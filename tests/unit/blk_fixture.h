/* SPDX-License-Identifier: Apache-2.0 */
/* blk_fixture: a block device with a real loop and real files, and a driver for it. */
#ifndef TESTS_UNIT_BLK_FIXTURE_H
#define TESTS_UNIT_BLK_FIXTURE_H

#include <linux/virtio_blk.h>
#include <linux/virtio_mmio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static inline void on_line(void *opaque, enum log_level level, const char *text)
{
	(void)level;
	(void)text;
	((struct bench *)opaque)->lines++;
}

static inline void drive(struct bench *bench)
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

static inline void begin(struct bench *bench, const struct start *start)
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

static inline void end(struct bench *bench)
{
	fake_plug_stop(&bench->plug);
	device_destroy(bench->mmio);
	fake_plug_fini(&bench->plug);
	fake_ram_fini(&bench->ram);
	unlink(bench->path);
}

static inline void *at(struct bench *bench, uint64_t gpa, uint64_t bytes)
{
	void *host = ram_ptr(&bench->ram, gpa, bytes);

	assert_non_null(host);
	return host;
}

static inline void header(struct bench *bench, unsigned int i, uint32_t type, uint64_t sector)
{
	uint8_t *host = at(bench, HEADER(i), 16);

	store_le32(host, type);
	store_le32(host + 4, 0);
	store_le64(host + 8, sector);
	*(uint8_t *)at(bench, STATUS(i), 1) = NO_STATUS;
}

/* As Linux does it: header, data, status, in an indirect table. */
static inline void post(struct bench *bench, unsigned int queue, unsigned int i, uint32_t type,
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
static inline uint32_t await(struct bench *bench, unsigned int queue)
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

static inline uint8_t status(struct bench *bench, unsigned int i)
{
	return *(uint8_t *)at(bench, STATUS(i), 1);
}

static inline uint8_t run(struct bench *bench, uint32_t type, uint64_t sector, uint32_t bytes)
{
	post(bench, 0, 0, type, sector, bytes);
	fake_plug_kick(&bench->plug, 0);
	await(bench, 0);
	return status(bench, 0);
}

static inline void fill(struct bench *bench, unsigned int i, uint32_t bytes, uint32_t seed)
{
	uint8_t *data = at(bench, DATA(i), bytes);

	for (uint32_t byte = 0; byte < bytes; byte++)
		data[byte] = (uint8_t)(byte * 7 + byte / 256 + seed);
}

static inline void check(struct bench *bench, unsigned int i, uint32_t bytes, uint32_t seed)
{
	const uint8_t *data = at(bench, DATA(i), bytes);

	for (uint32_t byte = 0; byte < bytes; byte++)
		assert_int_equal(data[byte], (uint8_t)(byte * 7 + byte / 256 + seed));
}

static inline void check_all_zero(struct bench *bench, uint64_t sector, uint32_t bytes)
{
	memset(at(bench, DATA(0), bytes), 0xff, bytes);
	assert_int_equal(run(bench, VIRTIO_BLK_T_IN, sector, bytes), VIRTIO_BLK_S_OK);
	for (uint32_t byte = 0; byte < bytes; byte++)
		assert_int_equal(((uint8_t *)at(bench, DATA(0), bytes))[byte], 0);
}

#endif
