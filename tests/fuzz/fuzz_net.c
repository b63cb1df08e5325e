/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_net: rings, chains and control commands of a network device whose peer talks back. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/num.h"
#include "devices/net.h"
#include "tests/fake/driver.h"
#include "tests/fake/net.h"

#define QUEUES 5

struct target {
	struct fake_driver driver;
	struct fake_net backend;
	uint8_t packet[NET_PACKET_BYTES_MAX];
};

static void begin(struct target *target, uint8_t how)
{
	struct fake_driver *driver = &target->driver;
	struct net_setup setup = { .ram = &driver->ram, .log = &driver->log, .mac = { 2 } };
	uint64_t features = 0;
	struct virtio *virtio;

	fake_driver_init(driver, 64);
	fake_net_init(&target->backend, 2, VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4));
	setup.loop = driver->loop;
	setup.backend = &target->backend.backend;
	if (net_create(&virtio, &setup, NULL))
		abort();
	features |= how & 4 ? VIRTIO_FEATURE(VIRTIO_NET_F_MRG_RXBUF) : 0;
	features |= how & 8 ? VIRTIO_FEATURE(VIRTIO_NET_F_GUEST_TSO4) : 0;
	features |= how & 16 ? VIRTIO_FEATURE(VIRTIO_NET_F_CTRL_VQ) : 0;
	features |= how & 32 ? VIRTIO_FEATURE(VIRTIO_NET_F_MQ) : 0;
	fake_driver_attach(driver, virtio);
	fake_driver_start(driver, QUEUES, features, how);
}

/* A packet comes for one of the pairs. */
static void receive(struct target *target, unsigned int pair, uint32_t bytes)
{
	if (write(target->backend.peers[pair], target->packet, bytes) > 0)
		virtio_kick(target->driver.virtio, 2 * pair);
}

static void step(void *opaque, const uint8_t *data)
{
	struct target *target = opaque;
	uint32_t value = load_le32(data + 4);
	unsigned int pair = data[1] % 2, queue = data[1] % QUEUES;
	uint16_t flags = (queue % 2 == 0 && queue < 4 ? VRING_DESC_F_WRITE : 0) | (value >> 4 & 1);

	switch (data[0] % 7) {
	case 3:
		receive(target, pair, NET_HEADER_BYTES + 1 + value % NET_FRAME_BYTES_MAX);
		break;
	case 4:
		while (read(target->backend.peers[pair], target->packet, sizeof(target->packet)) >
		       0)
			;
		break;
	case 5:
	case 6:
		fake_driver_offer(&target->driver, queue, load_le16(data + 2), value >> 8 & 0xffff,
				  flags);
		break;
	default:
		fake_driver_step(&target->driver, data[0] % 7, data);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct target target;

	begin(&target, bytes ? data[0] : 0);
	fake_driver_run(data, bytes, step, &target);
	fake_driver_fini(&target.driver);
	fake_net_close_peers(&target.backend);
	return 0;
}
