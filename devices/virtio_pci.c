/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_pci: the PCI transport, modern devices only, interrupts by MSI-X only (virtio 1.3 section
 * 4.1). */
#include "devices/virtio_pci.h"

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "devices/msix.h"

#define VENDOR          0x1af4
#define DEVICE_ID_FIRST 0x1040 /* and the type's id */
#define REVISION_MODERN 1

#define MEMORY_RANGE 0
#define PORT_RANGE   2

#define ISR_QUEUE  1
#define ISR_CONFIG 2

/* Lock: function.device.lock, which is the virtio device's too. */
struct virtio_pci {
	struct pci_function function;
	struct virtio *virtio;
	struct msix msix;
	uint32_t offered_select, accepted_select;
	uint16_t queue_select;
	uint16_t config_vector;
	uint16_t queue_vectors[VIRTIO_QUEUES_MAX];
	uint8_t isr;
	uint64_t bar_gpa;
	uint16_t notify_port; /* 0: doorbells are in memory */
};

static struct virtio_pci *to_pci(struct device *device)
{
	return (struct virtio_pci *)device;
}

/* ---- Common configuration (4.1.4.3) ---- */

/* A reset that waits for requests in flight shows the old status until they are back. */
static uint8_t status(const struct virtio_pci *pci)
{
	const struct virtio *virtio = pci->virtio;

	return virtio_resetting(virtio) ? virtio->status_before : virtio->status;
}

static void read_common(struct virtio_pci *pci, uint64_t offset, uint32_t size, uint64_t *value)
{
	struct virtio *virtio = pci->virtio;
	const struct virtq *q = virtio_queue(virtio, pci->queue_select);
	struct virtio_pci_common_cfg common = {
		.device_feature_select = htole32(pci->offered_select),
		.device_feature = htole32(virtio_features_offered(virtio, pci->offered_select)),
		.guest_feature_select = htole32(pci->accepted_select),
		.guest_feature = htole32(virtio_features_accepted(virtio, pci->accepted_select)),
		.msix_config = htole16(pci->config_vector),
		.num_queues = htole16(virtio->queue_count),
		.device_status = status(pci),
		.config_generation = virtio->generation,
		.queue_select = htole16(pci->queue_select),
	};

	if (q) {
		common.queue_size = htole16(q->size);
		common.queue_msix_vector = htole16(pci->queue_vectors[pci->queue_select]);
		common.queue_enable = htole16(q->enabled);
		common.queue_notify_off = htole16(pci->queue_select);
		common.queue_desc_lo = htole32((uint32_t)q->descriptors_gpa);
		common.queue_desc_hi = htole32((uint32_t)(q->descriptors_gpa >> 32));
		common.queue_avail_lo = htole32((uint32_t)q->driver_gpa);
		common.queue_avail_hi = htole32((uint32_t)(q->driver_gpa >> 32));
		common.queue_used_lo = htole32((uint32_t)q->device_gpa);
		common.queue_used_hi = htole32((uint32_t)(q->device_gpa >> 32));
	}
	*value = 0;
	if (num_within(offset, size, sizeof(common)))
		memcpy(value, (const uint8_t *)&common + offset, size);
	*value = le64toh(*value);
}

/* A vector that there is not is refused: the driver reads NO_VECTOR back (4.1.5.1.2). */
static uint16_t checked_vector(const struct virtio_pci *pci, uint16_t vector)
{
	return vector < pci->msix.count ? vector : VIRTIO_MSI_NO_VECTOR;
}

static void forget_driver(struct virtio_pci *pci)
{
	pci->isr = 0;
	pci->config_vector = VIRTIO_MSI_NO_VECTOR;
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		pci->queue_vectors[i] = VIRTIO_MSI_NO_VECTOR;
}

static void write_word(uint64_t *address, bool high, uint64_t value)
{
	uint64_t word = (uint32_t)value;

	if (high)
		*address = (*address & UINT32_MAX) | word << 32;
	else
		*address = (*address & ~(uint64_t)UINT32_MAX) | word;
}

/* Fields of the selected queue: nothing where there is none, or where its time is over. */
static void write_queue(struct virtio_pci *pci, uint64_t offset, uint32_t size, uint64_t value)
{
	struct virtq *q = virtio_queue(pci->virtio, pci->queue_select);

	if (!q || !virtio_configurable(pci->virtio))
		return;
	if (size == 2) {
		switch (offset) {
		case VIRTIO_PCI_COMMON_Q_SIZE:
			q->size = value <= q->size_max ? (uint16_t)value : 0; /* does not start */
			break;
		case VIRTIO_PCI_COMMON_Q_MSIX:
			pci->queue_vectors[pci->queue_select] =
				checked_vector(pci, (uint16_t)value);
			break;
		case VIRTIO_PCI_COMMON_Q_ENABLE:
			q->enabled |= value == 1; /* 0 is not for drivers to write */
			break;
		default:
			break;
		}
		return;
	}
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_DESCLO:
	case VIRTIO_PCI_COMMON_Q_DESCHI:
		write_word(&q->descriptors_gpa, offset == VIRTIO_PCI_COMMON_Q_DESCHI, value);
		break;
	case VIRTIO_PCI_COMMON_Q_AVAILLO:
	case VIRTIO_PCI_COMMON_Q_AVAILHI:
		write_word(&q->driver_gpa, offset == VIRTIO_PCI_COMMON_Q_AVAILHI, value);
		break;
	case VIRTIO_PCI_COMMON_Q_USEDLO:
	case VIRTIO_PCI_COMMON_Q_USEDHI:
		write_word(&q->device_gpa, offset == VIRTIO_PCI_COMMON_Q_USEDHI, value);
		break;
	default:
		break;
	}
}

static void write_status(struct virtio_pci *pci, uint8_t value)
{
	if (!value)
		forget_driver(pci);
	virtio_set_status(pci->virtio, value);
}

/* Fields are written as wide as they are; 64-bit ones as two halves (4.1.3.1). */
/* NOLINTNEXTLINE(misc-no-recursion): once, with half the size */
static void write_common(struct virtio_pci *pci, uint64_t offset, uint32_t size, uint64_t value)
{
	static const uint8_t sizes[] = {
		[VIRTIO_PCI_COMMON_DFSELECT] = 4,  [VIRTIO_PCI_COMMON_GFSELECT] = 4,
		[VIRTIO_PCI_COMMON_GF] = 4,        [VIRTIO_PCI_COMMON_MSIX] = 2,
		[VIRTIO_PCI_COMMON_STATUS] = 1,    [VIRTIO_PCI_COMMON_Q_SELECT] = 2,
		[VIRTIO_PCI_COMMON_Q_SIZE] = 2,    [VIRTIO_PCI_COMMON_Q_MSIX] = 2,
		[VIRTIO_PCI_COMMON_Q_ENABLE] = 2,  [VIRTIO_PCI_COMMON_Q_DESCLO] = 4,
		[VIRTIO_PCI_COMMON_Q_DESCHI] = 4,  [VIRTIO_PCI_COMMON_Q_AVAILLO] = 4,
		[VIRTIO_PCI_COMMON_Q_AVAILHI] = 4, [VIRTIO_PCI_COMMON_Q_USEDLO] = 4,
		[VIRTIO_PCI_COMMON_Q_USEDHI] = 4,
	};

	if (size == 8 && offset % 8 == 0) {
		write_common(pci, offset, 4, (uint32_t)value);
		write_common(pci, offset + 4, 4, value >> 32);
		return;
	}
	if (offset >= ARRAY_SIZE(sizes) || sizes[offset] != size)
		return;
	switch (offset) {
	case VIRTIO_PCI_COMMON_DFSELECT:
		pci->offered_select = (uint32_t)value;
		break;
	case VIRTIO_PCI_COMMON_GFSELECT:
		pci->accepted_select = (uint32_t)value;
		break;
	case VIRTIO_PCI_COMMON_GF:
		virtio_accept_features(pci->virtio, pci->accepted_select, (uint32_t)value);
		break;
	case VIRTIO_PCI_COMMON_MSIX:
		pci->config_vector = checked_vector(pci, (uint16_t)value);
		break;
	case VIRTIO_PCI_COMMON_STATUS:
		write_status(pci, (uint8_t)value);
		break;
	case VIRTIO_PCI_COMMON_Q_SELECT:
		pci->queue_select = (uint16_t)value;
		break;
	default:
		write_queue(pci, offset, size, value);
		break;
	}
}

/* ---- The memory BAR ---- */

/* Reading tells and clears (4.1.4.5). Only a driver without MSI-X has a use for it: it polls. */
static uint8_t read_isr(struct virtio_pci *pci)
{
	uint8_t isr = pci->isr;

	pci->isr = 0;
	return isr;
}

static void virtio_pci_read(struct device *device, uint64_t offset, uint32_t size, uint64_t *value)
{
	struct virtio_pci *pci = to_pci(device);
	uint64_t within = offset % 0x1000;

	switch (offset - within) {
	case VIRTIO_PCI_AT_COMMON:
		read_common(pci, within, size, value);
		break;
	case VIRTIO_PCI_AT_ISR:
		*value = within == 0 ? read_isr(pci) : 0;
		break;
	case VIRTIO_PCI_AT_DEVICE:
		virtio_config_read(pci->virtio, within, size, value);
		break;
	case VIRTIO_PCI_AT_MSIX_TABLE:
		msix_table_read(&pci->msix, within, size, value);
		break;
	case VIRTIO_PCI_AT_MSIX_PENDING:
		msix_pending_read(&pci->msix, within, size, value);
		break;
	default:
		*value = 0;
		break;
	}
}

static void virtio_pci_write(struct device *device, uint64_t offset, uint32_t size, uint64_t value)
{
	struct virtio_pci *pci = to_pci(device);
	struct virtio *virtio = pci->virtio;
	uint64_t within = offset % 0x1000;
	uint32_t queue = (uint32_t)(within / VIRTIO_PCI_NOTIFY_STRIDE);

	switch (offset - within) {
	case VIRTIO_PCI_AT_COMMON:
		write_common(pci, within, size, value);
		break;
	case VIRTIO_PCI_AT_DEVICE:
		virtio_config_write(virtio, within, size, value);
		break;
	case VIRTIO_PCI_AT_NOTIFY: /* normally an ioeventfd takes it */
		if (virtio_queue(virtio, queue))
			virtio->wiring.kick(virtio->wiring.opaque, queue);
		break;
	case VIRTIO_PCI_AT_MSIX_TABLE:
		msix_table_write(&pci->msix, within, size, value);
		break;
	default:
		break;
	}
}

/* ---- Configuration space ---- */

static void add_structure(struct virtio_pci *pci, uint8_t type, uint8_t bar, uint32_t offset,
			  uint32_t bytes, uint32_t extra, uint32_t extra_bytes)
{
	uint8_t capability[sizeof(struct virtio_pci_cap) + 4] = { 0 };
	uint32_t length = (uint32_t)sizeof(struct virtio_pci_cap) + extra_bytes;

	capability[VIRTIO_PCI_CAP_LEN] = (uint8_t)length;
	capability[VIRTIO_PCI_CAP_CFG_TYPE] = type;
	capability[VIRTIO_PCI_CAP_BAR] = bar;
	store_le32(capability + VIRTIO_PCI_CAP_OFFSET, offset);
	store_le32(capability + VIRTIO_PCI_CAP_LENGTH, bytes);
	store_le32(capability + VIRTIO_PCI_NOTIFY_CAP_MULT, extra);
	pci_function_add_capability(&pci->function, PCI_CAP_ID_VNDR, capability, length);
}

/*
 * 4.1.4: where everything is. VIRTIO_PCI_CAP_PCI_CFG, a window to the memory range in configuration
 * space (4.1.4.9), is not there though the standard wants one: it would have to act when it is
 * written, and configuration space is memory. It is for firmware that cannot map the range.
 */
static void add_capabilities(struct virtio_pci *pci)
{
	uint32_t doorbells = pci->virtio->queue_count * VIRTIO_PCI_NOTIFY_STRIDE;
	uint32_t config_bytes = pci->virtio->type->config_bytes;
	const struct pci_range ranges[] = {
		{ MEMORY_RANGE, false, (uint32_t)pci->bar_gpa, VIRTIO_PCI_BYTES },
		{ PORT_RANGE, true, pci->notify_port, VIRTIO_PCI_NOTIFY_PORTS },
	};

	pci_function_add_ranges(&pci->function, ranges, pci->notify_port ? 2 : 1);
	msix_init(&pci->msix, &pci->virtio->wiring, &pci->function,
		  (uint16_t)(1 + (pci->virtio->one_vector ? 1 : pci->virtio->queue_count)),
		  MEMORY_RANGE, VIRTIO_PCI_AT_MSIX_TABLE, VIRTIO_PCI_AT_MSIX_PENDING);
	add_structure(pci, VIRTIO_PCI_CAP_COMMON_CFG, MEMORY_RANGE, VIRTIO_PCI_AT_COMMON,
		      sizeof(struct virtio_pci_common_cfg), 0, 0);
	add_structure(pci, VIRTIO_PCI_CAP_ISR_CFG, MEMORY_RANGE, VIRTIO_PCI_AT_ISR, 1, 0, 0);
	if (config_bytes)
		add_structure(pci, VIRTIO_PCI_CAP_DEVICE_CFG, MEMORY_RANGE, VIRTIO_PCI_AT_DEVICE,
			      config_bytes, 0, 0);
	if (pci->notify_port)
		add_structure(pci, VIRTIO_PCI_CAP_NOTIFY_CFG, PORT_RANGE, 0, doorbells,
			      VIRTIO_PCI_NOTIFY_STRIDE, 4);
	else
		add_structure(pci, VIRTIO_PCI_CAP_NOTIFY_CFG, MEMORY_RANGE, VIRTIO_PCI_AT_NOTIFY,
			      doorbells, VIRTIO_PCI_NOTIFY_STRIDE, 4);
	pci_function_done(&pci->function);
}

/* ---- Interrupts ---- */

static void raise(struct virtio_pci *pci, uint16_t vector, uint8_t cause)
{
	if (msix_enabled(&pci->msix))
		msix_raise(&pci->msix, vector);
	else
		pci->isr |= cause;
}

static void queue_interrupt(void *opaque, unsigned int queue)
{
	struct virtio_pci *pci = opaque;

	raise(pci, pci->queue_vectors[queue], ISR_QUEUE);
}

static void config_interrupt(void *opaque)
{
	struct virtio_pci *pci = opaque;

	raise(pci, pci->config_vector, ISR_CONFIG);
}

/* ---- The device ---- */

static void virtio_pci_reset(struct device *device)
{
	struct virtio_pci *pci = to_pci(device);

	pci->offered_select = pci->accepted_select = 0;
	pci->queue_select = 0;
	write_status(pci, 0);
	msix_reset(&pci->msix);
	pci_function_reset(&pci->function);
}

static void virtio_pci_destroy(struct device *device)
{
	struct virtio_pci *pci = to_pci(device);

	virtio_destroy(pci->virtio);
	device_fini(device);
	free(pci);
}

static const struct device_ops virtio_pci_ops = {
	.name = "virtio_pci",
	.read = virtio_pci_read,
	.write = virtio_pci_write,
	.reset = virtio_pci_reset,
	.destroy = virtio_pci_destroy,
};

struct pci_function *virtio_pci_create(struct virtio *virtio, const struct virtio_pci_setup *setup)
{
	struct virtio_pci *pci = calloc(1, sizeof(*pci));
	const struct pci_identity identity = {
		.vendor = VENDOR,
		.device = DEVICE_ID_FIRST + virtio->type->id,
		.subsystem_vendor = VENDOR,
		.subsystem = DEVICE_ID_FIRST + virtio->type->id,
		.revision = REVISION_MODERN,
		.class_code = virtio->type->pci_class,
	};
	const struct virtio_front front = {
		.queue_interrupt = queue_interrupt,
		.config_interrupt = config_interrupt,
		.opaque = pci,
	};

	if (!pci)
		return NULL;
	pci_function_init(&pci->function, &virtio_pci_ops, &identity, setup->config_page);
	pci->virtio = virtio;
	virtio_attach(virtio, &pci->function.device.lock, &front, &setup->wiring);
	pci->bar_gpa = setup->bar_gpa;
	pci->notify_port = setup->notify_port;
	add_capabilities(pci);
	forget_driver(pci);
	return &pci->function;
}

void virtio_pci_doorbell(const struct pci_function *function, unsigned int queue,
			 struct virtio_doorbell *doorbell)
{
	const struct virtio_pci *pci = (const struct virtio_pci *)function;
	uint64_t offset = (uint64_t)queue * VIRTIO_PCI_NOTIFY_STRIDE;

	*doorbell = (struct virtio_doorbell){
		.port = pci->notify_port,
		.address = pci->notify_port ? pci->notify_port + offset
					    : pci->bar_gpa + VIRTIO_PCI_AT_NOTIFY + offset,
	};
}

/*
 * Feature and queue registers, and in the MSI-X table address and data of each vector. Not the
 * status: DRIVER_OK and resets act at once, and by then all that came before them is in place. Not
 * the vectors' masks: an interrupt may wait for them. What the driver may still change later
 * (vectors of queues) it reads back, and a vector's message it changes while masked.
 */
unsigned int virtio_pci_deferred(const struct pci_function *function,
				 struct virtio_range ranges[VIRTIO_PCI_DEFERRED_MAX])
{
	const struct virtio_pci *pci = (const struct virtio_pci *)function;
	unsigned int count = 0;

	ranges[count++] = (struct virtio_range){ VIRTIO_PCI_AT_COMMON, VIRTIO_PCI_COMMON_STATUS };
	ranges[count++] = (struct virtio_range){
		VIRTIO_PCI_AT_COMMON + VIRTIO_PCI_COMMON_Q_SELECT,
		sizeof(struct virtio_pci_common_cfg) - VIRTIO_PCI_COMMON_Q_SELECT,
	};
	for (uint32_t i = 0; i < pci->msix.count; i++)
		ranges[count++] = (struct virtio_range){
			VIRTIO_PCI_AT_MSIX_TABLE + i * MSIX_ENTRY_BYTES,
			PCI_MSIX_ENTRY_VECTOR_CTRL,
		};
	return count;
}
