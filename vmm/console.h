/* SPDX-License-Identifier: Apache-2.0 */
/* console: joins the serial port to two descriptors through the I/O loop, so that no vCPU ever
 * waits for a terminal. */
#ifndef VMM_CONSOLE_H
#define VMM_CONSOLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "devices/device.h"
#include "devices/irq.h"

#define CONSOLE_OUTPUT_BYTES 16384 /* a power of two */
#define CONSOLE_INPUT_BYTES  256

/*
 * Output is a ring with one producer (the vCPU that holds the serial port's lock) and one consumer
 * (the loop's thread). Input is read when the one before has been taken by the guest. Owner: the
 * VM; lives as long as the loop and the serial port.
 */
struct console {
	struct loop *loop;
	struct log log;
	struct device *serial;
	int in_fd; /* own duplicates, -1: none */
	int out_fd;

	uint8_t output[CONSOLE_OUTPUT_BYTES];
	_Atomic uint32_t produced; /* bytes ever; written by the producer (release), read by the
				      consumer (acquire) */
	_Atomic uint32_t consumed; /* the other way round */
	atomic_bool wake_sent;     /* a wake-up is on its way: no second one */
	atomic_bool blocked;       /* the serial port waits for serial_sent() */
	bool output_failed;        /* loop thread: what the guest writes is dropped */
	struct loop_request write;

	uint8_t input[CONSOLE_INPUT_BYTES];
	uint32_t input_bytes, input_taken; /* loop thread */
	bool input_ended;
	struct loop_request read;
};

/* Creates the serial port too (console->serial; the caller owns it). Descriptors are duplicated. */
int console_init(struct console *console, struct loop *loop, const struct log *log,
		 const struct irq_line *irq, int in_fd, int out_fd, struct error *error);
void console_fini(struct console *console);

/* On the loop's thread, when it was woken: moves what there is to move. */
void console_on_wake(struct console *console);

/* Any thread: all that the guest has written is on its way to nobody or was taken by the
 * descriptor. */
bool console_is_drained(const struct console *console);

#endif
