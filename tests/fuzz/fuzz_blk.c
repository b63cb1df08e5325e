/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_blk: requests of any content to two disks, one whose transfers are done at once and one
 * whose go through the ring. Each kick is waited for, so that an input does the same each time. */
#include <linux/virtio_mmio.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/num.h"
#include "devices/blk.h"
#include "devices/virtio_mmio.h"
#include "tests/fake/guest.h"
#include "tests/fake/plug.h"

#define IMAGE_BYTES 0x40000
#define AREA_BYTES  0x8000

struct disk {
	struct fake_plug plug;
	struct virtio *blk;
	struct device *mmio;
};

static struct ram ram;
static const struct log no_log;

static void create(struct disk *disk, bool ring)
{
	struct blk_config config = { .serial = "fuzz", .queue_count = 1 };
	const struct image_options options = { 0 };
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || ftruncate(fd, IMAGE_BYTES) || image_open(&config.image, path, &options, NULL))
		abort();
	if (ring) {
		config.image.in_memory = false;
		config.image.direct_fd = dup(fd);
	}
	close(fd);
	fake_plug_init(&disk->plug);
	if (blk_create(&disk->blk, &config, &ram, disk->plug.loop, &no_log, NULL))
		abort();
	disk->mmio = virtio_mmio_create(disk->blk, &disk->plug.wiring);
	if (!disk->mmio)
		abort();
	fake_plug_start(&disk->plug, disk->blk);
}

static void settle(struct disk *disk)
{
	bool busy = true;

	while (busy) {
		pthread_mutex_lock(&disk->mmio->lock);
		busy = disk->blk->in_flight;
		pthread_mutex_unlock(&disk->mmio->lock);
		if (busy)
			sched_yield();
	}
}

static void kick(struct disk *disk)
{
	uint64_t before = atomic_load(&disk->blk->stats.kicks);

	fake_plug_kick(&disk->plug, 0);
	while (atomic_load(&disk->blk->stats.kicks) == before)
		sched_yield();
	settle(disk);
}

static void start(struct disk *disk)
{
	struct fake_queue q;

	fake_write(disk->mmio, VIRTIO_MMIO_STATUS, 4, 0);
	settle(disk);
	memset(ram.ranges[0].host, 0, AREA_BYTES);
	fake_queue_init(&q, &ram, 0, 32, true);
	q.driver_gpa = 0x400;
	q.device_gpa = 0x600;
	if (!fake_mmio_start(disk->mmio,
			     VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |
				     VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC),
			     &q, 1))
		abort();
}

/*
 * A request of a driver that errs a little: a header with the type and sector of the input, up to
 * four buffers with places and sizes of the input, writable or not as the input says.
 */
static uint16_t post(uint16_t avail, const uint8_t *data)
{
	uint8_t *low = ram.ranges[0].host, *header = low + 0x1000 + avail % 32 * 16;
	unsigned int count = 1 + data[1] % 5, first = avail * 6 % 24;

	store_le32(header, data[0] & 0x80 ? load_le32(data) : data[0] % 16);
	store_le64(header + 8, data[2] & 0x80 ? load_le64(data + 2) : data[2] * 4u);
	fake_descriptor(&ram, 0, first, 0x1000 + avail % 32 * 16, 16, count ? VRING_DESC_F_NEXT : 0,
			(uint16_t)(first + 1));
	for (unsigned int i = 1; i <= count; i++) {
		uint8_t how = data[2 + i];
		uint32_t bytes = i == count ? 1 : how & 0x40 ? how : (how & 7) * 512u;

		fake_descriptor(
			&ram, 0, first + i, 0x2000 + 0x1000 * i + (how & 0x20 ? 7 : 0), bytes,
			(how & 0x80 ? 0 : VRING_DESC_F_WRITE) | (i < count ? VRING_DESC_F_NEXT : 0),
			(uint16_t)(first + i + 1));
	}
	store_le16(low + 0x404 + avail % 32 * 2, (uint16_t)first);
	avail++;
	__atomic_store_n((uint16_t *)(low + 0x402), avail, __ATOMIC_RELEASE);
	return avail;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct disk disks[2];
	struct disk *disk;
	uint16_t avail = 0;

	if (!bytes)
		return 0;
	if (!ram.range_count) {
		fake_ram_init(&ram);
		create(&disks[0], false);
		create(&disks[1], true);
	}
	disk = &disks[data[0] & 1];
	start(disk);
	for (size_t at = 1; at + 12 <= bytes && at < 100 * 12; at += 12) {
		const uint8_t *step = data + at;

		switch (step[0] % 8) {
		case 0:
			kick(disk);
			break;
		case 1:
			memcpy(ram.ranges[0].host + load_le16(step + 1) % (AREA_BYTES - 8),
			       step + 3, 8);
			break;
		case 2: /* in flight, now and then */
			fake_write(disk->mmio, step[1] & 0xfc, 4, load_le32(step + 2));
			break;
		default:
			avail = post(avail, step + 1);
			break;
		}
	}
	kick(disk);
	return 0;
}
