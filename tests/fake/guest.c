/* SPDX-License-Identifier: Apache-2.0 */
/* guest: a fake guest for device tests. */
#include "tests/fake/guest.h"

#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

void fake_ram_init(struct ram *ram)
{
	memset(ram, 0, sizeof(*ram));
	ram->bytes = FAKE_LOW_BYTES + FAKE_HIGH_BYTES;
	ram->backing = BACKING_4K;
	ram->range_count = 2;
	ram->ranges[0] = (struct ram_range){ .gpa = 0, .bytes = FAKE_LOW_BYTES };
	ram->ranges[1] = (struct ram_range){ .gpa = FAKE_HIGH_GPA, .bytes = FAKE_HIGH_BYTES };
	for (unsigned int i = 0; i < 2; i++) {
		/* Allocated apart, so that a sanitizer sees an access beyond either end. */
		ram->ranges[i].host = aligned_alloc(4096, ram->ranges[i].bytes);
		if (!ram->ranges[i].host)
			abort();
		memset(ram->ranges[i].host, 0, ram->ranges[i].bytes);
	}
}

void fake_ram_fini(struct ram *ram)
{
	free(ram->ranges[0].host);
	free(ram->ranges[1].host);
}

static uint8_t *at(const struct ram *ram, uint64_t gpa, uint64_t bytes)
{
	uint8_t *host = ram_ptr(ram, gpa, bytes);

	if (!host)
		abort(); /* a mistake of the test */
	return host;
}

/* What both sides look at while the other runs. */
static uint16_t get16(const uint8_t *host)
{
	return __atomic_load_n((const uint16_t *)host, __ATOMIC_RELAXED);
}

static void put16(uint8_t *host, uint16_t value)
{
	__atomic_store_n((uint16_t *)host, value, __ATOMIC_RELAXED);
}

void fake_queue_init(struct fake_queue *q, const struct ram *ram, uint64_t gpa, uint16_t size,
		     bool event_index)
{
	memset(q, 0, sizeof(*q));
	memset(at(ram, gpa, FAKE_QUEUE_BYTES), 0, FAKE_QUEUE_BYTES);
	q->ram = ram;
	q->size = size;
	q->event_index = event_index;
	q->descriptors_gpa = gpa;
	q->driver_gpa = gpa + 16u * VIRTQ_SIZE_MAX;
	q->device_gpa = q->driver_gpa + 0x1000;
}

void fake_descriptor(const struct ram *ram, uint64_t table_gpa, unsigned int index, uint64_t gpa,
		     uint32_t bytes, uint16_t flags, uint16_t next)
{
	uint8_t *entry = at(ram, table_gpa + 16 * index, 16);

	store_le64(entry, gpa);
	store_le32(entry + 8, bytes);
	store_le16(entry + 12, flags);
	store_le16(entry + 14, next);
}

void fake_queue_offer(struct fake_queue *q, uint16_t head)
{
	uint8_t *area = at(q->ram, q->driver_gpa, 4 + 2 * q->size);

	store_le16(area + 4 + 2 * (q->avail % q->size), head);
	q->avail++;
	__atomic_store_n((uint16_t *)(area + 2), q->avail, __ATOMIC_RELEASE);
}

static uint16_t take_descriptor(struct fake_queue *q)
{
	return q->next_descriptor++ % q->size;
}

uint16_t fake_queue_add(struct fake_queue *q, const struct fake_buffer *buffers, unsigned int count)
{
	uint16_t head = take_descriptor(q), index = head;

	for (unsigned int i = 0; i < count; i++) {
		uint16_t next = i + 1 < count ? take_descriptor(q) : 0;
		uint16_t flags = (buffers[i].writable ? VRING_DESC_F_WRITE : 0) |
				 (i + 1 < count ? VRING_DESC_F_NEXT : 0);

		fake_descriptor(q->ram, q->descriptors_gpa, index, buffers[i].gpa, buffers[i].bytes,
				flags, next);
		index = next;
	}
	fake_queue_offer(q, head);
	return head;
}

uint16_t fake_queue_add_indirect(struct fake_queue *q, uint64_t table_gpa,
				 const struct fake_buffer *buffers, unsigned int count)
{
	uint16_t head = take_descriptor(q);

	for (unsigned int i = 0; i < count; i++) {
		uint16_t flags = (buffers[i].writable ? VRING_DESC_F_WRITE : 0) |
				 (i + 1 < count ? VRING_DESC_F_NEXT : 0);

		fake_descriptor(q->ram, table_gpa, i, buffers[i].gpa, buffers[i].bytes, flags,
				(uint16_t)(i + 1));
	}
	fake_descriptor(q->ram, q->descriptors_gpa, head, table_gpa, 16 * count,
			VRING_DESC_F_INDIRECT, 0);
	fake_queue_offer(q, head);
	return head;
}

bool fake_queue_kick_wanted(struct fake_queue *q)
{
	uint8_t *area = at(q->ram, q->device_gpa, 4 + 8 * q->size + 2);
	uint16_t before = q->kicked;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	q->kicked = q->avail;
	if (!q->event_index)
		return !(get16(area) & VRING_USED_F_NO_NOTIFY);
	return vring_need_event(get16(area + 4 + 8 * q->size), q->avail, before);
}

bool fake_queue_used(struct fake_queue *q, uint32_t *head, uint32_t *bytes)
{
	uint8_t *area = at(q->ram, q->device_gpa, 4 + 8 * q->size);
	uint8_t *entry = area + 4 + 8 * (q->used_seen % q->size);

	if (__atomic_load_n((uint16_t *)(area + 2), __ATOMIC_ACQUIRE) == q->used_seen)
		return false;
	*head = load_le32(entry);
	*bytes = load_le32(entry + 4);
	q->used_seen++;
	return true;
}

void fake_queue_interrupts(struct fake_queue *q, bool on)
{
	uint8_t *area = at(q->ram, q->driver_gpa, 4 + 2 * q->size + 2);
	uint16_t event = on ? q->used_seen : (uint16_t)(q->used_seen - 1);

	if (q->event_index)
		put16(area + 4 + 2 * q->size, event);
	else
		put16(area, on ? 0 : VRING_AVAIL_F_NO_INTERRUPT);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void wires_interrupt(void *opaque, unsigned int vector)
{
	struct fake_wires *wires = opaque;

	wires->interrupts[vector]++;
	wires->interrupts_all++;
}

static void wires_route(void *opaque, unsigned int vector, uint64_t address, uint32_t data)
{
	struct fake_wires *wires = opaque;

	wires->routes[vector].address = address;
	wires->routes[vector].data = data;
	wires->routes[vector].count++;
}

static void wires_kick(void *opaque, unsigned int queue)
{
	struct fake_wires *wires = opaque;

	wires->kicks[queue]++;
	wires->kicks_all++;
}

void fake_wires_init(struct fake_wires *wires, struct virtio_wiring *wiring)
{
	memset(wires, 0, sizeof(*wires));
	*wiring = (struct virtio_wiring){
		.interrupt = wires_interrupt,
		.route = wires_route,
		.kick = wires_kick,
		.opaque = wires,
	};
}

void fake_wires_run(struct fake_wires *wires, struct virtio *virtio)
{
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		while (wires->kicks[i]) {
			wires->kicks[i] = 0;
			if (virtio_kick(virtio, i))
				wires->kicks[i] = 1;
		}
	}
}

uint64_t fake_read(struct device *device, uint64_t offset, uint32_t size)
{
	uint64_t value = UINT64_MAX;

	pthread_mutex_lock(&device->lock);
	device->ops->read(device, offset, size, &value);
	pthread_mutex_unlock(&device->lock);
	return size == 8 ? value : value & ((UINT64_C(1) << 8 * size) - 1);
}

void fake_write(struct device *device, uint64_t offset, uint32_t size, uint64_t value)
{
	pthread_mutex_lock(&device->lock);
	device->ops->write(device, offset, size, value);
	pthread_mutex_unlock(&device->lock);
}

static void put32(struct device *device, uint64_t offset, uint64_t value)
{
	fake_write(device, offset, 4, (uint32_t)value);
}

bool fake_mmio_start(struct device *mmio, uint64_t features, struct fake_queue *queues,
		     unsigned int count)
{
	uint64_t driver = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	put32(mmio, VIRTIO_MMIO_STATUS, 0);
	put32(mmio, VIRTIO_MMIO_STATUS, driver);
	for (unsigned int i = 0; i < 2; i++) {
		put32(mmio, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
		put32(mmio, VIRTIO_MMIO_DRIVER_FEATURES, features >> 32 * i);
	}
	driver |= VIRTIO_CONFIG_S_FEATURES_OK;
	put32(mmio, VIRTIO_MMIO_STATUS, driver);
	if (fake_read(mmio, VIRTIO_MMIO_STATUS, 4) != driver)
		return false;
	for (unsigned int i = 0; i < count; i++) {
		put32(mmio, VIRTIO_MMIO_QUEUE_SEL, i);
		put32(mmio, VIRTIO_MMIO_QUEUE_NUM, queues[i].size);
		put32(mmio, VIRTIO_MMIO_QUEUE_DESC_LOW, queues[i].descriptors_gpa);
		put32(mmio, VIRTIO_MMIO_QUEUE_DESC_HIGH, queues[i].descriptors_gpa >> 32);
		put32(mmio, VIRTIO_MMIO_QUEUE_AVAIL_LOW, queues[i].driver_gpa);
		put32(mmio, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, queues[i].driver_gpa >> 32);
		put32(mmio, VIRTIO_MMIO_QUEUE_USED_LOW, queues[i].device_gpa);
		put32(mmio, VIRTIO_MMIO_QUEUE_USED_HIGH, queues[i].device_gpa >> 32);
		put32(mmio, VIRTIO_MMIO_QUEUE_READY, 1);
	}
	driver |= VIRTIO_CONFIG_S_DRIVER_OK;
	put32(mmio, VIRTIO_MMIO_STATUS, driver);
	return fake_read(mmio, VIRTIO_MMIO_STATUS, 4) == driver;
}
