/* SPDX-License-Identifier: Apache-2.0 */
/* pci: configuration space of the functions of one PCI bus without bridges, as memory of the guest
 * (PCI Local Bus 3.0 chapter 6, PCI Express 4.0 sections 7.2.2 and 7.8.5). */
#ifndef DEVICES_PCI_H
#define DEVICES_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/device.h"

#define PCI_SLOTS           32
#define PCI_ECAM_BYTES      (UINT64_C(1) << 20) /* of one bus: what MCFG describes */
#define PCI_ECAM_PAGE_BYTES (UINT64_C(1) << 12) /* a function's */
#define PCI_FUNCTIONS       256                 /* 32 slots of 8; stet has function 0 of slots */
#define PCI_CONFIG_BYTES    256
#define PCI_CAP_EA          0x14 /* Enhanced Allocation */
#define PCI_EA_ENTRIES_MAX  2

/*
 * A range the function answers in, always, at a fixed place: told by Enhanced Allocation, which
 * takes the place of a base address register of that number (that reads as zero).
 */
struct pci_range {
	uint8_t number;
	bool port; /* else memory below 4 GiB */
	uint32_t address;
	uint32_t bytes; /* a multiple of four */
};

/*
 * First member of a function. device is its window on the memory bus, with the lock that guards all
 * of it but config.
 *
 * config is plain memory of the guest, in the ECAM window: neither a read nor a write of it leaves
 * the guest. So no byte there is safe from the guest, nothing is told when it writes, and stet
 * reads again only what is the guest's to say (MSI-X enable, see msix_enabled()).
 */
struct pci_function {
	struct device device;
	uint8_t *config;
	uint16_t capability_end;
	uint16_t capability_last;
	uint8_t initial[PCI_CONFIG_BYTES]; /* as at power-on */
};

struct pci_identity {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint8_t revision;
	uint32_t class_code; /* 24 bits: class, subclass, interface */
};

/* The window of one bus, PCI_ECAM_BYTES of zeroes, becomes that of one without functions. */
void pci_ecam_init(uint8_t *ecam);
/* Where the configuration space of a slot's function 0 begins; slot is below PCI_SLOTS. */
uint8_t *pci_ecam_page(uint8_t *ecam, unsigned int slot);

/* A type 0 header (PCI 3.0 section 6.1), without interrupt pin and expansion ROM, in a page of
 * ECAM that outlives the function. pci_function_done() ends its making. */
void pci_function_init(struct pci_function *function, const struct device_ops *ops,
		       const struct pci_identity *identity, uint8_t *page);
/* Appends a capability of bytes (with its two header bytes, which are filled in). Returns its
 * offset, at a multiple of four. */
uint32_t pci_function_add_capability(struct pci_function *function, uint8_t id, const void *data,
				     uint32_t bytes);
/* Appends Enhanced Allocation; count is 1 to PCI_EA_ENTRIES_MAX. */
void pci_function_add_ranges(struct pci_function *function, const struct pci_range *ranges,
			     unsigned int count);
void pci_function_done(struct pci_function *function);

/* To its state at power-on. */
void pci_function_reset(struct pci_function *function);

#endif
