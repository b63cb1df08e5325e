/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_virtio_mmio: registers of the transport and rings of an entropy device behind it. */
#include <stddef.h>
#include <stdint.h>

#include "base/num.h"
#include "devices/rng.h"
#include "devices/virtio_mmio.h"
#include "tests/fake/driver.h"

/* Each step is 8 bytes: what, a size, an offset, a value. */
static void step(void *opaque, const uint8_t *data)
{
	struct fake_driver *driver = opaque;
	uint32_t size = 1u << data[1] % 4;
	uint64_t offset = num_min(load_le16(data + 2), VIRTIO_MMIO_BYTES - size);

	switch (data[0] % 6) {
	case 3:
	case 4:
		fake_write(driver->mmio, offset, size, load_le32(data + 4));
		break;
	case 5:
		fake_read(driver->mmio, offset, size);
		break;
	default:
		fake_driver_step(driver, data[0] % 6, data);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct fake_driver driver;
	uint8_t how = bytes ? data[0] : 0;

	fake_driver_init(&driver, 0);
	fake_driver_attach(&driver, rng_create(&driver.ram, &driver.log));
	if (how & 4)
		fake_driver_start(&driver, 1, 0, how);
	fake_driver_run(data, bytes, step, &driver);
	fake_driver_fini(&driver);
	return 0;
}
