/* SPDX-License-Identifier: Apache-2.0 */
/* pci: one PCI bus without bridges, and the configuration space of the functions on it (PCI Local
 * Bus 3.0 chapter 6). */
#include "devices/pci.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

#define SLOT_SHIFT (PCI_ECAM_FUNCTION_SHIFT + 3)

/* The vendor and device a generic host bridge goes by. */
#define BRIDGE_VENDOR 0x1b36
#define BRIDGE_DEVICE 0x0008
#define BRIDGE_CLASS  0x060000

/* Lock: device.lock, around each access to the window; then the function's. */
struct pci_host {
	struct device device;
	struct pci_function bridge;
	struct pci_function *functions[PCI_SLOTS];
};

/* ---- Functions ---- */

void pci_function_init(struct pci_function *function, const struct device_ops *ops,
		       const struct pci_identity *identity)
{
	uint8_t *config = function->config;

	device_init(&function->device, ops);
	store_le16(config + PCI_VENDOR_ID, identity->vendor);
	store_le16(config + PCI_DEVICE_ID, identity->device);
	store_le32(config + PCI_CLASS_REVISION, identity->class_code << 8 | identity->revision);
	store_le16(config + PCI_SUBSYSTEM_VENDOR_ID, identity->subsystem_vendor);
	store_le16(config + PCI_SUBSYSTEM_ID, identity->subsystem);
	store_le16(function->writable + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY |
							     PCI_COMMAND_MASTER |
							     PCI_COMMAND_INTX_DISABLE);
	function->writable[PCI_CACHE_LINE_SIZE] = 0xff;
	function->writable[PCI_INTERRUPT_LINE] = 0xff;
	function->capability_end = PCI_STD_HEADER_SIZEOF;
}

/* What a BAR's register reads as: its address, or while it is sized the bits that could change. */
static void show_bar(struct pci_function *function, unsigned int index, const struct pci_bar *bar,
		     bool high)
{
	bool sizing = function->bar_sizing & 1u << index;
	uint64_t value = sizing ? ~(bar->bytes - 1) : bar->address;

	if (bar->port)
		value |= PCI_BASE_ADDRESS_SPACE_IO;
	else
		value |= PCI_BASE_ADDRESS_MEM_TYPE_64;
	store_le32(function->config + PCI_BASE_ADDRESS_0 + 4 * (size_t)index,
		   (uint32_t)(high ? value >> 32 : value));
}

/* The BAR a register belongs to; *high where it is its upper half. NULL where there is none. */
static const struct pci_bar *bar_of(const struct pci_function *function, unsigned int index,
				    bool *high)
{
	*high = false;
	if (function->bars[index].bytes)
		return &function->bars[index];
	if (!index || !function->bars[index - 1].bytes || function->bars[index - 1].port)
		return NULL;
	*high = true;
	return &function->bars[index - 1];
}

/* PCI 3.0 section 6.2.5.1: all ones ask for the size. Any other value would move it: it stays. */
static void write_bar(struct pci_function *function, unsigned int index, uint32_t value)
{
	bool high;
	const struct pci_bar *bar = bar_of(function, index, &high);

	if (!bar)
		return;
	function->bar_sizing &= (uint8_t) ~(1u << index);
	if (value == UINT32_MAX)
		function->bar_sizing |= (uint8_t)(1u << index);
	show_bar(function, index, bar, high);
}

void pci_function_set_bar(struct pci_function *function, unsigned int index,
			  const struct pci_bar *bar)
{
	function->bars[index] = *bar;
	show_bar(function, index, bar, false);
	if (!bar->port)
		show_bar(function, index + 1, bar, true);
}

uint32_t pci_function_add_capability(struct pci_function *function, uint8_t id, const void *data,
				     uint32_t bytes)
{
	uint32_t at = function->capability_end;
	uint8_t *config = function->config;

	memcpy(config + at, data, bytes);
	config[at + PCI_CAP_LIST_ID] = id;
	config[at + PCI_CAP_LIST_NEXT] = 0;
	if (function->capability_last)
		config[function->capability_last + PCI_CAP_LIST_NEXT] = (uint8_t)at;
	else
		config[PCI_CAPABILITY_LIST] = (uint8_t)at;
	config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	function->capability_last = (uint16_t)at;
	function->capability_end = (uint16_t)((at + bytes + 3) & ~3u);
	return at;
}

void pci_function_reset(struct pci_function *function)
{
	function->bar_sizing = 0;
	for (unsigned int i = 0; i < PCI_BARS; i++)
		write_bar(function, i, 0);
	store_le16(function->config + PCI_COMMAND, 0);
}

static bool is_bar(uint64_t offset)
{
	return offset >= PCI_BASE_ADDRESS_0 && offset < PCI_BASE_ADDRESS_0 + 4 * PCI_BARS;
}

static void config_write(struct pci_function *function, uint64_t offset, uint32_t size,
			 uint64_t value)
{
	if (size > 4 || offset % size || !num_within(offset, size, PCI_CONFIG_BYTES))
		return;
	if (is_bar(offset)) {
		if (size == 4)
			write_bar(function, (uint32_t)(offset - PCI_BASE_ADDRESS_0) / 4,
				  (uint32_t)value);
		return;
	}
	for (uint32_t i = 0; i < size; i++) {
		uint8_t mask = function->writable[offset + i];
		uint8_t *byte = &function->config[offset + i];

		*byte = (uint8_t)((*byte & ~mask) | (value >> 8 * i & mask));
	}
	if (function->config_written)
		function->config_written(function, (uint32_t)offset, size);
}

/* A conventional function ends after 256 bytes: ones beyond say so, and keep a driver from looking
 * for extended capabilities there. */
static void config_read(struct pci_function *function, uint64_t offset, uint32_t size,
			uint64_t *value)
{
	if (size > 4 || offset % size || !num_within(offset, size, PCI_CONFIG_BYTES))
		return;
	if (function->config_reading)
		function->config_reading(function, (uint32_t)offset, size);
	*value = 0;
	for (uint32_t i = 0; i < size; i++)
		*value |= (uint64_t)function->config[offset + i] << 8 * i;
}

/* ---- The host bridge ---- */

/* Function 0 of the slot an offset in the window belongs to; others there are none. */
static struct pci_function *find(struct device *device, uint64_t offset)
{
	struct pci_host *host = (struct pci_host *)device;

	if (offset >> PCI_ECAM_FUNCTION_SHIFT & 7)
		return NULL;
	return host->functions[offset >> SLOT_SHIFT & (PCI_SLOTS - 1)];
}

static void host_read(struct device *device, uint64_t offset, uint32_t size, uint64_t *value)
{
	struct pci_function *function = find(device, offset);

	if (!function)
		return;
	pthread_mutex_lock(&function->device.lock);
	config_read(function, offset % (1u << PCI_ECAM_FUNCTION_SHIFT), size, value);
	pthread_mutex_unlock(&function->device.lock);
}

static void host_write(struct device *device, uint64_t offset, uint32_t size, uint64_t value)
{
	struct pci_function *function = find(device, offset);

	if (!function)
		return;
	pthread_mutex_lock(&function->device.lock);
	config_write(function, offset % (1u << PCI_ECAM_FUNCTION_SHIFT), size, value);
	pthread_mutex_unlock(&function->device.lock);
}

static void host_reset(struct device *device)
{
	pci_function_reset(&((struct pci_host *)device)->bridge);
}

static void host_destroy(struct device *device)
{
	struct pci_host *host = (struct pci_host *)device;

	device_fini(&host->bridge.device);
	device_fini(device);
	free(host);
}

static const struct device_ops host_ops = {
	.name = "pci",
	.read = host_read,
	.write = host_write,
	.reset = host_reset,
	.destroy = host_destroy,
};

struct device *pci_host_create(void)
{
	static const struct pci_identity identity = {
		.vendor = BRIDGE_VENDOR,
		.device = BRIDGE_DEVICE,
		.subsystem_vendor = BRIDGE_VENDOR,
		.class_code = BRIDGE_CLASS,
	};
	struct pci_host *host = calloc(1, sizeof(*host));

	if (!host)
		return NULL;
	device_init(&host->device, &host_ops);
	pci_function_init(&host->bridge, &host_ops, &identity); /* it has no window of its own */
	host->functions[0] = &host->bridge;
	return &host->device;
}

int pci_host_add(struct device *device, unsigned int slot, struct pci_function *function,
		 struct error *error)
{
	struct pci_host *host = (struct pci_host *)device;

	if (slot >= PCI_SLOTS)
		return error_set(error, EINVAL, "PCI slot %u: there are %d", slot, PCI_SLOTS);
	if (host->functions[slot])
		return error_set(error, EBUSY, "PCI slot %u is taken", slot);
	host->functions[slot] = function;
	return 0;
}
