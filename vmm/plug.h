/* SPDX-License-Identifier: Apache-2.0 */
/* plug: gives a device its address and its interrupt line. */
#ifndef VMM_PLUG_H
#define VMM_PLUG_H

#include <stdint.h>

#include "base/error.h"
#include "devices/bus.h"
#include "devices/irq.h"

#define PLUG_DEVICES_MAX 32

/* Owner of all devices of a VM. Filled by one thread before the vCPUs run. */
struct plug {
	int vm_fd;
	struct bus pio;
	struct bus mmio;
	uint32_t device_count;
	struct device *devices[PLUG_DEVICES_MAX];
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
/* plug_own(), and its place among the I/O ports. */
int plug_ports(struct plug *plug, struct device *device, uint16_t port, uint32_t count,
	       struct error *error);

#endif
