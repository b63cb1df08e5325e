/* SPDX-License-Identifier: Apache-2.0 */
/* hvc: a virtio console (virtio 1.3 section 5.3) with one port. */
#include "devices/hvc.h"

#include <errno.h>
#include <linux/virtio_console.h>
#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/fd.h"
#include "base/num.h"
#include "devices/hvc_device.h"

#define CHAINS_PER_KICK 64

#define FROM_REQUEST(request, member) \
	((struct hvc *)((char *)(request)-offsetof(struct hvc, member)))

static struct hvc *to_hvc(struct virtio *virtio)
{
	return (struct hvc *)virtio;
}

static void count(_Atomic uint64_t *counter, uint64_t amount)
{
	atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

static bool queue_runs(const struct hvc *hvc, unsigned int queue)
{
	return !(hvc->virtio.status & VIRTIO_CONFIG_S_NEEDS_RESET) &&
	       virtq_running(&hvc->virtio.queues[queue]);
}

static uint32_t output_pending(const struct hvc *hvc)
{
	return atomic_load_explicit(&hvc->output_bytes, memory_order_relaxed);
}

static void set_output_pending(struct hvc *hvc, uint32_t bytes)
{
	atomic_store_explicit(&hvc->output_bytes, bytes, memory_order_release);
}

static void run_soon(struct hvc *hvc, unsigned int queue)
{
	hvc->virtio.wiring.kick(hvc->virtio.wiring.opaque, queue);
}

/* ---- Output ---- */

/* One write at a time keeps the bytes in order. */
static void write_some(struct hvc *hvc)
{
	uint32_t bytes =
		(uint32_t)num_min(output_pending(hvc), HVC_OUTPUT_BYTES - hvc->output_first);

	if (bytes && !hvc->write.pending &&
	    loop_write(hvc->loop, &hvc->write, hvc->out_fd, hvc->output + hvc->output_first,
		       bytes) == -EAGAIN)
		run_soon(hvc, HVC_QUEUE_SEND);
}

static void keep(struct hvc *hvc, uint32_t bytes)
{
	uint32_t pending = output_pending(hvc);

	count(&hvc->stats.out_bytes, bytes);
	while (bytes) {
		uint32_t end = (hvc->output_first + pending) % HVC_OUTPUT_BYTES;
		uint32_t part = (uint32_t)num_min(bytes, HVC_OUTPUT_BYTES - end);

		virtq_read(&hvc->chain, hvc->chain_taken, hvc->output + end, part);
		hvc->chain_taken += part;
		bytes -= part;
		pending += part;
	}
	set_output_pending(hvc, pending);
}

static bool is_dropping(const struct hvc *hvc)
{
	return hvc->out_fd < 0 || hvc->output_failed;
}

/* False where the rest of the chain has to wait for room. It is popped again then, and a driver may
 * have changed it meanwhile. */
static bool take_output(struct hvc *hvc)
{
	uint32_t bytes = hvc->chain.readable_bytes;

	if (!is_dropping(hvc) && hvc->chain_taken < bytes)
		keep(hvc, (uint32_t)num_min(bytes - hvc->chain_taken,
					    HVC_OUTPUT_BYTES - output_pending(hvc)));
	if (!is_dropping(hvc) && hvc->chain_taken < bytes)
		return false;
	hvc->chain_taken = 0;
	return true;
}

/* True where chains are left for another turn; those that wait for room are looked at when there
 * is some. */
static bool send_run(struct hvc *hvc)
{
	struct virtq *q = &hvc->virtio.queues[HVC_QUEUE_SEND];
	unsigned int budget = CHAINS_PER_KICK;
	bool is_full = false;

	if (!queue_runs(hvc, HVC_QUEUE_SEND))
		return false;
	do {
		virtq_kicks_off(q);
		while (budget && !is_full &&
		       virtio_pop(&hvc->virtio, HVC_QUEUE_SEND, &hvc->chain)) {
			is_full = !take_output(hvc);
			if (is_full)
				virtq_unpop(q);
			else
				virtq_push(q, hvc->chain.head, 0);
			budget--;
		}
	} while (budget && !is_full && queue_runs(hvc, HVC_QUEUE_SEND) && virtq_kicks_on(q));
	virtio_interrupt(&hvc->virtio, HVC_QUEUE_SEND);
	write_some(hvc);
	return !budget && !is_full;
}

static void fail_output(struct hvc *hvc, int code)
{
	hvc->output_failed = true;
	set_output_pending(hvc, 0);
	log_line(hvc->virtio.log, LOG_LEVEL_WARNING,
		 "the virtio console's output cannot be written (%s): the rest is dropped",
		 error_name(code));
}

static void write_done(struct loop_request *request, int result);

/* A descriptor in non-blocking mode had no room: now it has, or says why not. */
static void write_ready(struct loop_request *request, int result)
{
	struct hvc *hvc = FROM_REQUEST(request, write);

	request->done = write_done;
	if (result == -ECANCELED)
		return;
	pthread_mutex_lock(hvc->virtio.lock);
	write_some(hvc);
	pthread_mutex_unlock(hvc->virtio.lock);
}

static void write_done(struct loop_request *request, int result)
{
	struct hvc *hvc = FROM_REQUEST(request, write);

	if (result == -ECANCELED)
		return;
	if (result == -EAGAIN) {
		request->done = write_ready;
		loop_poll(hvc->loop, request, hvc->out_fd, POLLOUT);
		return;
	}
	pthread_mutex_lock(hvc->virtio.lock);
	if (result > 0) {
		hvc->output_first = (hvc->output_first + (uint32_t)result) % HVC_OUTPUT_BYTES;
		set_output_pending(hvc, output_pending(hvc) - (uint32_t)result);
	} else if (result < 0 && result != -EINTR) {
		fail_output(hvc, -result);
	}
	if (send_run(hvc))
		run_soon(hvc, HVC_QUEUE_SEND);
	write_some(hvc);
	pthread_mutex_unlock(hvc->virtio.lock);
}

/* ---- Input ---- */

static void read_some(struct hvc *hvc)
{
	if (hvc->in_fd < 0 || hvc->input_ended || hvc->read.pending || hvc->input_bytes)
		return;
	if (loop_read(hvc->loop, &hvc->read, hvc->in_fd, hvc->input, HVC_INPUT_BYTES) == -EAGAIN)
		run_soon(hvc, HVC_QUEUE_RECEIVE);
}

/* Moves input to the driver's buffers; what finds none waits for its kick. */
static bool receive_run(struct hvc *hvc)
{
	struct virtq *q = &hvc->virtio.queues[HVC_QUEUE_RECEIVE];
	unsigned int budget = CHAINS_PER_KICK;

	if (!queue_runs(hvc, HVC_QUEUE_RECEIVE))
		return false;
	virtq_kicks_off(q);
	while (hvc->input_bytes && budget && queue_runs(hvc, HVC_QUEUE_RECEIVE)) {
		uint32_t moved;

		budget--;
		if (!virtio_pop(&hvc->virtio, HVC_QUEUE_RECEIVE, &hvc->chain)) {
			if (!queue_runs(hvc, HVC_QUEUE_RECEIVE) || !virtq_kicks_on(q))
				break;
			continue;
		}
		moved = virtq_write(&hvc->chain, 0, hvc->input + hvc->input_first,
				    hvc->input_bytes);
		virtq_push(q, hvc->chain.head, moved);
		hvc->input_first += moved;
		hvc->input_bytes -= moved;
		count(&hvc->stats.in_bytes, moved);
	}
	virtio_interrupt(&hvc->virtio, HVC_QUEUE_RECEIVE);
	read_some(hvc);
	return !budget;
}

static void read_done(struct loop_request *request, int result);

static void read_ready(struct loop_request *request, int result)
{
	struct hvc *hvc = FROM_REQUEST(request, read);

	request->done = read_done;
	if (result == -ECANCELED)
		return;
	pthread_mutex_lock(hvc->virtio.lock);
	read_some(hvc);
	pthread_mutex_unlock(hvc->virtio.lock);
}

static void read_done(struct loop_request *request, int result)
{
	struct hvc *hvc = FROM_REQUEST(request, read);

	if (result == -ECANCELED)
		return;
	if (result == -EAGAIN) {
		request->done = read_ready;
		loop_poll(hvc->loop, request, hvc->in_fd, POLLIN);
		return;
	}
	pthread_mutex_lock(hvc->virtio.lock);
	/* The end of the input, or a terminal that is gone, is not the end of the guest. */
	if (result == 0 || (result < 0 && result != -EINTR)) {
		hvc->input_ended = true;
	} else {
		hvc->input_first = 0;
		hvc->input_bytes = result > 0 ? (uint32_t)result : 0;
		if (receive_run(hvc))
			run_soon(hvc, HVC_QUEUE_RECEIVE);
		read_some(hvc);
	}
	pthread_mutex_unlock(hvc->virtio.lock);
}

/* ---- The record ---- */

static bool hvc_kick(struct virtio *virtio, unsigned int queue)
{
	struct hvc *hvc = to_hvc(virtio);

	return queue == HVC_QUEUE_SEND ? send_run(hvc) : receive_run(hvc);
}

static void hvc_reset(struct virtio *virtio)
{
	to_hvc(virtio)->chain_taken = 0;
}

static void hvc_destroy(struct virtio *virtio)
{
	struct hvc *hvc = to_hvc(virtio);

	fd_close(&hvc->in_fd);
	fd_close(&hvc->out_fd);
	free(hvc);
}

static const struct virtio_counter hvc_counters[] = {
	{ "in_bytes", offsetof(struct hvc, stats.in_bytes), 0 },
	{ "out_bytes", offsetof(struct hvc, stats.out_bytes), 0 },
	{ 0 },
};

static const struct virtio_type hvc_type = {
	.name = "hvc",
	.id = VIRTIO_ID_CONSOLE,
	.pci_class = 0x078000, /* communication, other */
	.queue_count = 2,
	.queue_size = HVC_QUEUE_SIZE,
	.features = VIRTIO_FEATURE(VIRTIO_CONSOLE_F_SIZE),
	.config_bytes = offsetof(struct virtio_console_config, max_nr_ports),
	.counters = hvc_counters,
	.kick = hvc_kick,
	.reset = hvc_reset,
	.destroy = hvc_destroy,
};

static void set_size(struct hvc *hvc, uint16_t columns, uint16_t rows)
{
	store_le16(hvc->virtio.config + offsetof(struct virtio_console_config, cols), columns);
	store_le16(hvc->virtio.config + offsetof(struct virtio_console_config, rows), rows);
}

int hvc_create(struct virtio **virtio, const struct hvc_setup *setup, struct error *error)
{
	struct hvc *hvc = calloc(1, sizeof(*hvc));
	int ret;

	if (!hvc)
		return error_set(error, ENOMEM, "no memory for a virtio console");
	hvc->in_fd = hvc->out_fd = -1;
	hvc->loop = setup->loop;
	hvc->read.done = read_done;
	hvc->write.done = write_done;
	virtio_init(&hvc->virtio, &hvc_type, setup->ram, setup->log, 0, 0);
	set_size(hvc, setup->columns, setup->rows);
	ret = fd_keep(setup->in_fd, &hvc->in_fd, "the virtio console's input", error);
	if (!ret)
		ret = fd_keep(setup->out_fd, &hvc->out_fd, "the virtio console's output", error);
	if (ret) {
		hvc_destroy(&hvc->virtio);
		return ret;
	}
	*virtio = &hvc->virtio;
	return 0;
}

void hvc_resize(struct virtio *virtio, uint16_t columns, uint16_t rows)
{
	pthread_mutex_lock(virtio->lock);
	set_size(to_hvc(virtio), columns, rows);
	virtio_config_changed(virtio);
	pthread_mutex_unlock(virtio->lock);
}

uint32_t hvc_pending_bytes(const struct virtio *virtio)
{
	return atomic_load_explicit(&((const struct hvc *)virtio)->output_bytes,
				    memory_order_acquire);
}

const struct hvc_stats *hvc_stats(const struct virtio *virtio)
{
	return &((const struct hvc *)virtio)->stats;
}
