/* SPDX-License-Identifier: Apache-2.0 */
/* serial: a 16550A UART (National Semiconductor PC16550D data sheet; section numbers are its own).
 */
#include "devices/serial.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

/* Registers by offset; the divisor latch is at 0 and 1 while LCR.DLAB is set. */
enum {
	REG_DATA = 0,
	REG_IER = 1,
	REG_IIR = 2, /* read */
	REG_FCR = 2, /* write */
	REG_LCR = 3,
	REG_MCR = 4,
	REG_LSR = 5,
	REG_MSR = 6,
	REG_SCR = 7,
};

#define IER_DATA     0x01
#define IER_THRE     0x02
#define IER_LINE     0x04
#define IER_MODEM    0x08
#define IER_MASK     0x0f
#define IIR_MODEM    0x00
#define IIR_NONE     0x01
#define IIR_THRE     0x02
#define IIR_DATA     0x04
#define IIR_LINE     0x06
#define IIR_TIMER    0x0c /* data below the trigger level, and no more came */
#define IIR_FIFO     0xc0
#define FCR_ENABLE   0x01
#define FCR_CLEAR_RX 0x02
#define FCR_CLEAR_TX 0x04
#define LCR_DLAB     0x80
#define MCR_DTR      0x01
#define MCR_RTS      0x02
#define MCR_OUT1     0x04
#define MCR_OUT2     0x08
#define MCR_LOOP     0x10
#define MCR_MASK     0x1f
#define LSR_DATA     0x01
#define LSR_OVERRUN  0x02
#define LSR_THRE     0x20
#define LSR_IDLE     0x40
#define MSR_CTS      0x10
#define MSR_DSR      0x20
#define MSR_RING     0x40
#define MSR_DCD      0x80

#define FIFO_BYTES 16

/*
 * Lock: device.lock. Invariants: the transmitter holds bytes only while the wire takes none;
 * thre_pending implies an empty transmitter; line_level is what irq_set() was last told.
 */
struct serial {
	struct device device;
	struct irq_line irq;
	struct serial_wire wire;
	uint8_t ier, fcr, lcr, mcr, scratch;
	uint8_t divisor[2];
	uint8_t modem;       /* MSR bits 7-4 as they stand */
	uint8_t modem_delta; /* MSR bits 3-0: what changed since it was read */
	bool overrun;
	bool thre_pending; /* the transmitter went empty and no one was told yet (8.6.2) */
	bool line_level;
	bool refused; /* serial_receive() took less than it was given: ready() is owed */
	uint8_t input[SERIAL_INPUT_BYTES];
	uint32_t input_first, input_count;
	uint8_t output[FIFO_BYTES];
	uint32_t output_count;
};

static struct serial *to_serial(struct device *device)
{
	return (struct serial *)device;
}

static bool fifo_enabled(const struct serial *serial)
{
	return serial->fcr & FCR_ENABLE;
}

static uint32_t trigger_level(const struct serial *serial)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };

	return fifo_enabled(serial) ? levels[serial->fcr >> 6] : 1;
}

/* The highest pending and enabled cause (table V). */
static uint8_t cause(const struct serial *serial)
{
	if ((serial->ier & IER_LINE) && serial->overrun)
		return IIR_LINE;
	if ((serial->ier & IER_DATA) && serial->input_count)
		return serial->input_count >= trigger_level(serial) ? IIR_DATA : IIR_TIMER;
	if ((serial->ier & IER_THRE) && serial->thre_pending)
		return IIR_THRE;
	if ((serial->ier & IER_MODEM) && serial->modem_delta)
		return IIR_MODEM;
	return IIR_NONE;
}

/* On a PC, OUT2 connects the UART to the interrupt line; loopback disconnects that output. */
static void update_line(struct serial *serial)
{
	bool connected = (serial->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
	bool level = connected && cause(serial) != IIR_NONE;

	if (level == serial->line_level)
		return;
	serial->line_level = level;
	irq_set(&serial->irq, level);
}

/* MSR bits 7-4: the other end is always there; in loopback they are this end's outputs (8.7.5). */
static void update_modem(struct serial *serial)
{
	uint8_t now = MSR_CTS | MSR_DSR | MSR_DCD;
	uint8_t changed;

	if (serial->mcr & MCR_LOOP)
		now = (serial->mcr & MCR_RTS ? MSR_CTS : 0) |
		      (serial->mcr & MCR_DTR ? MSR_DSR : 0) |
		      (serial->mcr & MCR_OUT1 ? MSR_RING : 0) |
		      (serial->mcr & MCR_OUT2 ? MSR_DCD : 0);
	changed = now ^ serial->modem;
	changed &= ~(now & MSR_RING); /* only the trailing edge of RI counts */
	serial->modem_delta |= changed >> 4;
	serial->modem = now;
}

/* Room in the input freed: tells a wire that had to keep bytes back. Half empty, so that it is not
 * asked for every byte. */
static void input_drained(struct serial *serial)
{
	if (!serial->refused || serial->input_count > SERIAL_INPUT_BYTES / 2 ||
	    (serial->mcr & MCR_LOOP))
		return;
	serial->refused = false;
	if (serial->wire.ready)
		serial->wire.ready(serial->wire.opaque);
}

static void input_put(struct serial *serial, uint8_t byte)
{
	serial->input[(serial->input_first + serial->input_count) % SERIAL_INPUT_BYTES] = byte;
	serial->input_count++;
}

static uint8_t input_take(struct serial *serial)
{
	uint8_t byte = serial->input[serial->input_first];

	if (!serial->input_count)
		return 0;
	serial->input_first = (serial->input_first + 1) % SERIAL_INPUT_BYTES;
	serial->input_count--;
	input_drained(serial);
	return byte;
}

/* Gives the wire what the transmitter holds. THRE is raised once, when the last byte left. */
static void transmit(struct serial *serial)
{
	size_t sent;

	if (!serial->output_count)
		return;
	sent = serial->output_count;
	if (serial->wire.send)
		sent = serial->wire.send(serial->wire.opaque, serial->output, sent);
	sent = num_min(sent, serial->output_count);
	serial->output_count -= sent;
	memmove(serial->output, serial->output + sent, serial->output_count);
	if (!serial->output_count)
		serial->thre_pending = true;
}

/* Loopback: the byte comes back at once; a receiver that is full overruns (8.4.1). */
static void loop_back(struct serial *serial, uint8_t byte)
{
	if (serial->input_count < (fifo_enabled(serial) ? FIFO_BYTES : 1))
		input_put(serial, byte);
	else
		serial->overrun = true;
	serial->thre_pending = true;
}

/* What is written to a full transmitter is lost, as on the wire. */
static void write_data(struct serial *serial, uint8_t byte)
{
	serial->thre_pending = false;
	if (serial->mcr & MCR_LOOP) {
		loop_back(serial, byte);
		return;
	}
	if (serial->output_count < (fifo_enabled(serial) ? FIFO_BYTES : 1))
		serial->output[serial->output_count++] = byte;
	transmit(serial);
}

/* Turning THRE interrupts on while the transmitter is empty raises one: drivers test for it. */
static void write_ier(struct serial *serial, uint8_t value)
{
	uint8_t rising = value & ~serial->ier;

	serial->ier = value & IER_MASK;
	if ((rising & IER_THRE) && !serial->output_count)
		serial->thre_pending = true;
}

static void write_fcr(struct serial *serial, uint8_t value)
{
	if ((value ^ serial->fcr) & FCR_ENABLE)
		value |= FCR_CLEAR_RX | FCR_CLEAR_TX;
	if (!(value & FCR_ENABLE))
		value &= FCR_CLEAR_RX | FCR_CLEAR_TX; /* no other bit is programmed then */
	serial->fcr = value & ~(FCR_CLEAR_RX | FCR_CLEAR_TX);
	if (value & FCR_CLEAR_RX) {
		serial->input_count = 0;
		input_drained(serial);
	}
	if ((value & FCR_CLEAR_TX) && serial->output_count) {
		serial->output_count = 0;
		serial->thre_pending = true;
	}
}

static void write_mcr(struct serial *serial, uint8_t value)
{
	serial->mcr = value & MCR_MASK;
	update_modem(serial);
	input_drained(serial); /* leaving loopback opens the receiver again */
}

static void serial_write(struct device *device, uint64_t offset, uint32_t size, uint64_t value)
{
	struct serial *serial = to_serial(device);
	uint8_t byte = (uint8_t)value;

	if (size != 1)
		return;
	switch (offset) {
	case REG_DATA:
		if (serial->lcr & LCR_DLAB)
			serial->divisor[0] = byte;
		else
			write_data(serial, byte);
		break;
	case REG_IER:
		if (serial->lcr & LCR_DLAB)
			serial->divisor[1] = byte;
		else
			write_ier(serial, byte);
		break;
	case REG_FCR:
		write_fcr(serial, byte);
		break;
	case REG_LCR:
		serial->lcr = byte;
		break;
	case REG_MCR:
		write_mcr(serial, byte);
		break;
	case REG_SCR:
		serial->scratch = byte;
		break;
	default:
		break; /* LSR and MSR are read-only here */
	}
	update_line(serial);
}

/* Reading the IIR answers a THRE interrupt, where that is the cause it names. */
static uint8_t read_iir(struct serial *serial)
{
	uint8_t iir = cause(serial);

	if (iir == IIR_THRE)
		serial->thre_pending = false;
	return iir | (fifo_enabled(serial) ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct serial *serial)
{
	uint8_t lsr = serial->input_count ? LSR_DATA : 0;

	if (!serial->output_count)
		lsr |= LSR_THRE | LSR_IDLE;
	if (serial->overrun)
		lsr |= LSR_OVERRUN;
	serial->overrun = false;
	return lsr;
}

static uint8_t read_msr(struct serial *serial)
{
	uint8_t msr = serial->modem | serial->modem_delta;

	serial->modem_delta = 0;
	return msr;
}

static void serial_read(struct device *device, uint64_t offset, uint32_t size, uint64_t *value)
{
	struct serial *serial = to_serial(device);

	if (size != 1)
		return;
	switch (offset) {
	case REG_DATA:
		*value = serial->lcr & LCR_DLAB ? serial->divisor[0] : input_take(serial);
		break;
	case REG_IER:
		*value = serial->lcr & LCR_DLAB ? serial->divisor[1] : serial->ier;
		break;
	case REG_IIR:
		*value = read_iir(serial);
		break;
	case REG_LCR:
		*value = serial->lcr;
		break;
	case REG_MCR:
		*value = serial->mcr;
		break;
	case REG_LSR:
		*value = read_lsr(serial);
		break;
	case REG_MSR:
		*value = read_msr(serial);
		break;
	case REG_SCR:
		*value = serial->scratch;
		break;
	default:
		break;
	}
	update_line(serial);
}

/* Table I (master reset). What the wire delivered and nobody read is gone. */
static void serial_reset(struct device *device)
{
	struct serial *serial = to_serial(device);

	serial->ier = serial->fcr = serial->lcr = serial->mcr = serial->scratch = 0;
	serial->divisor[0] = 1;
	serial->divisor[1] = 0;
	serial->modem = MSR_CTS | MSR_DSR | MSR_DCD;
	serial->modem_delta = 0;
	serial->overrun = serial->thre_pending = false;
	serial->input_count = serial->output_count = 0;
	input_drained(serial);
	update_line(serial);
}

static void serial_destroy(struct device *device)
{
	device_fini(device);
	free(to_serial(device));
}

static const struct device_ops serial_ops = {
	.name = "serial",
	.read = serial_read,
	.write = serial_write,
	.reset = serial_reset,
	.destroy = serial_destroy,
};

struct device *serial_create(const struct irq_line *irq, const struct serial_wire *wire)
{
	struct serial *serial = calloc(1, sizeof(*serial));

	if (!serial)
		return NULL;
	device_init(&serial->device, &serial_ops);
	serial->irq = *irq;
	serial->wire = *wire;
	serial_reset(&serial->device);
	return &serial->device;
}

size_t serial_receive(struct device *device, const uint8_t *data, size_t bytes)
{
	struct serial *serial = to_serial(device);
	size_t taken = 0;

	pthread_mutex_lock(&device->lock);
	if (!(serial->mcr & MCR_LOOP)) {
		taken = num_min(bytes, SERIAL_INPUT_BYTES - serial->input_count);
		for (size_t i = 0; i < taken; i++)
			input_put(serial, data[i]);
	}
	if (taken < bytes)
		serial->refused = true;
	update_line(serial);
	pthread_mutex_unlock(&device->lock);
	return taken;
}

void serial_sent(struct device *device)
{
	struct serial *serial = to_serial(device);

	pthread_mutex_lock(&device->lock);
	transmit(serial);
	update_line(serial);
	pthread_mutex_unlock(&device->lock);
}
