/* SPDX-License-Identifier: Apache-2.0 */
/* plug: what connects a virtio device to the loop in a real machine, without KVM. */
#include "tests/fake/plug.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void ring(const struct fake_doorbell *doorbell)
{
	const uint64_t one = 1;

	if (write(doorbell->fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void rang(struct loop_request *request, int result)
{
	struct fake_doorbell *doorbell =
		(struct fake_doorbell *)((char *)request - offsetof(struct fake_doorbell, watch));

	if (result >= 0 && virtio_kick(doorbell->plug->virtio, doorbell->queue))
		ring(doorbell);
}

static void wiring_interrupt(void *opaque, unsigned int vector)
{
	struct fake_plug *plug = opaque;

	(void)vector;
	atomic_fetch_add(&plug->interrupts, 1);
}

static void wiring_route(void *opaque, unsigned int vector, uint64_t address, uint32_t data)
{
	(void)opaque;
	(void)vector;
	(void)address;
	(void)data;
}

static void wiring_kick(void *opaque, unsigned int queue)
{
	fake_plug_kick(opaque, queue);
}

void fake_plug_init(struct fake_plug *plug)
{
	memset(plug, 0, sizeof(*plug));
	if (loop_create(&plug->loop, 64, NULL))
		abort();
	plug->wiring = (struct virtio_wiring){
		.interrupt = wiring_interrupt,
		.route = wiring_route,
		.kick = wiring_kick,
		.opaque = plug,
	};
	for (unsigned int i = 0; i < FAKE_PLUG_QUEUES; i++) {
		struct fake_doorbell *doorbell = &plug->doorbells[i];

		doorbell->plug = plug;
		doorbell->queue = i;
		doorbell->watch.done = rang;
		doorbell->fd = eventfd(0, EFD_CLOEXEC);
		if (doorbell->fd < 0 || loop_watch(plug->loop, &doorbell->watch, doorbell->fd))
			abort();
	}
}

static void *run(void *opaque)
{
	struct fake_plug *plug = opaque;

	if (loop_run(plug->loop))
		abort();
	return NULL;
}

void fake_plug_start(struct fake_plug *plug, struct virtio *virtio)
{
	plug->virtio = virtio;
	if (pthread_create(&plug->thread, NULL, run, plug))
		abort();
}

void fake_plug_kick(struct fake_plug *plug, unsigned int queue)
{
	ring(&plug->doorbells[queue]);
}

void fake_plug_stop(struct fake_plug *plug)
{
	loop_stop(plug->loop);
	pthread_join(plug->thread, NULL);
}

void fake_plug_fini(struct fake_plug *plug)
{
	for (unsigned int i = 0; i < FAKE_PLUG_QUEUES; i++)
		close(plug->doorbells[i].fd);
	loop_destroy(plug->loop);
}
