/* SPDX-License-Identifier: Apache-2.0 */
/* device: finds virtio devices on either transport and drives them as a good driver would, or with
 * what a bad one wants to write. */
#ifndef TESTS_GUEST_HOSTILE_DEVICE_H
#define TESTS_GUEST_HOSTILE_DEVICE_H

#include "machine.h"

#define DEVICES_MAX    8
#define QUEUES_MAX     80
#define QUEUE_SIZE_MAX 256
/* Each device has this much RAM of its own, from 2 MiB on: rings in the first, buffers in the
 * rest. */
#define ARENA_BYTES    (2 * MIB)
#define ARENA_RINGS    MIB
/* Behind the rings, indirect tables: beside what a device is told to write, for what a disk gives
 * back, shifted by some bytes, would be descriptors of the program's own memory. */
#define ARENA_TABLES   0xf0000
#define TABLES_MAX     0xf00

#define ID_NET   1
#define ID_BLK   2
#define ID_HVC   3
#define ID_RNG   4
#define ID_VSOCK 19

#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER      2
#define STATUS_DRIVER_OK   4
#define STATUS_FEATURES_OK 8
#define STATUS_NEEDS_RESET 64

#define FEATURE_INDIRECT    (UINT64_C(1) << 28)
#define FEATURE_EVENT_INDEX (UINT64_C(1) << 29)
#define FEATURE_VERSION_1   (UINT64_C(1) << 32)

#define DESC_NEXT     1
#define DESC_WRITE    2
#define DESC_INDIRECT 4

struct descriptor {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags, next;
};

struct used_element {
	uint32_t head, bytes;
};

/* The driver's side of a queue (virtio 1.3 section 2.7). */
struct ring {
	uint16_t size;
	uint16_t next; /* descriptor to take */
	uint16_t seen; /* of the used ring */
	volatile struct descriptor *descriptors;
	volatile uint16_t *available; /* flags, index, ring, used event */
	volatile uint16_t *used;      /* flags, index, elements, available event */
};

struct device {
	bool pci;
	uint16_t id;
	uint64_t window, window_bytes; /* all registers */
	uint64_t common;               /* PCI: the common configuration */
	uint64_t config;               /* the device's own, read for what a driver needs */
	uint64_t ecam;
	uint64_t msix_table, msix_bytes;
	uint16_t notify_port; /* 0: in memory */
	uint64_t notify;
	uint32_t notify_stride;
	unsigned int queues;
	uint64_t arena;
	struct ring rings[QUEUES_MAX];
	uint64_t sessions, requests, broken; /* counted by attack */
};

extern struct device devices[DEVICES_MAX];
extern unsigned int device_count;

void find_devices(void);
const char *device_name(const struct device *device);

void set_status(const struct device *device, uint8_t status);
uint8_t get_status(const struct device *device);
/* False where the device does not say that it is done. */
bool reset(const struct device *device);
uint64_t get_features(const struct device *device);
void set_features(const struct device *device, uint64_t features);
void select_queue(const struct device *device, unsigned int queue);
uint16_t queue_size_max(const struct device *device); /* of the selected one */
void set_queue(const struct device *device, const struct ring *ring);
void enable_queue(const struct device *device, uint16_t on);
/* Of the selected one, what there is to read: its size on PCI, whether it is ready on MMIO. */
uint32_t queue_state(const struct device *device);
void kick(const struct device *device, unsigned int queue);

/* From a reset to DRIVER_OK with every queue of a size in rings at its usual place. */
bool start(struct device *device, uint64_t features, uint16_t size);
/* Rings at their usual place, empty. */
void lay_ring(struct device *device, unsigned int queue, uint16_t size);

/* Makes a chain of descriptors that lie one after the other, from head on, available. */
void offer(struct ring *ring, uint16_t head);
/* Waits for one more used element. False where the device does not give one for a long time. */
bool wait_used(struct ring *ring, struct used_element *element);

#endif
