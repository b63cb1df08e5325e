/* SPDX-License-Identifier: Apache-2.0 */
/* driver: a hostile virtio driver for fuzz targets. */
#include "tests/fake/driver.h"

#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "devices/virtio_mmio.h"

#define STEP_BYTES 8
#define STEPS_MAX  200
#define REGISTERS  0x60 /* and the beginning of the configuration space */

void fake_driver_init(struct fake_driver *driver, unsigned int loop_entries)
{
	if (!driver->ram.range_count)
		fake_ram_init(&driver->ram);
	memset(driver->ram.ranges[0].host, 0, FAKE_DRIVER_AREA_BYTES);
	fake_wires_init(&driver->wires, &driver->wiring);
	driver->loop = NULL;
	if (loop_entries && loop_create(&driver->loop, loop_entries, NULL))
		abort();
}

void fake_driver_attach(struct fake_driver *driver, struct virtio *virtio)
{
	driver->virtio = virtio;
	driver->mmio = virtio ? virtio_mmio_create(virtio, &driver->wiring) : NULL;
	if (!driver->mmio)
		abort();
}

void fake_driver_start(struct fake_driver *driver, unsigned int queues, uint64_t features,
		       uint8_t how)
{
	struct fake_queue rings[VIRTIO_QUEUES_MAX];

	for (unsigned int i = 0; i < queues; i++)
		rings[i] = (struct fake_queue){
			.ram = &driver->ram,
			.size = FAKE_DRIVER_RING_SIZE,
			.descriptors_gpa = FAKE_DRIVER_QUEUE_GPA(i),
			.driver_gpa = FAKE_DRIVER_QUEUE_GPA(i) + 0x400,
			.device_gpa = FAKE_DRIVER_QUEUE_GPA(i) + 0x600,
		};
	features |= VIRTIO_FEATURE(VIRTIO_F_VERSION_1);
	features |= how & 1 ? VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) : 0;
	features |= how & 2 ? VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) : 0;
	fake_mmio_start(driver->mmio, features, rings, queues);
}

void fake_driver_fini(struct fake_driver *driver)
{
	device_destroy(driver->mmio);
	loop_destroy(driver->loop);
}

void fake_driver_offer(struct fake_driver *driver, unsigned int queue, uint64_t gpa, uint32_t bytes,
		       uint16_t flags)
{
	uint8_t *area = driver->ram.ranges[0].host + FAKE_DRIVER_QUEUE_GPA(queue) + 0x400;
	uint16_t index = load_le16(area + 2), head = index % FAKE_DRIVER_RING_SIZE;

	fake_descriptor(&driver->ram, FAKE_DRIVER_QUEUE_GPA(queue), head, gpa, bytes, flags,
			(head + 1) % FAKE_DRIVER_RING_SIZE);
	store_le16(area + 4 + 2 * head, head);
	store_le16(area + 2, (uint16_t)(index + 1));
	virtio_kick(driver->virtio, queue);
}

void fake_driver_step(struct fake_driver *driver, unsigned int kind, const uint8_t *data)
{
	uint16_t offset = load_le16(data + 2);

	switch (kind) {
	case 0:
		fake_write(driver->mmio, offset % REGISTERS * 4, 4, load_le32(data + 4));
		break;
	case 1:
		/* One more than there are. */
		virtio_kick(driver->virtio, data[1] % (driver->virtio->queue_count + 1u));
		break;
	default:
		memcpy(driver->ram.ranges[0].host + num_min(offset, FAKE_DRIVER_AREA_BYTES - 4),
		       data + 4, 4);
		break;
	}
}

void fake_driver_run(const uint8_t *data, size_t bytes,
		     void (*step)(void *opaque, const uint8_t *data), void *opaque)
{
	for (size_t i = 0; i < STEPS_MAX && 1 + (i + 1) * STEP_BYTES <= bytes; i++)
		step(opaque, data + 1 + i * STEP_BYTES);
}
