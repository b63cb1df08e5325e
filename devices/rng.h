/* SPDX-License-Identifier: Apache-2.0 */
/* rng: a virtio entropy device (virtio 1.3 section 5.4) fed by getrandom(). */
#ifndef DEVICES_RNG_H
#define DEVICES_RNG_H

#include "devices/virtio.h"

/* NULL where memory is short. For virtio_mmio_create() or virtio_pci_create(). */
struct virtio *rng_create(const struct ram *ram, const struct log *log);

#endif
