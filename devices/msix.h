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

/*
 * Part of a PCI function, under its lock. Table and pending bits are in a memory range of it.
 *
 * Message control is memory that the guest writes without a word (see pci.h). Its enable bit is
 * read when it matters. Its function mask is not looked at: an interrupt held back by it could not
 * be sent when the guest takes it away, for nobody would know. Each vector's own mask, in the
 * table, holds back as it must.
 */
struct msix {
	const struct virtio_wiring *wiring;
	const uint8_t *control; /* upper byte of message control */
	uint16_t count;
	struct msix_vector vectors[MSIX_VECTORS_MAX];
};

/* count is 1 to MSIX_VECTORS_MAX; range is the number of the memory range. */
void msix_init(struct msix *msix, const struct virtio_wiring *wiring, struct pci_function *function,
	       uint16_t count, unsigned int range, uint32_t table_offset, uint32_t pending_offset);
void msix_reset(struct msix *msix);
/* What the guest says now. */
bool msix_enabled(const struct msix *msix);

/* Offsets in the table and in the pending bits. What lies outside is nothing. */
void msix_table_read(const struct msix *msix, uint64_t offset, uint32_t size, uint64_t *value);
void msix_table_write(struct msix *msix, uint64_t offset, uint32_t size, uint64_t value);
void msix_pending_read(const struct msix *msix, uint64_t offset, uint32_t size, uint64_t *value);

/* Sends it, or keeps it pending while it is masked. A vector that there is not is no interrupt. */
void msix_raise(struct msix *msix, uint32_t vector);

#endif
