/* SPDX-License-Identifier: Apache-2.0 */
/* calm: a good driver's use of a device. */
#include "attack.h"

#define QUEUE_SIZE   8
#define SECTOR_BYTES 512
#define DATA_BYTES   4096
#define ANSWERS_MAX  1000
#define OP_RESET     3 /* virtio 1.3 section 5.10.6 */

/* Beside the arenas, in what no device is told to write otherwise. */
__attribute__((aligned(4096))) static uint8_t data[DATA_BYTES], copy[DATA_BYTES];
__attribute__((aligned(16))) static uint8_t header[64];
static volatile uint8_t status;

static bool complain(const struct device *device, const char *what)
{
	say("hostile: ");
	say(device_name(device));
	say(" ");
	say(what);
	say("\r\n");
	return false;
}

static void describe(struct ring *ring, uint16_t index, const volatile void *at, uint32_t bytes,
		     uint16_t flags)
{
	ring->descriptors[index] =
		(struct descriptor){ (uint64_t)(uintptr_t)at, bytes, flags, (uint16_t)(index + 1) };
}

/* Kicks and waits for the one chain that begins at descriptor 0. */
static bool run(struct device *device, unsigned int queue, uint32_t *bytes)
{
	struct ring *ring = &device->rings[queue];
	struct used_element element;

	offer(ring, 0);
	kick(device, queue);
	if (!wait_used(ring, &element))
		return complain(device, "does not answer");
	if (element.head != 0)
		return complain(device, "answers what was not asked");
	*bytes = element.bytes;
	return true;
}

static void put_header(uint32_t type, uint64_t sector)
{
	memset(header, 0, 16);
	memcpy(header, &type, sizeof(type));
	memcpy(header + 8, &sector, sizeof(sector));
}

static bool transfer(struct device *device, uint32_t type, uint64_t sector, uint8_t *buffer)
{
	struct ring *ring = &device->rings[0];
	uint32_t bytes;

	put_header(type, sector);
	status = 0xff;
	describe(ring, 0, header, 16, DESC_NEXT);
	if (buffer)
		describe(ring, 1, buffer, DATA_BYTES, DESC_NEXT | (type == 1 ? 0 : DESC_WRITE));
	describe(ring, buffer ? 2 : 1, &status, 1, DESC_WRITE);
	return run(device, 0, &bytes) && (!status || complain(device, "reports an error"));
}

/* Reads anything, then writes, flushes and reads back. */
static bool use_blk(struct device *device)
{
	uint64_t sectors = read_memory(device->config, 4) | read_memory(device->config + 4, 4)
								    << 32;
	uint64_t places = sectors - DATA_BYTES / SECTOR_BYTES + 1, sector = below(places);

	for (unsigned int i = 0; i < DATA_BYTES; i += 8)
		*(uint64_t *)(void *)(data + i) = chance();
	if (!transfer(device, 0, below(places), copy) || !transfer(device, 1, sector, data) ||
	    !transfer(device, 4, 0, NULL) || !transfer(device, 0, sector, copy))
		return false;
	return !memcmp(data, copy, DATA_BYTES) || complain(device, "read other than was written");
}

static bool use_rng(struct device *device)
{
	uint32_t bytes;

	memset(data, 0, 64);
	describe(&device->rings[0], 0, data, 64, DESC_WRITE);
	memset(copy, 0, 64);
	if (!run(device, 0, &bytes))
		return false;
	return (bytes && bytes <= 64 && memcmp(data, copy, bytes)) ||
	       complain(device, "gives no random bytes");
}

/* A frame that nobody is interested in (EtherType of local experiments). */
static bool use_net(struct device *device)
{
	uint32_t bytes;

	memset(data, 0, 12 + 64);
	memset(data + 12, 0xff, 6);
	data[24] = 0x88;
	data[25] = 0xb5;
	describe(&device->rings[1], 0, data, 12 + 64, 0);
	return run(device, 1, &bytes);
}

static bool use_hvc(struct device *device)
{
	uint32_t bytes;

	data[0] = '.';
	describe(&device->rings[1], 0, data, 1, 0);
	return run(device, 1, &bytes);
}

/* Gives back the one receive buffer until the refusal of port comes: programs of the host may ask
 * for connections meanwhile. */
static bool wait_for_refusal(struct device *device, uint32_t port)
{
	struct ring *rx = &device->rings[0];
	struct used_element element;

	for (unsigned int i = 0; i < ANSWERS_MAX; i++) {
		if (!wait_used(rx, &element))
			return complain(device, "does not refuse a connection");
		if (copy[30] == OP_RESET && !memcmp(copy + 20, &port, sizeof(port)))
			return true;
		offer(rx, 0);
		kick(device, 0);
	}
	return complain(device, "answers everything but a connection");
}

/* A connection to a port where nobody listens: it is refused. */
static bool use_vsock(struct device *device)
{
	static const uint8_t tail[] = { 1, 0, 1, 0 }; /* stream, request */
	struct ring *rx = &device->rings[0];
	uint32_t bytes, port = 77;

	memset(header, 0, sizeof(header));
	*(uint32_t *)(void *)header = (uint32_t)read_memory(device->config, 4);
	header[8] = 2;
	memcpy(header + 16, &port, sizeof(port));
	memcpy(header + 20, &port, sizeof(port));
	memcpy(header + 28, tail, sizeof(tail));
	describe(rx, 0, copy, DATA_BYTES, DESC_WRITE);
	offer(rx, 0);
	describe(&device->rings[1], 0, header, 44, 0);
	kick(device, 0);
	return run(device, 1, &bytes) && wait_for_refusal(device, port);
}

bool use(struct device *device)
{
	uint64_t features = FEATURE_VERSION_1;

	if (one_in(2))
		features |= get_features(device) & FEATURE_EVENT_INDEX;
	if (!start(device, features, QUEUE_SIZE))
		return complain(device, "does not start");
	switch (device->id) {
	case ID_BLK:
		return use_blk(device);
	case ID_RNG:
		return use_rng(device);
	case ID_NET:
		return use_net(device);
	case ID_HVC:
		return use_hvc(device);
	case ID_VSOCK:
		return use_vsock(device);
	default:
		return complain(device, "is of no known type");
	}
}
