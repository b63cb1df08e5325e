/* SPDX-License-Identifier: Apache-2.0 */
/* plug_virtio: connects a virtio device to KVM and to the I/O loop: doorbells in, interrupts out.
 */
#ifndef VMM_PLUG_VIRTIO_H
#define VMM_PLUG_VIRTIO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "devices/msix.h"
#include "devices/virtio.h"
#include "vmm/plug.h"

/* One queue's doorbell: KVM signals the eventfd, the loop watches it. Loop thread. */
struct plug_doorbell {
	struct plug_virtio *owner;
	uint16_t queue;
	uint16_t failures; /* of the watch, one behind the other */
	int fd;
	struct loop_request watch;
};

/* Where a vector of MSI-X goes. */
struct plug_message {
	uint64_t address;
	uint32_t data;
};

/* Owner: the plug; outlives device and loop run. What the setup fills is read-only afterwards. */
struct plug_virtio {
	struct plug *plug;
	struct virtio *virtio;
	uint32_t gsi;                                   /* MMIO */
	struct plug_message messages[MSIX_VECTORS_MAX]; /* PCI; under the device's lock */
	uint32_t doorbell_count;
	struct plug_doorbell *doorbells;
};

/*
 * Lets the loop listen: from now on each signal of doorbell->fd is a virtio_kick(), until the loop
 * ends. A watch that ends before that, with an error or without, is begun again; where it does not
 * last even so, the device fails (virtio_fail()). Of the loop's functions' errors.
 */
int plug_doorbell_listen(struct plug_doorbell *doorbell);

/* NULL is fine. The device is gone and the loop does not run. */
void plug_virtio_free(struct plug_virtio *plugged);

#endif
