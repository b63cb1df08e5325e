/* SPDX-License-Identifier: Apache-2.0 */
/* msix: MSI-X vectors of a PCI function (PCI 3.0 section 6.8.2). */
#include "devices/msix.h"

#include <linux/pci_regs.h>

#include "base/num.h"

/* Message control is at the capability's third byte; its enable bit is in the upper half. */
#define CONTROL_HIGH        (PCI_MSIX_FLAGS + 1)
#define CONTROL_HIGH_ENABLE (PCI_MSIX_FLAGS_ENABLE >> 8)

void msix_init(struct msix *msix, const struct virtio_wiring *wiring, struct pci_function *function,
	       uint16_t count, unsigned int range, uint32_t table_offset, uint32_t pending_offset)
{
	uint8_t capability[PCI_CAP_MSIX_SIZEOF] = { 0 };
	uint32_t at;

	store_le16(capability + PCI_MSIX_FLAGS, (uint16_t)(count - 1));
	store_le32(capability + PCI_MSIX_TABLE, table_offset | range);
	store_le32(capability + PCI_MSIX_PBA, pending_offset | range);
	at = pci_function_add_capability(function, PCI_CAP_ID_MSIX, capability, sizeof(capability));
	msix->wiring = wiring;
	msix->control = function->config + at + CONTROL_HIGH;
	msix->count = count;
	msix_reset(msix);
}

void msix_reset(struct msix *msix)
{
	for (unsigned int i = 0; i < msix->count; i++)
		msix->vectors[i] = (struct msix_vector){ .masked = true };
}

bool msix_enabled(const struct msix *msix)
{
	return *(const volatile uint8_t *)msix->control & CONTROL_HIGH_ENABLE;
}

static void send(struct msix *msix, uint32_t index)
{
	struct msix_vector *vector = &msix->vectors[index];
	const struct virtio_wiring *wiring = msix->wiring;

	if (!vector->routed)
		wiring->route(wiring->opaque, index, vector->address, vector->data);
	vector->routed = true;
	vector->pending = false;
	wiring->interrupt(wiring->opaque, index);
}

void msix_raise(struct msix *msix, uint32_t index)
{
	if (index >= msix->count || !msix_enabled(msix))
		return;
	if (msix->vectors[index].masked)
		msix->vectors[index].pending = true;
	else
		send(msix, index);
}

/* ---- The table: double words, or two at once (6.8.2, "aligned DWORD or QWORD") ---- */

static uint32_t read_word(const struct msix_vector *vector, uint64_t offset)
{
	switch (offset) {
	case PCI_MSIX_ENTRY_LOWER_ADDR:
		return (uint32_t)vector->address;
	case PCI_MSIX_ENTRY_UPPER_ADDR:
		return (uint32_t)(vector->address >> 32);
	case PCI_MSIX_ENTRY_DATA:
		return vector->data;
	default:
		return vector->masked ? PCI_MSIX_ENTRY_CTRL_MASKBIT : 0;
	}
}

static void write_word(struct msix_vector *vector, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case PCI_MSIX_ENTRY_LOWER_ADDR:
		vector->address = (vector->address & ~(uint64_t)UINT32_MAX) | (value & ~3u);
		vector->routed = false;
		break;
	case PCI_MSIX_ENTRY_UPPER_ADDR:
		vector->address = (vector->address & UINT32_MAX) | (uint64_t)value << 32;
		vector->routed = false;
		break;
	case PCI_MSIX_ENTRY_DATA:
		vector->data = value;
		vector->routed = false;
		break;
	default:
		vector->masked = value & PCI_MSIX_ENTRY_CTRL_MASKBIT;
		break;
	}
}

static bool in_table(const struct msix *msix, uint64_t offset, uint32_t size)
{
	return (size == 4 || size == 8) && offset % size == 0 &&
	       num_within(offset, size, (uint64_t)msix->count * MSIX_ENTRY_BYTES);
}

void msix_table_read(const struct msix *msix, uint64_t offset, uint32_t size, uint64_t *value)
{
	uint64_t word = offset % MSIX_ENTRY_BYTES;
	const struct msix_vector *vector;

	if (!in_table(msix, offset, size))
		return;
	vector = &msix->vectors[offset / MSIX_ENTRY_BYTES];
	*value = read_word(vector, word);
	if (size == 8)
		*value |= (uint64_t)read_word(vector, word + 4) << 32;
}

void msix_table_write(struct msix *msix, uint64_t offset, uint32_t size, uint64_t value)
{
	uint32_t index = (uint32_t)(offset / MSIX_ENTRY_BYTES);
	uint64_t word = offset % MSIX_ENTRY_BYTES;

	if (!in_table(msix, offset, size))
		return;
	write_word(&msix->vectors[index], word, (uint32_t)value);
	if (size == 8)
		write_word(&msix->vectors[index], word + 4, (uint32_t)(value >> 32));
	if (msix->vectors[index].pending && !msix->vectors[index].masked && msix_enabled(msix))
		send(msix, index);
}

void msix_pending_read(const struct msix *msix, uint64_t offset, uint32_t size, uint64_t *value)
{
	*value = 0;
	for (uint64_t i = 0; i < 8 * (uint64_t)size; i++) {
		uint64_t index = 8 * offset + i;

		if (index < msix->count && msix->vectors[index].pending)
			*value |= UINT64_C(1) << i;
	}
}
