/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hvc: a virtio console (virtio 1.3 section 5.3) with one port, Linux's hvc0, on two descriptors.
 *
 * Both directions pass through buffers of a fixed size, so that a terminal or a pipe that nobody
 * reads stops this console and nothing else: what the guest writes then waits in its queue, what is
 * typed waits in the descriptor.
 */
#ifndef DEVICES_HVC_H
#define DEVICES_HVC_H

#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"
#include "devices/virtio.h"

struct hvc_setup {
	const struct ram *ram;
	const struct log *log;
	struct loop *loop;
	int in_fd, out_fd;      /* duplicated; -1: none */
	uint16_t columns, rows; /* 0: not known */
};

/* Read at any time, relaxed. */
struct hvc_stats {
	_Atomic uint64_t in_bytes, out_bytes;
};

/*
 * For virtio_mmio_create() or virtio_pci_create(). The first read begins with the driver. The loop
 * must have ended before the device is destroyed. Errors: -ENOMEM, what duplicating a descriptor
 * says.
 */
int hvc_create(struct virtio **virtio, const struct hvc_setup *setup, struct error *error);

/* The terminal has another size. Any thread; takes the device's lock; after virtio_attach(). */
void hvc_resize(struct virtio *virtio, uint16_t columns, uint16_t rows);

/* How much of what the guest wrote is not yet with the descriptor. Any thread. */
uint32_t hvc_pending_bytes(const struct virtio *virtio);

/* Of a device that hvc_create() made. */
const struct hvc_stats *hvc_stats(const struct virtio *virtio);

#endif
