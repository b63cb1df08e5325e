/* SPDX-License-Identifier: Apache-2.0 */
/* device: what any device is. */
#include "devices/device.h"

#include <stddef.h>

void device_init(struct device *device, const struct device_ops *ops)
{
	device->ops = ops;
	pthread_mutex_init(&device->lock, NULL);
}

void device_fini(struct device *device)
{
	pthread_mutex_destroy(&device->lock);
}

void device_destroy(struct device *device)
{
	if (device)
		device->ops->destroy(device);
}
