/* SPDX-License-Identifier: Apache-2.0 */
/* device: what any device is. It sees offsets into its window, never addresses. */
#ifndef DEVICES_DEVICE_H
#define DEVICES_DEVICE_H

#include <pthread.h>
#include <stdint.h>

struct device;

/*
 * size is 1, 2, 4 or 8 and offset + size lies within the window: the bus has checked both. value
 * holds size bytes in its low end. read and write run with the device's lock held, on a vCPU
 * thread, and never block. A guest's mistake is no error: a read of nothing is all ones (the bus's
 * default: leave *value alone), a write of nothing is ignored.
 */
struct device_ops {
	const char *name; /* stable, for statistics: "serial", "rtc" */
	void (*read)(struct device *device, uint64_t offset, uint32_t size, uint64_t *value);
	void (*write)(struct device *device, uint64_t offset, uint32_t size, uint64_t value);
	void (*reset)(struct device *device);   /* to its state at power-on; may be NULL */
	void (*destroy)(struct device *device); /* frees it; never NULL */
};

/*
 * First member of every device. lock guards the device's state and is taken in two places only: by
 * the bus around an access, and by the device's callback on the I/O loop (through the device's own
 * functions that say so). Nothing is called back into the bus or the loop's submit path of another
 * device while it is held.
 */
struct device {
	const struct device_ops *ops;
	pthread_mutex_t lock;
};

void device_init(struct device *device, const struct device_ops *ops);
void device_fini(struct device *device);
void device_destroy(struct device *device); /* through ops->destroy; NULL is fine */

#endif
