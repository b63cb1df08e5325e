/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_virtio_pci: configuration space, registers, MSI-X and rings of an entropy device on a PCI
 * bus. */
#include <linux/virtio_pci.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "devices/rng.h"
#include "devices/virtio_pci.h"
#include "tests/fake/driver.h"

#define AREA_BYTES 0x8000

struct machine_parts {
	struct ram ram;
	uint8_t config[PCI_ECAM_PAGE_BYTES];
	struct pci_function *function;
	struct virtio *rng;
};

/* To DRIVER_OK with a ring in the first page, as a driver would. */
static void start(struct machine_parts *parts, bool event_index)
{
	static const struct {
		uint8_t offset, size;
		uint32_t value;
	} writes[] = {
		{ VIRTIO_PCI_COMMON_STATUS, 1, 3 },       { VIRTIO_PCI_COMMON_GFSELECT, 4, 1 },
		{ VIRTIO_PCI_COMMON_GF, 4, 1 },           { VIRTIO_PCI_COMMON_GFSELECT, 4, 0 },
		{ VIRTIO_PCI_COMMON_GF, 4, 0 },           { VIRTIO_PCI_COMMON_STATUS, 1, 0xb },
		{ VIRTIO_PCI_COMMON_MSIX, 2, 0 },         { VIRTIO_PCI_COMMON_Q_SIZE, 2, 8 },
		{ VIRTIO_PCI_COMMON_Q_MSIX, 2, 1 },       { VIRTIO_PCI_COMMON_Q_AVAILLO, 4, 0x400 },
		{ VIRTIO_PCI_COMMON_Q_USEDLO, 4, 0x600 }, { VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1 },
		{ VIRTIO_PCI_COMMON_STATUS, 1, 0xf },
	};

	for (size_t i = 0; i < ARRAY_SIZE(writes); i++) {
		uint32_t value = writes[i].value;

		if (i == 4)
			value = event_index ? 3u << 28 : 1u << 28;
		fake_write(&parts->function->device, writes[i].offset, writes[i].size, value);
	}
}

/* Each step is 8 bytes: what, a size, an offset, a value. */
static void step(void *opaque, const uint8_t *data)
{
	struct machine_parts *parts = opaque;
	struct device *bar = &parts->function->device;
	uint32_t size = 1u << data[1] % 4;
	uint16_t offset = load_le16(data + 2);
	uint32_t value = load_le32(data + 4);
	uint8_t *config = parts->config + num_min(offset % 0x180, 0x180 - size);

	switch (data[0] % 10) {
	case 0:
		fake_write(bar, num_min(offset, VIRTIO_PCI_BYTES - size), size, value);
		break;
	case 1:
		fake_read(bar, num_min(offset, VIRTIO_PCI_BYTES - size), size);
		break;
	case 2: /* a field that there is */
		fake_write(bar, num_min(offset % 64, 64 - size), size, value);
		break;
	case 3:
		fake_write(bar, VIRTIO_PCI_AT_MSIX_TABLE + num_min(offset % 40, 40 - size), size,
			   value);
		break;
	case 4: /* configuration space is the guest's own memory */
		memcpy(config, data + 4, num_min(size, 4));
		break;
	case 5:
		parts->function->device.ops->reset(bar);
		break;
	case 6:
		virtio_kick(parts->rng, offset % 3);
		break;
	default:
		memcpy(parts->ram.ranges[0].host + num_min(offset, AREA_BYTES - 4), data + 4, 4);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct machine_parts parts;
	const struct log log = { 0 };
	struct virtio_pci_setup setup = { .bar_gpa = UINT64_C(0xd0000000) };
	struct fake_wires wires;

	if (!bytes)
		return 0;
	if (!parts.ram.range_count)
		fake_ram_init(&parts.ram);
	memset(parts.ram.ranges[0].host, 0, AREA_BYTES);
	fake_wires_init(&wires, &setup.wiring);
	setup.notify_port = data[0] & 4 ? 0xc000 : 0;
	memset(parts.config, 0xff, sizeof(parts.config));
	setup.config_page = parts.config;
	parts.rng = rng_create(&parts.ram, &log);
	parts.function = parts.rng ? virtio_pci_create(parts.rng, &setup) : NULL;
	if (!parts.function)
		abort();
	if (data[0] & 1)
		start(&parts, data[0] & 2);
	fake_driver_run(data, bytes, step, &parts);
	device_destroy(&parts.function->device);
	return 0;
}
