/* SPDX-License-Identifier: Apache-2.0 */
/* plug: gives a device its address and its interrupt line. */
#ifndef VMM_PLUG_H
#define VMM_PLUG_H

#include <stdint.h>

#include "base/error.h"
#include "devices/bus.h"
#include "devices/irq.h"
#include "devices/virtio.h"
#include "mem/layout.h"

#define PLUG_DEVICES_MAX 64
#define PLUG_VIRTIO_MAX  24
#define PLUG_WINDOWS_MAX 80

/* Owner of all devices of a VM. Filled by one thread before the vCPUs run. */
struct plug_virtio;

struct plug {
	int vm_fd;
	struct loop *loop; /* where kicks arrive; set before a virtio device is plugged */
	struct bus pio;
	struct bus mmio;
	uint32_t device_count;
	struct device *devices[PLUG_DEVICES_MAX];
	uint32_t virtio_count;
	struct plug_virtio *virtio[PLUG_VIRTIO_MAX];
	uint8_t *ecam; /* configuration space of the PCI bus, guest memory; NULL: there is none */
	/* Ranges a guest touches that are not RAM: made ready in stage 2, too. */
	uint32_t window_count;
	struct layout_range windows[PLUG_WINDOWS_MAX];
};

void plug_init(struct plug *plug);
/* Destroys the devices, the last first. */
void plug_fini(struct plug *plug);

/* The line of a global system interrupt, to be given to a device's constructor. plug->vm_fd is set
 * by then. */
struct irq_line plug_irq(struct plug *plug, uint32_t gsi);

/* Takes a device over, also on failure; a NULL device (its constructor had no memory) is -ENOMEM.
 */
int plug_own(struct plug *plug, struct device *device, struct error *error);
/*
 * Plugs a virtio device in front of the memory-mapped transport: the next page of the window, the
 * next interrupt line, a doorbell for each queue that the loop reads. Takes virtio over, also on
 * failure (NULL is -ENOMEM). Before the loop runs.
 */
int plug_virtio_mmio(struct plug *plug, struct virtio *virtio, struct error *error);

/* The same in front of the PCI transport: the next slot of the bus, which comes with the first
 * device. */
int plug_virtio_pci(struct plug *plug, struct virtio *virtio, struct error *error);

/* The bus is complete: its configuration space becomes memory of the guest, a slot of KVM's. Before
 * stage 2 is made ready. */
int plug_close_pci(struct plug *plug, uint32_t memory_slot, struct error *error);

/* plug_own(), and its place among the I/O ports. */
int plug_ports(struct plug *plug, struct device *device, uint16_t port, uint32_t count,
	       struct error *error);

#endif
