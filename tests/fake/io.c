/* SPDX-License-Identifier: Apache-2.0 */
/* io: a virtio device behind virtio-mmio on a real I/O loop. */
#include "tests/fake/io.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "devices/virtio_mmio.h"

static void on_line(void *opaque, enum log_level level, const char *text)
{
	struct fake_io *io = opaque;

	(void)level;
	snprintf(io->line, sizeof(io->line), "%s", text);
	atomic_fetch_add(&io->lines, 1);
}

static void on_interrupt(void *opaque, unsigned int vector)
{
	struct fake_io *io = opaque;

	(void)vector;
	atomic_fetch_add(&io->interrupts, 1);
}

static void on_kick(void *opaque, unsigned int queue)
{
	struct fake_io *io = opaque;

	atomic_store(&io->kicks[queue], true);
	loop_wake(io->loop);
}

/* The loop's thread. */
static void on_wake(void *opaque)
{
	struct fake_io *io = opaque;

	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		if (atomic_exchange(&io->kicks[i], false) && virtio_kick(io->virtio, i))
			on_kick(io, i);
	}
}

static void *run(void *opaque)
{
	struct fake_io *io = opaque;
	sigset_t pipes;

	/* A write to a pipe that nobody reads is an error, not the end, in a machine too. */
	sigemptyset(&pipes);
	sigaddset(&pipes, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipes, NULL);
	if (loop_run(io->loop))
		abort();
	return NULL;
}

void fake_io_init(struct fake_io *io)
{
	memset(io, 0, sizeof(*io));
	fake_ram_init(&io->ram);
	io->log = (struct log){ .line = on_line, .opaque = io, .max_level = LOG_LEVEL_DEBUG };
	if (loop_create(&io->loop, 64, NULL))
		abort();
	loop_on_wake(io->loop, on_wake, io);
}

void fake_io_start(struct fake_io *io, struct virtio *virtio)
{
	const struct virtio_wiring wiring = {
		.interrupt = on_interrupt,
		.kick = on_kick,
		.opaque = io,
	};

	io->virtio = virtio;
	io->mmio = virtio_mmio_create(virtio, &wiring);
	if (!io->mmio || pthread_create(&io->thread, NULL, run, io))
		abort();
	io->running = true;
}

void fake_io_stop(struct fake_io *io)
{
	if (!io->running)
		return;
	loop_stop(io->loop);
	pthread_join(io->thread, NULL);
	io->running = false;
}

void fake_io_fini(struct fake_io *io)
{
	fake_io_stop(io);
	device_destroy(io->mmio);
	loop_destroy(io->loop);
	fake_ram_fini(&io->ram);
}

void fake_io_kick(struct fake_io *io, unsigned int queue, struct fake_queue *q)
{
	if (fake_queue_kick_wanted(q))
		on_kick(io, queue);
}

bool fake_io_used(struct fake_queue *q, uint32_t *head, uint32_t *bytes)
{
	const struct timespec pause = { .tv_nsec = 100000 };
	uint64_t end_ns = clock_ns() + 5 * NS_PER_SEC;

	while (!fake_queue_used(q, head, bytes)) {
		if (clock_ns() > end_ns)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}
