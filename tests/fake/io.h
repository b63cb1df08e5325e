/* SPDX-License-Identifier: Apache-2.0 */
/* io: a virtio device behind virtio-mmio on a real I/O loop with its own thread, as in a machine:
 * kicks arrive on the loop, interrupts are counted. */
#ifndef TESTS_FAKE_IO_H
#define TESTS_FAKE_IO_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/loop.h"
#include "devices/device.h"
#include "devices/virtio.h"
#include "tests/fake/guest.h"

struct fake_io {
	struct ram ram;
	struct log log;
	struct loop *loop;
	pthread_t thread;
	bool running;
	struct virtio *virtio;
	struct device *mmio;
	atomic_bool kicks[VIRTIO_QUEUES_MAX];
	atomic_uint interrupts;
	atomic_uint lines; /* of the log */
	char line[512];    /* the last one; read it after fake_io_stop() */
};

/* RAM, a log and a loop: what a device's constructor asks for. */
void fake_io_init(struct fake_io *io);
/* Puts a device behind the transport and starts the loop's thread. */
void fake_io_start(struct fake_io *io, struct virtio *virtio);
/* Ends the loop: nothing is in flight any more. */
void fake_io_stop(struct fake_io *io);
/* fake_io_stop(), and destroys device, loop and RAM. */
void fake_io_fini(struct fake_io *io);

/* The driver kicks where the device asked for it. */
void fake_io_kick(struct fake_io *io, unsigned int queue, struct fake_queue *q);
/* Waits up to 5 s for the next used element; false where there is none. */
bool fake_io_used(struct fake_queue *q, uint32_t *head, uint32_t *bytes);

#endif
