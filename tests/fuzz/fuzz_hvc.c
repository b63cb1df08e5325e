/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_hvc: rings and chains of a virtio console, and what its descriptors say. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "devices/hvc_device.h"
#include "tests/fake/driver.h"

struct target {
	struct fake_driver driver;
	struct hvc *hvc;
	int pipe[2];
};

static void begin(struct target *target, uint8_t how)
{
	struct fake_driver *driver = &target->driver;
	struct hvc_setup setup = { .ram = &driver->ram, .log = &driver->log };
	struct virtio *virtio;

	fake_driver_init(driver, 1024);
	if (pipe(target->pipe))
		abort();
	setup.loop = driver->loop;
	setup.in_fd = target->pipe[0];
	setup.out_fd = target->pipe[1];
	if (hvc_create(&virtio, &setup, NULL))
		abort();
	target->hvc = (struct hvc *)virtio;
	fake_driver_attach(driver, virtio);
	fake_driver_start(driver, 2, 0, how);
}

static void end(struct target *target)
{
	fake_driver_fini(&target->driver);
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

/* No more than was to be written, or an error. */
static void written(struct hvc *hvc, uint8_t how, uint32_t value)
{
	uint64_t most =
		num_min(hvc_pending_bytes(&hvc->virtio), HVC_OUTPUT_BYTES - hvc->output_first);

	fire(&hvc->write, how % 16 ? (int)(value % (most + 1)) : -EAGAIN - (int)(value % 2));
}

static void step(void *opaque, const uint8_t *data)
{
	struct target *target = opaque;
	struct hvc *hvc = target->hvc;
	uint32_t value = load_le32(data + 4);
	unsigned int queue = data[1] % 2;

	switch (data[0] % 8) {
	case 3:
		fire(&hvc->read, (int)(value % (HVC_INPUT_BYTES + 1)) - (data[1] % 16 ? 0 : 16));
		break;
	case 4:
		written(hvc, data[1], value);
		break;
	case 5:
	case 6:
		fake_driver_offer(&target->driver, queue, load_le16(data + 2),
				  data[1] & 2 ? value % 0x20000 : value,
				  queue == HVC_QUEUE_SEND ? 0 : VRING_DESC_F_WRITE);
		break;
	case 7:
		hvc_resize(&hvc->virtio, data[1], load_le16(data + 2));
		break;
	default:
		fake_driver_step(&target->driver, data[0] % 8, data);
		break;
	}
	fake_wires_run(&target->driver.wires, &hvc->virtio);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct target target;

	begin(&target, bytes ? data[0] : 0);
	fake_driver_run(data, bytes, step, &target);
	end(&target);
	return 0;
}
