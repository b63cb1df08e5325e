/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver: a hostile virtio driver for fuzz targets, behind virtio-mmio. Its rings lie close
 * together at the bottom of RAM, so that an input's two-byte addresses reach all of them; the loop
 * never runs: what it would say is said by the target.
 *
 * An input is a byte of how the device is started and steps of 8 bytes.
 */
#ifndef TESTS_FAKE_DRIVER_H
#define TESTS_FAKE_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/loop.h"
#include "tests/fake/guest.h"

#define FAKE_DRIVER_AREA_BYTES   0x10000
#define FAKE_DRIVER_RING_SIZE    16
#define FAKE_DRIVER_QUEUE_GPA(i) (UINT64_C(0x800) * (i))
#define FAKE_DRIVER_STEPS        3 /* kinds of steps that fake_driver_step() takes */

/* Zeroed to begin with; RAM is kept from one input to the next. */
struct fake_driver {
	struct ram ram;
	struct log log; /* of nobody */
	struct loop *loop;
	struct fake_wires wires;
	struct virtio_wiring wiring;
	struct virtio *virtio;
	struct device *mmio;
};

/* RAM whose area is empty, wiring, a loop that takes so many requests (0: none): what a device's
 * constructor asks for. */
void fake_driver_init(struct fake_driver *driver, unsigned int loop_entries);
/* Puts a device behind the transport; a NULL device ends the program. */
void fake_driver_attach(struct fake_driver *driver, struct virtio *virtio);
/* To DRIVER_OK, with these features beside the event index (bit 0 of how) and indirect descriptors
 * (bit 1). */
void fake_driver_start(struct fake_driver *driver, unsigned int queues, uint64_t features,
		       uint8_t how);
/* Destroys device and loop. */
void fake_driver_fini(struct fake_driver *driver);

/* Makes a descriptor available, the queue's next one, and kicks. */
void fake_driver_offer(struct fake_driver *driver, unsigned int queue, uint64_t gpa, uint32_t bytes,
		       uint16_t flags);

/* What any device is to survive, of a kind below FAKE_DRIVER_STEPS: a register is written, a queue
 * kicked (by data[1]), four bytes of memory change. */
void fake_driver_step(struct fake_driver *driver, unsigned int kind, const uint8_t *data);

/* Calls step for each of an input's steps, up to 200. */
void fake_driver_run(const uint8_t *data, size_t bytes,
		     void (*step)(void *opaque, const uint8_t *data), void *opaque);

#endif
