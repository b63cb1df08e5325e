/* SPDX-License-Identifier: Apache-2.0 */
/* device: finds virtio devices on either transport, and drives them. */
#include "device.h"

#define MMIO_BASE  UINT64_C(0xd0000000)
#define MMIO_COUNT 8
#define MMIO_BYTES 0x1000
#define MMIO_MAGIC 0x74726976

#define MMIO_DEVICE_ID       0x008
#define MMIO_FEATURES        0x010
#define MMIO_FEATURES_SEL    0x014
#define MMIO_DRIVER_FEATURES 0x020
#define MMIO_DRIVER_SEL      0x024
#define MMIO_QUEUE_SEL       0x030
#define MMIO_QUEUE_NUM_MAX   0x034
#define MMIO_QUEUE_NUM       0x038
#define MMIO_QUEUE_READY     0x044
#define MMIO_QUEUE_NOTIFY    0x050
#define MMIO_STATUS          0x070
#define MMIO_QUEUE_DESC      0x080
#define MMIO_QUEUE_DRIVER    0x090
#define MMIO_QUEUE_DEVICE    0x0a0
#define MMIO_CONFIG          0x100

#define ECAM_BASE   UINT64_C(0xe0000000)
#define ECAM_SLOTS  32
#define SLOT_BYTES  0x8000
#define PCI_COMMAND 0x04
#define PCI_CAPS    0x34
#define CAP_MSIX    0x11
#define CAP_VENDOR  0x09
#define CAP_RANGES  0x14
#define RANGE_PORTS 2
#define RANGE_BYTES 0x8000

/* virtio 1.3 section 4.1.4.3 */
#define COMMON_FEATURES_SEL 0x00
#define COMMON_FEATURES     0x04
#define COMMON_DRIVER_SEL   0x08
#define COMMON_DRIVER       0x0c
#define COMMON_QUEUES       0x12
#define COMMON_STATUS       0x14
#define COMMON_QUEUE_SEL    0x16
#define COMMON_QUEUE_SIZE   0x18
#define COMMON_QUEUE_ENABLE 0x1c
#define COMMON_QUEUE_DESC   0x20
#define COMMON_QUEUE_DRIVER 0x28
#define COMMON_QUEUE_DEVICE 0x30

#define RING_BYTES 0x3000 /* of a queue of QUEUE_SIZE_MAX, three tables each in a page */
#define PORT_IDLE  0x3fd  /* reading it changes nothing */
#define PATIENCE   400000 /* exits to the host that is waited for */

struct device devices[DEVICES_MAX];
unsigned int device_count;

/* ---- Finding ---- */

static void add_mmio(uint64_t window)
{
	struct device *device = &devices[device_count];

	if (read_memory(window, 4) != MMIO_MAGIC || device_count == DEVICES_MAX)
		return;
	*device = (struct device){
		.id = (uint16_t)read_memory(window + MMIO_DEVICE_ID, 4),
		.window = window,
		.window_bytes = MMIO_BYTES,
		.config = window + MMIO_CONFIG,
	};
	for (device->queues = 0; device->queues < QUEUES_MAX; device->queues++) {
		select_queue(device, device->queues);
		if (!queue_size_max(device))
			break;
	}
	device_count++;
}

/* The function's range of this number as Enhanced Allocation tells it (PCI Express 4.0 section
 * 7.8.5): its address, with bit 0 for ports. All of stet's entries have three words. */
static uint64_t read_range(uint64_t ecam, unsigned int number)
{
	uint64_t at = read_memory(ecam + PCI_CAPS, 1);

	while (at && read_memory(ecam + at, 1) != CAP_RANGES)
		at = read_memory(ecam + at + 1, 1);
	for (uint64_t i = 0; at && i < read_memory(ecam + at + 2, 1); i++) {
		uint64_t entry = ecam + at + 4 + 12 * i;
		uint64_t kind = read_memory(entry, 4);

		if ((kind >> 4 & 0xf) == number)
			return read_memory(entry + 4, 4) | (kind >> 8 & 0xff) / RANGE_PORTS;
	}
	return 0;
}

/* One vendor capability: where a structure of the device is (4.1.4). */
static void read_structure(struct device *device, uint64_t capability)
{
	uint8_t type = (uint8_t)read_memory(capability + 3, 1);
	uint64_t range = read_range(device->ecam, (unsigned int)read_memory(capability + 4, 1));
	uint64_t at = (range & ~UINT64_C(3)) + read_memory(capability + 8, 4);

	switch (type) {
	case 1:
		device->common = at;
		break;
	case 2:
		device->notify = at;
		device->notify_port = range & 1 ? (uint16_t)at : 0;
		device->notify_stride = (uint32_t)read_memory(capability + 16, 4);
		break;
	case 4:
		device->config = at;
		break;
	default:
		break;
	}
}

static void add_pci(uint64_t ecam)
{
	struct device *device = &devices[device_count];
	uint64_t ids = read_memory(ecam, 4);
	uint64_t at;

	if ((ids & 0xffff) != 0x1af4 || device_count == DEVICES_MAX)
		return;
	*device = (struct device){
		.pci = true,
		.id = (uint16_t)((ids >> 16) - 0x1040),
		.ecam = ecam,
		.window = read_range(ecam, 0),
		.window_bytes = RANGE_BYTES,
	};
	write_memory(ecam + PCI_COMMAND, 2, 0x7);
	for (at = read_memory(ecam + PCI_CAPS, 1); at; at = read_memory(ecam + at + 1, 1)) {
		uint8_t id = (uint8_t)read_memory(ecam + at, 1);

		if (id == CAP_VENDOR)
			read_structure(device, ecam + at);
		if (id != CAP_MSIX)
			continue;
		device->msix_bytes = ((read_memory(ecam + at + 2, 2) & 0x7ff) + 1) * 16;
		device->msix_table =
			device->window + (read_memory(ecam + at + 4, 4) & ~UINT64_C(7));
	}
	device->queues = (unsigned int)read_memory(device->common + COMMON_QUEUES, 2);
	if (device->queues > QUEUES_MAX)
		fail("queues of a device", device->queues);
	device_count++;
}

void find_devices(void)
{
	for (uint64_t i = 0; i < MMIO_COUNT; i++)
		add_mmio(MMIO_BASE + i * MMIO_BYTES);
	for (uint64_t i = 0; i < ECAM_SLOTS; i++)
		add_pci(ECAM_BASE + i * SLOT_BYTES);
	for (unsigned int i = 0; i < device_count; i++)
		devices[i].arena = 2 * MIB + i * ARENA_BYTES;
}

const char *device_name(const struct device *device)
{
	switch (device->id) {
	case ID_NET:
		return "net";
	case ID_BLK:
		return "blk";
	case ID_HVC:
		return "hvc";
	case ID_RNG:
		return "rng";
	case ID_VSOCK:
		return "vsock";
	default:
		return "unknown";
	}
}

/* ---- Registers ---- */

void set_status(const struct device *device, uint8_t status)
{
	if (device->pci)
		write_memory(device->common + COMMON_STATUS, 1, status);
	else
		write_memory(device->window + MMIO_STATUS, 4, status);
}

uint8_t get_status(const struct device *device)
{
	if (device->pci)
		return (uint8_t)read_memory(device->common + COMMON_STATUS, 1);
	return (uint8_t)read_memory(device->window + MMIO_STATUS, 4);
}

bool reset(const struct device *device)
{
	set_status(device, 0);
	for (unsigned int i = 0; i < PATIENCE; i++)
		if (!get_status(device))
			return true;
	return false;
}

static uint32_t feature_word(const struct device *device, uint32_t word)
{
	if (device->pci) {
		write_memory(device->common + COMMON_FEATURES_SEL, 4, word);
		return (uint32_t)read_memory(device->common + COMMON_FEATURES, 4);
	}
	write_memory(device->window + MMIO_FEATURES_SEL, 4, word);
	return (uint32_t)read_memory(device->window + MMIO_FEATURES, 4);
}

uint64_t get_features(const struct device *device)
{
	return feature_word(device, 0) | (uint64_t)feature_word(device, 1) << 32;
}

void set_features(const struct device *device, uint64_t features)
{
	for (uint32_t word = 0; word < 2; word++) {
		uint32_t value = (uint32_t)(features >> 32 * word);

		if (device->pci) {
			write_memory(device->common + COMMON_DRIVER_SEL, 4, word);
			write_memory(device->common + COMMON_DRIVER, 4, value);
		} else {
			write_memory(device->window + MMIO_DRIVER_SEL, 4, word);
			write_memory(device->window + MMIO_DRIVER_FEATURES, 4, value);
		}
	}
}

void select_queue(const struct device *device, unsigned int queue)
{
	if (device->pci)
		write_memory(device->common + COMMON_QUEUE_SEL, 2, queue);
	else
		write_memory(device->window + MMIO_QUEUE_SEL, 4, queue);
}

uint16_t queue_size_max(const struct device *device)
{
	if (device->pci)
		return (uint16_t)read_memory(device->common + COMMON_QUEUE_SIZE, 2);
	return (uint16_t)read_memory(device->window + MMIO_QUEUE_NUM_MAX, 4);
}

static void write_address(uint64_t at, const volatile void *address)
{
	uint64_t value = (uint64_t)(uintptr_t)address;

	write_memory(at, 4, (uint32_t)value);
	write_memory(at + 4, 4, value >> 32);
}

void set_queue(const struct device *device, const struct ring *ring)
{
	uint64_t window = device->window, common = device->common;

	if (device->pci) {
		write_memory(common + COMMON_QUEUE_SIZE, 2, ring->size);
		write_address(common + COMMON_QUEUE_DESC, ring->descriptors);
		write_address(common + COMMON_QUEUE_DRIVER, ring->available);
		write_address(common + COMMON_QUEUE_DEVICE, ring->used);
		return;
	}
	write_memory(window + MMIO_QUEUE_NUM, 4, ring->size);
	write_address(window + MMIO_QUEUE_DESC, ring->descriptors);
	write_address(window + MMIO_QUEUE_DRIVER, ring->available);
	write_address(window + MMIO_QUEUE_DEVICE, ring->used);
}

void enable_queue(const struct device *device, uint16_t on)
{
	if (device->pci)
		write_memory(device->common + COMMON_QUEUE_ENABLE, 2, on);
	else
		write_memory(device->window + MMIO_QUEUE_READY, 4, on);
}

uint32_t queue_state(const struct device *device)
{
	if (device->pci)
		return (uint32_t)read_memory(device->common + COMMON_QUEUE_SIZE, 2);
	return (uint32_t)read_memory(device->window + MMIO_QUEUE_READY, 4);
}

void kick(const struct device *device, unsigned int queue)
{
	barrier();
	if (!device->pci)
		write_memory(device->window + MMIO_QUEUE_NOTIFY, 4, queue);
	else if (device->notify_port)
		out16((uint16_t)(device->notify_port + queue * device->notify_stride),
		      (uint16_t)queue);
	else
		write_memory(device->notify + (uint64_t)queue * device->notify_stride, 2, queue);
}

/* ---- Queues ---- */

void lay_ring(struct device *device, unsigned int queue, uint16_t size)
{
	uint64_t at = device->arena + queue * (uint64_t)RING_BYTES;

	device->rings[queue] = (struct ring){
		.size = size,
		.descriptors = (volatile struct descriptor *)at,
		.available = (volatile uint16_t *)(at + 0x1000),
		.used = (volatile uint16_t *)(at + 0x2000),
	};
	memset((void *)(at + 0x1000), 0, RING_BYTES - 0x1000);
}

bool start(struct device *device, uint64_t features, uint16_t size)
{
	if (!reset(device))
		return false;
	set_status(device, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	set_features(device, features);
	set_status(device, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
	for (unsigned int i = 0; i < device->queues; i++) {
		select_queue(device, i);
		lay_ring(device, i, size);
		set_queue(device, &device->rings[i]);
		enable_queue(device, 1);
	}
	set_status(device,
		   STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
	return !(get_status(device) & STATUS_NEEDS_RESET);
}

void offer(struct ring *ring, uint16_t head)
{
	uint16_t index = ring->available[1];

	ring->available[2 + index % ring->size] = head;
	barrier();
	ring->available[1] = (uint16_t)(index + 1);
}

bool wait_used(struct ring *ring, struct used_element *element)
{
	const volatile struct used_element *elements =
		(const volatile struct used_element *)(ring->used + 2);

	/* Each turn is an exit: whoever is waited for gets time. */
	for (unsigned int i = 0; ring->used[1] == ring->seen; i++) {
		if (i == PATIENCE)
			return false;
		in8(PORT_IDLE);
	}
	barrier();
	element->head = elements[ring->seen % ring->size].head;
	element->bytes = elements[ring->seen % ring->size].bytes;
	ring->seen++;
	return true;
}
