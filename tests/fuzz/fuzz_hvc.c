/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_hvc: rings and chains of a virtio console. The loop never runs: what it would say is said
 * here. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "devices/hvc_device.h"
#include "devices/virtio_mmio.h"
#include "tests/fake/guest.h"

#define AREA_BYTES   0x8000
#define RING_SIZE    8
#define QUEUE_GPA(i) (UINT64_C(0x800) * (i))

struct target {
	struct ram ram;
	struct fake_wires wires;
	struct loop *loop;
	struct hvc *hvc;
	struct device *mmio;
	int pipe[2];
};

static void begin(struct target *target, uint8_t how)
{
	static const struct log log;
	struct hvc_setup setup = { .ram = &target->ram, .log = &log };
	struct virtio_wiring wiring;
	struct fake_queue queues[2];
	struct virtio *virtio;

	fake_wires_init(&target->wires, &wiring);
	if (loop_create(&target->loop, 1024, NULL) || pipe(target->pipe))
		abort();
	setup.loop = target->loop;
	setup.in_fd = target->pipe[0];
	setup.out_fd = target->pipe[1];
	if (hvc_create(&virtio, &setup, NULL))
		abort();
	target->hvc = (struct hvc *)virtio;
	target->mmio = virtio_mmio_create(virtio, &wiring);
	for (unsigned int i = 0; i < 2; i++) {
		fake_queue_init(&queues[i], &target->ram, 0x10000, RING_SIZE, how & 1);
		queues[i].descriptors_gpa = QUEUE_GPA(i);
		queues[i].driver_gpa = QUEUE_GPA(i) + 0x400;
		queues[i].device_gpa = QUEUE_GPA(i) + 0x600;
	}
	fake_mmio_start(target->mmio,
			VIRTIO_FEATURE(VIRTIO_F_VERSION_1) |
				(how & 1 ? VIRTIO_FEATURE(VIRTIO_RING_F_EVENT_IDX) : 0) |
				(how & 2 ? VIRTIO_FEATURE(VIRTIO_RING_F_INDIRECT_DESC) : 0),
			queues, 2);
}

static void end(struct target *target)
{
	device_destroy(target->mmio);
	loop_destroy(target->loop);
	fd_close(&target->pipe[0]);
	fd_close(&target->pipe[1]);
}

static void fire(struct loop_request *request, int result)
{
	if (!request->pending)
		return;
	request->pending = false;
	request->done(request, result);
}

static void offer(struct target *target, unsigned int queue, uint16_t gpa, uint32_t bytes)
{
	uint8_t *area = target->ram.ranges[0].host + QUEUE_GPA(queue) + 0x400;
	uint16_t index = load_le16(area + 2);

	fake_descriptor(&target->ram, QUEUE_GPA(queue), index % RING_SIZE, gpa, bytes,
			queue == HVC_QUEUE_SEND ? 0 : VRING_DESC_F_WRITE, 0);
	store_le16(area + 4 + 2 * (index % RING_SIZE), index % RING_SIZE);
	store_le16(area + 2, index + 1);
	virtio_kick(&target->hvc->virtio, queue);
}

/* Each step is 8 bytes. */
static void step(struct target *target, const uint8_t *data)
{
	struct hvc *hvc = target->hvc;
	uint16_t offset = load_le16(data + 2);
	uint32_t value = load_le32(data + 4), first = hvc->output_first;

	switch (data[0] % 8) {
	case 0:
		fake_write(target->mmio, offset % 0x60 * 4, 4, value);
		break;
	case 1:
		virtio_kick(&hvc->virtio, data[1] % 3);
		break;
	case 2:
		fire(&hvc->read, (int)(value % (HVC_INPUT_BYTES + 1)) - (data[1] % 16 ? 0 : 16));
		break;
	case 3:
		/* No more than was to be written. */
		fire(&hvc->write, data[1] % 16
					  ? (int)(value % (num_min(hvc_pending_bytes(&hvc->virtio),
								   HVC_OUTPUT_BYTES - first) +
							   1))
					  : -EAGAIN - (int)(value % 2));
		break;
	case 4:
	case 5:
		offer(target, data[1] % 2, offset, data[1] & 2 ? value % 0x20000 : value);
		break;
	default:
		memcpy(target->ram.ranges[0].host + num_min(offset, AREA_BYTES - 4), data + 4, 4);
		break;
	}
	fake_wires_run(&target->wires, &hvc->virtio);
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
