/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_virtio_mmio: registers of the transport and rings of an entropy device behind it. */
#include <linux/virtio_mmio.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "devices/rng.h"
#include "devices/virtio_mmio.h"
#include "tests/fake/guest.h"

#define AREA_BYTES 0x8000

static void begin(struct device *mmio, const struct ram *ram, uint8_t how)
{
	struct fake_queue q;

	fake_queue_init(&q, ram, 0, 8, how & 2);
	q.driver_gpa = 0x400; /* within reach of the fuzzer's two-byte addresses and close by */
	q.device_gpa = 0x600;
	if (how & 1)
		fake_mmio_start(mmio,
				VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |
					(how & 2 ? VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) : 0) |
					VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC),
				&q, 1);
}

/* Each step is 8 bytes: what, a size, an offset, a value. */
static void step(struct device *mmio, struct virtio *virtio, const struct ram *ram,
		 const uint8_t *data)
{
	uint32_t size = 1u << data[1] % 4;
	uint16_t offset = load_le16(data + 2);
	uint32_t value = load_le32(data + 4);

	switch (data[0] % 8) {
	case 0:
	case 1:
		fake_write(mmio, num_min(offset, VIRTIO_MMIO_BYTES - size), size, value);
		break;
	case 2:
		fake_read(mmio, num_min(offset, VIRTIO_MMIO_BYTES - size), size);
		break;
	case 3: /* a register that there is */
		fake_write(mmio, offset % 0x40 * 4, 4, value);
		break;
	case 4:
		virtio_kick(virtio, offset % 3);
		break;
	default:
		memcpy(ram->ranges[0].host + num_min(offset, AREA_BYTES - 4), data + 4, 4);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct ram ram;
	const struct log log = { 0 };
	struct virtio_wiring wiring;
	struct fake_wires wires;
	struct device *mmio;
	struct virtio *rng;

	if (!ram.range_count)
		fake_ram_init(&ram);
	memset(ram.ranges[0].host, 0, AREA_BYTES);
	fake_wires_init(&wires, &wiring);
	rng = rng_create(&ram, &log);
	mmio = rng ? virtio_mmio_create(rng, &wiring) : NULL;
	if (!mmio)
		abort();
	begin(mmio, &ram, bytes ? data[0] : 0);
	for (size_t at = 1; at + 8 <= bytes && at < 200 * 8; at += 8)
		step(mmio, rng, &ram, data + at);
	device_destroy(mmio);
	return 0;
}
