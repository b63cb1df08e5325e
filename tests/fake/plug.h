/* SPDX-License-Identifier: Apache-2.0 */
/* plug: what connects a virtio device to the loop in a real machine, without KVM: an eventfd for
 * each queue, the loop on its own thread, interrupts counted. */
#ifndef TESTS_FAKE_PLUG_H
#define TESTS_FAKE_PLUG_H

#include <pthread.h>

#include "base/loop.h"
#include "devices/virtio.h"

#define FAKE_PLUG_QUEUES 4

struct fake_plug {
	struct loop *loop;
	struct virtio *virtio;
	struct virtio_wiring wiring;
	struct fake_doorbell {
		struct loop_request watch;
		struct fake_plug *plug;
		unsigned int queue;
		int fd;
	} doorbells[FAKE_PLUG_QUEUES];
	_Atomic unsigned int interrupts;
	pthread_t thread;
};

/* Creates loop and wiring; then the device, with both; then start. */
void fake_plug_init(struct fake_plug *plug);
void fake_plug_start(struct fake_plug *plug, struct virtio *virtio);
void fake_plug_kick(struct fake_plug *plug, unsigned int queue);
/* Ends the loop; afterwards the device can be destroyed, then the plug. */
void fake_plug_stop(struct fake_plug *plug);
void fake_plug_fini(struct fake_plug *plug);

#endif
