/* SPDX-License-Identifier: Apache-2.0 */
/* guest: a fake guest for device tests: a little RAM, the driver's side of a virtqueue, and wiring
 * that remembers. */
#ifndef TESTS_FAKE_GUEST_H
#define TESTS_FAKE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/device.h"
#include "devices/virtio.h"
#include "mem/ram.h"

/* Two ranges with a hole between them, as a machine with more than 3 GiB has. */
#define FAKE_LOW_BYTES  UINT64_C(0x200000)
#define FAKE_HIGH_GPA   UINT64_C(0x100000000)
#define FAKE_HIGH_BYTES UINT64_C(0x10000)

void fake_ram_init(struct ram *ram);
void fake_ram_fini(struct ram *ram);

/* The driver's side of a split virtqueue (virtio 1.3 section 2.7), rings one after the other from
 * gpa on. */
struct fake_queue {
	const struct ram *ram;
	uint16_t size;
	uint64_t descriptors_gpa, driver_gpa, device_gpa;
	bool event_index;
	uint16_t next_descriptor, avail, used_seen, kicked;
};

struct fake_buffer {
	uint64_t gpa;
	uint32_t bytes;
	bool writable;
};

#define FAKE_QUEUE_BYTES 0x4000

void fake_queue_init(struct fake_queue *q, const struct ram *ram, uint64_t gpa, uint16_t size,
		     bool event_index);
/* Writes one descriptor as it is told to, valid or not. */
void fake_descriptor(const struct ram *ram, uint64_t table_gpa, unsigned int index, uint64_t gpa,
		     uint32_t bytes, uint16_t flags, uint16_t next);
/* Makes a chain of buffers available; its head. Descriptors are taken round and round. */
uint16_t fake_queue_add(struct fake_queue *q, const struct fake_buffer *buffers,
			unsigned int count);
/* The same through an indirect table at table_gpa. */
uint16_t fake_queue_add_indirect(struct fake_queue *q, uint64_t table_gpa,
				 const struct fake_buffer *buffers, unsigned int count);
/* Makes a head available, whatever it is. */
void fake_queue_offer(struct fake_queue *q, uint16_t head);
/* Whether the device wants a kick for what was added since the last call. */
bool fake_queue_kick_wanted(struct fake_queue *q);
/* Takes the next used element; false where there is none. */
bool fake_queue_used(struct fake_queue *q, uint32_t *head, uint32_t *bytes);
/* Ask for interrupts, or not. */
void fake_queue_interrupts(struct fake_queue *q, bool on);

/* Wiring that remembers. */
struct fake_wires {
	unsigned int interrupts[80];
	struct {
		uint64_t address;
		uint32_t data;
		unsigned int count;
	} routes[80];
	unsigned int kicks[VIRTIO_QUEUES_MAX];
	unsigned int kicks_all, interrupts_all;
};

void fake_wires_init(struct fake_wires *wires, struct virtio_wiring *wiring);
/* Does what the loop would: virtio_kick() for every queue that was kicked, until none is. */
void fake_wires_run(struct fake_wires *wires, struct virtio *virtio);

/* Accesses as the bus makes them, lock included. */
uint64_t fake_read(struct device *device, uint64_t offset, uint32_t size);
void fake_write(struct device *device, uint64_t offset, uint32_t size, uint64_t value);

/* Brings a virtio-mmio device to DRIVER_OK with the features and queues given; false where it
 * refuses. */
bool fake_mmio_start(struct device *mmio, uint64_t features, struct fake_queue *queues,
		     unsigned int count);

#endif
