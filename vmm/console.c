/* SPDX-License-Identifier: Apache-2.0 */
/* console: joins the serial port to two descriptors through the I/O loop. */
#include "vmm/console.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/fd.h"
#include "base/num.h"
#include "devices/serial.h"

#define FROM_REQUEST(request, member) \
	((struct console *)((char *)(request)-offsetof(struct console, member)))

static void wake(struct console *console)
{
	if (!atomic_exchange_explicit(&console->wake_sent, true, memory_order_acq_rel))
		loop_wake(console->loop);
}

/* A vCPU's thread, under the serial port's lock: the only producer. */
static size_t wire_send(void *opaque, const uint8_t *data, size_t bytes)
{
	struct console *console = opaque;
	uint32_t produced = atomic_load_explicit(&console->produced, memory_order_relaxed);
	uint32_t consumed = atomic_load_explicit(&console->consumed, memory_order_acquire);
	uint32_t room = CONSOLE_OUTPUT_BYTES - (produced - consumed);
	size_t taken = num_min(bytes, room);

	for (size_t i = 0; i < taken; i++)
		console->output[(produced + i) % CONSOLE_OUTPUT_BYTES] = data[i];
	/* Pairs with the acquire in write_some(): the bytes are there before their count. */
	atomic_store_explicit(&console->produced, produced + (uint32_t)taken, memory_order_release);
	if (taken < bytes)
		atomic_store_explicit(&console->blocked, true, memory_order_release);
	wake(console);
	return taken;
}

static void wire_ready(void *opaque)
{
	wake(opaque);
}

static void write_some(struct console *console);
static void write_done(struct loop_request *request, int result);
static void read_some(struct console *console);
static void read_done(struct loop_request *request, int result);

static bool console_has_room(const struct console *console)
{
	return atomic_load_explicit(&console->produced, memory_order_acquire) -
		       atomic_load_explicit(&console->consumed, memory_order_acquire) <
	       CONSOLE_OUTPUT_BYTES;
}

/* Tells the serial port that there is room again, where it waits for that. */
static void unblock(struct console *console)
{
	if (atomic_exchange_explicit(&console->blocked, false, memory_order_acq_rel))
		serial_sent(console->serial);
}

/* A descriptor in non-blocking mode had no room: now it has. */
static void write_ready(struct loop_request *request, int result)
{
	struct console *console = FROM_REQUEST(request, write);

	request->done = write_done;
	if (result != -ECANCELED)
		write_some(console);
}

static void write_done(struct loop_request *request, int result)
{
	struct console *console = FROM_REQUEST(request, write);
	uint32_t consumed = atomic_load_explicit(&console->consumed, memory_order_relaxed);

	if (result == -EAGAIN) {
		request->done = write_ready;
		loop_poll(console->loop, request, console->out_fd, POLLOUT);
		return;
	}
	if (result == -EINTR)
		result = 0;
	if (result < 0 && result != -ECANCELED) {
		console->output_failed = true;
		log_line(&console->log, LOG_LEVEL_WARNING,
			 "the console's output cannot be written (%s): the rest is dropped",
			 error_name(-result));
	}
	if (result > 0)
		consumed += (uint32_t)result;
	atomic_store_explicit(&console->consumed, consumed, memory_order_release);
	unblock(console);
	if (result != -ECANCELED)
		write_some(console);
}

/* Loop thread: the only consumer. One write at a time keeps the bytes in order. */
static void write_some(struct console *console)
{
	uint32_t consumed = atomic_load_explicit(&console->consumed, memory_order_relaxed);
	uint32_t produced = atomic_load_explicit(&console->produced, memory_order_acquire);
	uint32_t at = consumed % CONSOLE_OUTPUT_BYTES;
	uint32_t bytes = (uint32_t)num_min(produced - consumed, CONSOLE_OUTPUT_BYTES - at);

	if (console->write.pending || !bytes)
		return;
	if (console->out_fd < 0 || console->output_failed) {
		atomic_store_explicit(&console->consumed, produced, memory_order_release);
		unblock(console);
		return;
	}
	loop_write(console->loop, &console->write, console->out_fd, console->output + at, bytes);
}

static void read_ready(struct loop_request *request, int result)
{
	struct console *console = FROM_REQUEST(request, read);

	request->done = read_done;
	if (result != -ECANCELED)
		read_some(console);
}

static void read_done(struct loop_request *request, int result)
{
	struct console *console = FROM_REQUEST(request, read);

	if (result == -ECANCELED)
		return;
	if (result == -EAGAIN) {
		request->done = read_ready;
		loop_poll(console->loop, request, console->in_fd, POLLIN);
		return;
	}
	/* The end of the input, or a terminal that is gone, is not the end of the guest. */
	if (result == 0 || (result < 0 && result != -EINTR)) {
		console->input_ended = true;
		return;
	}
	console->input_bytes = result > 0 ? (uint32_t)result : 0;
	console->input_taken = 0;
	read_some(console);
}

static void read_some(struct console *console)
{
	if (console->in_fd < 0 || console->input_ended || console->read.pending)
		return;
	if (console->input_taken < console->input_bytes)
		console->input_taken += (uint32_t)serial_receive(
			console->serial, console->input + console->input_taken,
			console->input_bytes - console->input_taken);
	if (console->input_taken < console->input_bytes)
		return; /* wire_ready() wakes the loop when the guest has made room */
	loop_read(console->loop, &console->read, console->in_fd, console->input,
		  CONSOLE_INPUT_BYTES);
}

void console_on_wake(struct console *console)
{
	/* Cleared first: bytes that come now cause a wake-up of their own. Pairs with the exchange
	 * in wake(): who finds it set is seen by what follows. */
	atomic_exchange_explicit(&console->wake_sent, false, memory_order_acq_rel);
	write_some(console);
	/* The port may have found the ring full just before it was emptied. While it is full a
	 * write is under way. */
	if (console_has_room(console))
		unblock(console);
	read_some(console);
}

bool console_is_drained(const struct console *console)
{
	return atomic_load_explicit(&console->produced, memory_order_acquire) ==
	       atomic_load_explicit(&console->consumed, memory_order_acquire);
}

int console_init(struct console *console, struct loop *loop, const struct log *log,
		 const struct irq_line *irq, int in_fd, int out_fd, struct error *error)
{
	const struct serial_wire wire = { wire_send, wire_ready, console };
	int ret;

	memset(console, 0, sizeof(*console));
	console->loop = loop;
	console->log = *log;
	console->in_fd = -1;
	console->out_fd = -1;
	console->write.done = write_done;
	console->read.done = read_done;
	ret = fd_keep(in_fd, &console->in_fd, "the console's input", error);
	if (!ret)
		ret = fd_keep(out_fd, &console->out_fd, "the console's output", error);
	if (ret)
		goto fail;
	console->serial = serial_create(irq, &wire);
	if (!console->serial) {
		ret = error_set(error, ENOMEM, "no memory for the serial port");
		goto fail;
	}
	/* The first read is queued by the loop's own thread. */
	wake(console);
	return 0;
fail:
	console_fini(console);
	return ret;
}

void console_fini(struct console *console)
{
	fd_close(&console->in_fd);
	fd_close(&console->out_fd);
}
