/* SPDX-License-Identifier: Apache-2.0 */
/* msix: MSI-X vectors of a PCI function (PCI 3.0 section 6.8.2). */
#ifndef DEVICES_MSIX_H
#define DEVICES_MSIX_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/pci.h"
#include "devices/virtio.h"

#define MSIX_VECTORS_MAX (VIRTIO_QUEUES_MAX + 1)
#define MSIX_ENTRY_BYTES 16

struct msix_vector {
	uint64_t address;
	uint32_t data;
	bool masked, pending;
	bool routed; /* wiring->route() knows this address and data */
};

/* Part of a PCI function, under its lock. Table and pending bits are in a memory BAR of it. */
struct msix {
	const struct virtio_wiring *wiring;
	uint32_t capability; /* offset in configuration space */
	uint16_t count;
	bool enabled, masked; /* message control */
	struct msix_vector vectors[MSIX_VECTORS_MAX];
};

/* count is 1 to MSIX_VECTORS_MAX. */
void msix_init(struct msix *msix, const struct virtio_wiring *wiring, struct pci_function *function,
	       uint16_t count, unsigned int bar, uint32_t table_offset, uint32_t pending_offset);
void msix_reset(struct msix *msix, struct pci_function *function);
/* The function's configuration space was written: message control may have changed. */
void msix_config_written(struct msix *msix, const struct pci_function *function);

/* Offsets in the table and in the pending bits. What lies outside is nothing. */
void msix_table_read(const struct msix *msix, uint64_t offset, uint32_t size, uint64_t *value);
void msix_table_write(struct msix *msix, uint64_t offset, uint32_t size, uint64_t value);
void msix_pending_read(const struct msix *msix, uint64_t offset, uint32_t size, uint64_t *value);

/* Sends it, or keeps it pending while it is masked. A vector that there is not is no interrupt. */
void msix_raise(struct msix *msix, uint32_t vector);

#endif
