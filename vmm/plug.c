/* SPDX-License-Identifier: Apache-2.0 */
/* plug: gives a device its address and its interrupt line. */
#include "vmm/plug.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/kvm.h"
#include "vmm/plug_virtio.h"

void plug_init(struct plug *plug)
{
	memset(plug, 0, sizeof(*plug));
	plug->vm_fd = -1;
	bus_init(&plug->pio, "pio");
	bus_init(&plug->mmio, "mmio");
}

void plug_fini(struct plug *plug)
{
	while (plug->device_count)
		device_destroy(plug->devices[--plug->device_count]);
	while (plug->virtio_count)
		plug_virtio_free(plug->virtio[--plug->virtio_count]);
	if (plug->ecam)
		munmap(plug->ecam, LAYOUT_PCI_ECAM_MAPPED);
}

static void set_irq(void *opaque, unsigned int gsi, bool level)
{
	const struct plug *plug = opaque;

	/* Cannot fail for a pin of the in-kernel interrupt controller. */
	kvm_irq_line(plug->vm_fd, gsi, level);
}

struct irq_line plug_irq(struct plug *plug, uint32_t gsi)
{
	return (struct irq_line){ .set = set_irq, .opaque = plug, .gsi = gsi };
}

int plug_own(struct plug *plug, struct device *device, struct error *error)
{
	if (!device)
		return error_set(error, ENOMEM, "no memory for a device");
	if (plug->device_count == PLUG_DEVICES_MAX) {
		device_destroy(device);
		return error_set(error, ENOSPC, "more than %d devices", PLUG_DEVICES_MAX);
	}
	plug->devices[plug->device_count++] = device;
	return 0;
}

int plug_ports(struct plug *plug, struct device *device, uint16_t port, uint32_t count,
	       struct error *error)
{
	int ret = plug_own(plug, device, error);

	return ret ? ret : bus_add(&plug->pio, port, count, device, error);
}
