/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_pci: the PCI transport, modern devices only, interrupts by MSI-X only (virtio 1.3 section
 * 4.1). */
#ifndef DEVICES_VIRTIO_PCI_H
#define DEVICES_VIRTIO_PCI_H

#include "devices/msix.h"
#include "devices/pci.h"
#include "devices/virtio.h"

/* Range 0, memory: one page for each structure, so that each can be mapped or trapped apart. */
#define VIRTIO_PCI_BYTES           0x8000
#define VIRTIO_PCI_AT_COMMON       0x0000
#define VIRTIO_PCI_AT_ISR          0x1000
#define VIRTIO_PCI_AT_DEVICE       0x2000
#define VIRTIO_PCI_AT_NOTIFY       0x3000
#define VIRTIO_PCI_AT_MSIX_TABLE   0x4000
#define VIRTIO_PCI_AT_MSIX_PENDING 0x5000
#define VIRTIO_PCI_NOTIFY_STRIDE   4 /* each queue has a doorbell of its own */
/* Range 2, ports, where the doorbells are there instead. */
#define VIRTIO_PCI_NOTIFY_PORTS    512

struct virtio_pci_setup {
	uint8_t *config_page; /* of its slot in the ECAM window; outlives the function */
	uint64_t bar_gpa; /* below 4 GiB, a multiple of VIRTIO_PCI_BYTES: where it is on the bus */
	uint16_t notify_port; /* a multiple of VIRTIO_PCI_NOTIFY_PORTS, or 0: doorbells in memory */
	struct virtio_wiring wiring;
};

/*
 * Fills its configuration space; its .device is for the memory bus at bar_gpa. Owns virtio from now
 * on (on failure, NULL where memory is short, it does not). Vectors: queue_count + 1.
 */
struct pci_function *virtio_pci_create(struct virtio *virtio, const struct virtio_pci_setup *setup);

/* A doorbell's address is absolute and its own, so nothing is matched. */
void virtio_pci_doorbell(const struct pci_function *function, unsigned int queue,
			 struct virtio_doorbell *doorbell);

/* Where writes may wait for the next access (see virtio_range); how many. */
#define VIRTIO_PCI_DEFERRED_MAX (2 + MSIX_VECTORS_MAX)
unsigned int virtio_pci_deferred(const struct pci_function *function,
				 struct virtio_range ranges[VIRTIO_PCI_DEFERRED_MAX]);

#endif
