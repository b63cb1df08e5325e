/* SPDX-License-Identifier: Apache-2.0 */
/* pci: configuration space of the functions of one PCI bus without bridges, as memory of the guest
 * (PCI Local Bus 3.0 chapter 6, PCI Express 4.0 sections 7.2.2 and 7.8.5). */
#include "devices/pci.h"

#include <linux/pci_regs.h>
#include <stddef.h>
#include <string.h>

#include "base/num.h"

#define EA_HEAD_BYTES  4
#define EA_ENTRY_BYTES 12
#define EA_ENTRY_WORDS 2 /* that follow the first */
#define EA_BEI_SHIFT   4
#define EA_TYPE_SHIFT  8
#define EA_NOTHING     (0xffu << 16) /* there is no secondary property */

/* Intel's P2SB, which Linux asks for on any machine. */
#define FUNCTION_P2SB (31 * 8 + 1)

uint8_t *pci_ecam_page(uint8_t *ecam, unsigned int slot)
{
	return ecam + (size_t)slot * 8 * PCI_ECAM_PAGE_BYTES;
}

/* Ones where somebody looks: function 0 tells whether the others of its slot are there. Zeroes in
 * those others are no function either, to Linux. */
void pci_ecam_init(uint8_t *ecam)
{
	for (unsigned int i = 0; i < PCI_FUNCTIONS; i++)
		if (i % 8 == 0 || i == FUNCTION_P2SB)
			memset(ecam + i * PCI_ECAM_PAGE_BYTES, 0xff, PCI_ECAM_PAGE_BYTES);
}

/*
 * A register of this memory holds what is written to it, so an operating system that sizes base
 * address registers reads ones back. Those who know Enhanced Allocation take that for "not there",
 * which is what it says. The register of the expansion ROM reads as ones from the start: its low
 * bits are not tried, and zeroes there would look like a small ROM.
 *
 * A conventional function ends after 256 bytes: ones beyond say so, and keep a driver from looking
 * for extended capabilities there.
 */
void pci_function_init(struct pci_function *function, const struct device_ops *ops,
		       const struct pci_identity *identity, uint8_t *page)
{
	device_init(&function->device, ops);
	function->config = page;
	memset(page, 0, PCI_CONFIG_BYTES);
	store_le16(page + PCI_VENDOR_ID, identity->vendor);
	store_le16(page + PCI_DEVICE_ID, identity->device);
	store_le32(page + PCI_CLASS_REVISION, identity->class_code << 8 | identity->revision);
	store_le16(page + PCI_SUBSYSTEM_VENDOR_ID, identity->subsystem_vendor);
	store_le16(page + PCI_SUBSYSTEM_ID, identity->subsystem);
	store_le32(page + PCI_ROM_ADDRESS, UINT32_MAX);
	function->capability_last = 0;
	function->capability_end = PCI_STD_HEADER_SIZEOF;
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

/* PCI Express 4.0 section 7.8.5: a head, and for each range its kind, base and last offset. */
void pci_function_add_ranges(struct pci_function *function, const struct pci_range *ranges,
			     unsigned int count)
{
	uint8_t capability[EA_HEAD_BYTES + PCI_EA_ENTRIES_MAX * EA_ENTRY_BYTES] = { 0 };
	uint8_t *entry = capability + EA_HEAD_BYTES;

	capability[PCI_EA_NUM_ENT] = (uint8_t)count;
	for (unsigned int i = 0; i < count; i++, entry += EA_ENTRY_BYTES) {
		uint32_t type = ranges[i].port ? PCI_EA_P_IO : PCI_EA_P_MEM;

		store_le32(entry, PCI_EA_ENABLE | EA_NOTHING | type << EA_TYPE_SHIFT |
					  (uint32_t)ranges[i].number << EA_BEI_SHIFT |
					  EA_ENTRY_WORDS);
		store_le32(entry + PCI_EA_BASE, ranges[i].address);
		store_le32(entry + PCI_EA_MAX_OFFSET, ranges[i].bytes - 4);
	}
	pci_function_add_capability(function, PCI_CAP_EA, capability,
				    EA_HEAD_BYTES + count * EA_ENTRY_BYTES);
}

void pci_function_done(struct pci_function *function)
{
	memcpy(function->initial, function->config, PCI_CONFIG_BYTES);
}

void pci_function_reset(struct pci_function *function)
{
	memcpy(function->config, function->initial, PCI_CONFIG_BYTES);
}
