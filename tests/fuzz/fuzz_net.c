/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_net: rings, chains and control commands of a network device whose peer talks back. */
#include <linux/virtio_mmio.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "devices/net.h"
#include "devices/virtio_mmio.h"
#include "tests/fake/guest.h"
#include "tests/fake/net.h"

#define AREA_BYTES   0x10000
#define QUEUE_SIZE   16
#define QUEUES       5
#define QUEUE_GPA(i) (UINT64_C(0x800) * (i)) /* rings close together, within two bytes' reach */

struct target {
	struct ram ram;
	struct fake_wires wires;
	struct fake_net backend;
	struct loop *loop;
	struct virtio *virtio;
	struct device *mmio;
	uint8_t packet[NET_PACKET_BYTES_MAX];
};

static void begin(struct target *target, uint8_t how)
{
	struct virtio_wiring wiring;
	struct net_setup setup = { .ram = &target->ram, .mac = { 2 } };
	static const struct log log;
	struct fake_queue queues[QUEUES];
	uint64_t features = VIRTIO_FEATURE(VIRTIO_F_VERSION_1);

	setup.log = &log;
	fake_wires_init(&target->wires, &wiring);
	fake_net_init(&target->backend, 2, VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4));
	if (loop_create(&target->loop, 64, NULL))
		abort();
	setup.loop = target->loop;
	setup.backend = &target->backend.backend;
	if (net_create(&target->virtio, &setup, NULL))
		abort();
	target->mmio = virtio_mmio_create(target->virtio, &wiring);
	if (!target->mmio)
		abort();
	for (unsigned int i = 0; i < QUEUES; i++) {
		fake_queue_init(&queues[i], &target->ram, 0x10000, QUEUE_SIZE, how & 1);
		queues[i].descriptors_gpa = QUEUE_GPA(i);
		queues[i].driver_gpa = QUEUE_GPA(i) + 0x400;
		queues[i].device_gpa = QUEUE_GPA(i) + 0x600;
	}
	features |= how & 1 ? VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) : 0;
	features |= how & 2 ? VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) : 0;
	features |= how & 4 ? VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) : 0;
	features |= how & 8 ? VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4) : 0;
	features |= how & 16 ? VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ) : 0;
	features |= how & 32 ? VIRTIO_FEATURE(VIRTIO_NET_F_MQ) : 0;
	fake_mmio_start(target->mmio, features, queues, QUEUES);
}

static void end(struct target *target)
{
	device_destroy(target->mmio);
	loop_destroy(target->loop);
	fake_net_close_peers(&target->backend);
}

/* A chain of one or two descriptors in one of the queues, offered and kicked. */
static void offer(struct target *target, unsigned int queue, uint16_t gpa, uint32_t value)
{
	uint8_t *area = target->ram.ranges[0].host + QUEUE_GPA(queue) + 0x400;
	uint16_t index = load_le16(area + 2), head = value % QUEUE_SIZE;
	uint16_t flags = (queue % 2 == 0 && queue < 4 ? VRING_DESC_F_WRITE : 0) | (value >> 4 & 1);

	fake_descriptor(&target->ram, QUEUE_GPA(queue), head, gpa, value >> 8 & 0xffff, flags,
			(value >> 24) % QUEUE_SIZE);
	store_le16(area + 4 + 2 * (index % QUEUE_SIZE), head);
	store_le16(area + 2, index + 1);
	virtio_kick(target->virtio, queue);
}

/* Each step is 8 bytes: what, which, an offset, a value. */
static void step(struct target *target, const uint8_t *data)
{
	uint16_t offset = load_le16(data + 2);
	uint32_t value = load_le32(data + 4);
	unsigned int pair = data[1] % 2;

	switch (data[0] % 8) {
	case 0:
		fake_write(target->mmio, offset % 0x60 * 4, 4, value);
		break;
	case 1:
		virtio_kick(target->virtio, data[1] % (QUEUES + 1));
		break;
	case 2:
		if (write(target->backend.peers[pair], target->packet,
			  NET_HEADER_BYTES + 1 + value % NET_FRAME_BYTES_MAX) < 0)
			break;
		virtio_kick(target->virtio, 2 * pair);
		break;
	case 3:
		while (read(target->backend.peers[pair], target->packet, sizeof(target->packet)) >
		       0)
			;
		break;
	case 4:
	case 5:
		offer(target, data[1] % QUEUES, offset, value);
		break;
	default:
		memcpy(target->ram.ranges[0].host + num_min(offset, AREA_BYTES - 4), data + 4, 4);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct target target;

	if (!target.ram.range_count)
		fake_ram_init(&target.ram);
	memset(target.ram.ranges[0].host, 0, AREA_BYTES);
	begin(&target, bytes ? data[0] : 0);
	for (size_t at = 1; at + 8 <= bytes && at < 200 * 8; at += 8)
		step(&target, data + at);
	end(&target);
	return 0;
}
