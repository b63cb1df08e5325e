/* SPDX-License-Identifier: Apache-2.0 */
/* virtio_mmio: version 2 of the memory-mapped transport (virtio 1.3 section 4.2). */
#include "devices/virtio_mmio.h"

#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC   0x74726976 /* "virt" */
#define VERSION 2
#define VENDOR  0x54455453 /* "STET" */

/* Lock: device.lock, which is the virtio device's too. */
struct virtio_mmio {
	struct device device;
	struct virtio *virtio;
	uint32_t offered_select, accepted_select, queue_select;
	uint32_t interrupt_status;
	uint32_t interrupt_seen; /* bits of it that the driver has read since they were set */
};

static struct virtio_mmio *to_mmio(struct device *device)
{
	return (struct virtio_mmio *)device;
}

static uint32_t read_interrupt_status(struct virtio_mmio *mmio)
{
	mmio->interrupt_seen = mmio->interrupt_status;
	return mmio->interrupt_status;
}

/*
 * An acknowledgement may come late (virtio_mmio_deferred()), after the same bit was set again: it
 * is for what the driver had seen, and what it has not seen stays.
 */
static void acknowledge(struct virtio_mmio *mmio, uint32_t bits)
{
	mmio->interrupt_status &= ~(bits & mmio->interrupt_seen);
}

static uint32_t read_register(struct virtio_mmio *mmio, uint64_t offset)
{
	struct virtio *virtio = mmio->virtio;
	const struct virtq *q = virtio_queue(virtio, mmio->queue_select);

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return virtio->type->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return virtio_features_offered(virtio, mmio->offered_select);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return q ? q->size_max : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return q && q->enabled;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return read_interrupt_status(mmio);
	case VIRTIO_MMIO_STATUS:
		return virtio->status;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return virtio->generation;
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return UINT32_MAX; /* there is no shared memory */
	default:
		return 0;
	}
}

/* Registers are 32 bits wide and aligned (4.2.2.2); the configuration space is anything. */
static void virtio_mmio_read(struct device *device, uint64_t offset, uint32_t size, uint64_t *value)
{
	struct virtio_mmio *mmio = to_mmio(device);

	if (offset >= VIRTIO_MMIO_CONFIG)
		virtio_config_read(mmio->virtio, offset - VIRTIO_MMIO_CONFIG, size, value);
	else if (size == 4 && offset % 4 == 0)
		*value = read_register(mmio, offset);
}

static void set_low(uint64_t *address, uint32_t value)
{
	*address = (*address & ~(uint64_t)UINT32_MAX) | value;
}

static void set_high(uint64_t *address, uint32_t value)
{
	*address = (*address & UINT32_MAX) | (uint64_t)value << 32;
}

/* Registers of the selected queue: nothing where there is none, or where its time is over. */
static void write_queue_register(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
	struct virtq *q = virtio_queue(mmio->virtio, mmio->queue_select);

	if (!q || !virtio_configurable(mmio->virtio))
		return;
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		q->size = value <= q->size_max ? (uint16_t)value : 0; /* 0 does not start */
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		q->enabled = value & 1;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
		set_low(&q->descriptors_gpa, value);
		break;
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_high(&q->descriptors_gpa, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
		set_low(&q->driver_gpa, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_high(&q->driver_gpa, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
		set_low(&q->device_gpa, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_high(&q->device_gpa, value);
		break;
	default:
		break;
	}
}

static void write_register(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
	struct virtio *virtio = mmio->virtio;

	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		mmio->offered_select = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		mmio->accepted_select = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		virtio_accept_features(virtio, mmio->accepted_select, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		mmio->queue_select = value;
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		if (virtio_queue(virtio, value))
			virtio->wiring.kick(virtio->wiring.opaque, value);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		acknowledge(mmio, value);
		break;
	case VIRTIO_MMIO_STATUS:
		if (!(value & 0xff))
			mmio->interrupt_status = 0;
		virtio_set_status(virtio, (uint8_t)value);
		if (virtio_resetting(virtio))
			virtio_wait_for_reset(virtio);
		break;
	default:
		write_queue_register(mmio, offset, value);
		break;
	}
}

static void virtio_mmio_write(struct device *device, uint64_t offset, uint32_t size, uint64_t value)
{
	struct virtio_mmio *mmio = to_mmio(device);

	if (offset >= VIRTIO_MMIO_CONFIG)
		virtio_config_write(mmio->virtio, offset - VIRTIO_MMIO_CONFIG, size, value);
	else if (size == 4 && offset % 4 == 0)
		write_register(mmio, offset, (uint32_t)value);
}

static void raise(struct virtio_mmio *mmio, uint32_t cause)
{
	const struct virtio_wiring *wiring = &mmio->virtio->wiring;

	mmio->interrupt_status |= cause;
	mmio->interrupt_seen &= ~cause;
	wiring->interrupt(wiring->opaque, 0);
}

static void queue_interrupt(void *opaque, unsigned int queue)
{
	(void)queue;
	raise(opaque, VIRTIO_MMIO_INT_VRING);
}

static void config_interrupt(void *opaque)
{
	raise(opaque, VIRTIO_MMIO_INT_CONFIG);
}

static void virtio_mmio_reset(struct device *device)
{
	struct virtio_mmio *mmio = to_mmio(device);

	mmio->offered_select = mmio->accepted_select = mmio->queue_select = 0;
	mmio->interrupt_status = 0;
	virtio_set_status(mmio->virtio, 0);
}

static void virtio_mmio_destroy(struct device *device)
{
	struct virtio_mmio *mmio = to_mmio(device);

	virtio_destroy(mmio->virtio);
	device_fini(device);
	free(mmio);
}

static const struct device_ops virtio_mmio_ops = {
	.name = "virtio_mmio",
	.read = virtio_mmio_read,
	.write = virtio_mmio_write,
	.reset = virtio_mmio_reset,
	.destroy = virtio_mmio_destroy,
};

struct device *virtio_mmio_create(struct virtio *virtio, const struct virtio_wiring *wiring)
{
	struct virtio_mmio *mmio = calloc(1, sizeof(*mmio));
	const struct virtio_front front = {
		.queue_interrupt = queue_interrupt,
		.config_interrupt = config_interrupt,
		.opaque = mmio,
	};

	if (!mmio)
		return NULL;
	device_init(&mmio->device, &virtio_mmio_ops);
	mmio->virtio = virtio;
	virtio_attach(virtio, &mmio->device.lock, &front, wiring);
	return &mmio->device;
}

void virtio_mmio_doorbell(unsigned int queue, struct virtio_doorbell *doorbell)
{
	*doorbell = (struct virtio_doorbell){
		.address = VIRTIO_MMIO_QUEUE_NOTIFY,
		.bytes = 4,
		.match = true,
		.value = queue,
	};
}

/* Features, queues and the acknowledgement of an interrupt; not the status, see
 * virtio_pci_deferred(), and not the doorbell. */
void virtio_mmio_deferred(struct virtio_range ranges[VIRTIO_MMIO_DEFERRED])
{
	static const struct virtio_range deferred[VIRTIO_MMIO_DEFERRED] = {
		{ VIRTIO_MMIO_DEVICE_FEATURES_SEL,
		  VIRTIO_MMIO_DRIVER_FEATURES_SEL + 4 - VIRTIO_MMIO_DEVICE_FEATURES_SEL },
		{ VIRTIO_MMIO_QUEUE_SEL, VIRTIO_MMIO_QUEUE_READY + 4 - VIRTIO_MMIO_QUEUE_SEL },
		{ VIRTIO_MMIO_INTERRUPT_ACK, 4 },
		{ VIRTIO_MMIO_QUEUE_DESC_LOW,
		  VIRTIO_MMIO_QUEUE_USED_HIGH + 4 - VIRTIO_MMIO_QUEUE_DESC_LOW },
	};

	memcpy(ranges, deferred, sizeof(deferred));
}
