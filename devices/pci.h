/* SPDX-License-Identifier: Apache-2.0 */
/* pci: one PCI bus without bridges: its configuration space as an ECAM window (PCI Express 4.0
 * section 7.2.2) and the functions on it. */
#ifndef DEVICES_PCI_H
#define DEVICES_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "devices/device.h"

#define PCI_SLOTS               32
#define PCI_ECAM_BYTES          (UINT64_C(1) << 20) /* of one bus: what MCFG describes */
#define PCI_ECAM_FUNCTION_SHIFT 12
#define PCI_CONFIG_BYTES        256
#define PCI_BARS                6

/* A base address register. Fixed: a driver may size it, what else it writes is forgotten. */
struct pci_bar {
	uint64_t address; /* 0 with bytes 0: there is none */
	uint64_t bytes;   /* a power of two */
	bool port;        /* else 64-bit memory, which takes two registers */
};

/*
 * First member of a function. device is its window on the memory bus, with the lock that guards all
 * of it, configuration space included. Owner: the VM; the host bridge keeps a pointer only.
 */
struct pci_function {
	struct device device;
	uint8_t config[PCI_CONFIG_BYTES];
	uint8_t writable[PCI_CONFIG_BYTES]; /* a bit each */
	uint16_t capability_end;
	uint16_t capability_last;
	uint8_t bar_sizing; /* registers that show the size, a bit each */
	struct pci_bar bars[PCI_BARS];
	/* After a write to configuration space changed or confirmed bytes. May be NULL. */
	void (*config_written)(struct pci_function *function, uint32_t offset, uint32_t bytes);
	/* Before a read, for bytes that are made when read. May be NULL. */
	void (*config_reading)(struct pci_function *function, uint32_t offset, uint32_t bytes);
};

struct pci_identity {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint8_t revision;
	uint32_t class_code; /* 24 bits: class, subclass, interface */
};

/* A type 0 header (PCI 3.0 section 6.1), without interrupt pin. */
void pci_function_init(struct pci_function *function, const struct device_ops *ops,
		       const struct pci_identity *identity);
/* index counts registers: a memory BAR takes index and index + 1. */
void pci_function_set_bar(struct pci_function *function, unsigned int index,
			  const struct pci_bar *bar);
/* Appends a capability of bytes (with its two header bytes, which are filled in). Returns its
 * offset, at a multiple of four. */
uint32_t pci_function_add_capability(struct pci_function *function, uint8_t id, const void *data,
				     uint32_t bytes);

/* To its state at power-on: BARs where they are, decoding and bus mastering off. Under the lock. */
void pci_function_reset(struct pci_function *function);

/* The host bridge: a device for the memory bus, at the ECAM window. Slot 0 is the bridge's own.
 * NULL where memory is short. Lock order: the bridge's, then the function's. */
struct device *pci_host_create(void);
/* Slots 1 to 31. Before the machine runs. -EBUSY where slot is taken, -EINVAL where there is none.
 */
int pci_host_add(struct device *host, unsigned int slot, struct pci_function *function,
		 struct error *error);

#endif
