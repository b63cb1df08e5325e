/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_mmio: version 2 of the memory-mapped transport (virtio 1.3 section 4.2). */
#ifndef DEVICES_VIRTIO_MMIO_H
#define DEVICES_VIRTIO_MMIO_H

#include "devices/device.h"
#include "devices/virtio.h"

#define VIRTIO_MMIO_BYTES 0x1000 /* a page each; configuration space from 0x100 on */

/*
 * A device for the memory bus that owns virtio from now on (on failure, NULL where memory is short,
 * it does not). Its interrupts are wiring->interrupt(opaque, 0): an edge, which the driver answers
 * by reading and acknowledging InterruptStatus.
 */
struct device *virtio_mmio_create(struct virtio *virtio, const struct virtio_wiring *wiring);

/* QueueNotify with the queue's number as the value to match; address is an offset. */
void virtio_mmio_doorbell(unsigned int queue, struct virtio_doorbell *doorbell);

/* Where writes may wait for the next access (see virtio_range). */
#define VIRTIO_MMIO_DEFERRED 4
void virtio_mmio_deferred(struct virtio_range ranges[VIRTIO_MMIO_DEFERRED]);

#endif
