/* SPDX-License-Identifier: Apache-2.0 */
/* test_serial: what drivers probe for, interrupts, flow control both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/num.h"
#include "devices/serial.h"

enum {
	DATA,
	IER,
	IIR,
	LCR,
	MCR,
	LSR,
	MSR,
	SCR
};
#define FCR IIR

struct bench {
	struct device *uart;
	uint8_t out[256];
	size_t out_count;
	size_t room; /* what the wire takes */
	unsigned int ready;
	unsigned int gsi;
	bool level;
	unsigned int edges;
};

static void bench_irq(void *opaque, unsigned int gsi, bool level)
{
	struct bench *bench = opaque;

	assert_int_not_equal(bench->level, level); /* only changes are told */
	bench->gsi = gsi;
	bench->level = level;
	bench->edges += level;
}

static size_t bench_send(void *opaque, const uint8_t *data, size_t bytes)
{
	struct bench *bench = opaque;
	size_t taken = num_min(bytes, bench->room);

	memcpy(bench->out + bench->out_count, data, taken);
	bench->out_count += taken;
	bench->room -= taken;
	return taken;
}

static void bench_ready(void *opaque)
{
	((struct bench *)opaque)->ready++;
}

static void out(struct bench *bench, unsigned int reg, uint8_t value)
{
	pthread_mutex_lock(&bench->uart->lock);
	bench->uart->ops->write(bench->uart, reg, 1, value);
	pthread_mutex_unlock(&bench->uart->lock);
}

static uint8_t in(struct bench *bench, unsigned int reg)
{
	uint64_t value = UINT64_MAX;

	pthread_mutex_lock(&bench->uart->lock);
	bench->uart->ops->read(bench->uart, reg, 1, &value);
	pthread_mutex_unlock(&bench->uart->lock);
	assert_int_not_equal(value, UINT64_MAX);
	return (uint8_t)value;
}

static int setup(void **state)
{
	static struct bench bench;
	const struct irq_line irq = { .set = bench_irq, .opaque = &bench, .gsi = 4 };
	const struct serial_wire wire = { .send = bench_send,
					  .ready = bench_ready,
					  .opaque = &bench };

	memset(&bench, 0, sizeof(bench));
	bench.room = sizeof(bench.out);
	bench.uart = serial_create(&irq, &wire);
	assert_non_null(bench.uart);
	*state = &bench;
	return 0;
}

static int teardown(void **state)
{
	device_destroy(((struct bench *)*state)->uart);
	return 0;
}

/* The steps of Linux's autoconfig() for a port at ttyS0. */
static void test_is_a_16550a(void **state)
{
	struct bench *bench = *state;

	out(bench, IER, 0);
	assert_int_equal(in(bench, IER) & 0x0f, 0);
	out(bench, IER, 0x0f);
	assert_int_equal(in(bench, IER), 0x0f);
	out(bench, IER, 0xff);
	assert_int_equal(in(bench, IER), 0x0f); /* no sleep mode, no XScale */
	out(bench, IER, 0);
	out(bench, SCR, 0xa5);
	assert_int_equal(in(bench, SCR), 0xa5);
	out(bench, SCR, 0x5a);
	assert_int_equal(in(bench, SCR), 0x5a);
	out(bench, MCR, 0x10 | 0x08 | 0x02);
	assert_int_equal(in(bench, MSR) & 0xf0, 0x90);
	out(bench, MCR, 0x10 | 0x01 | 0x04);
	assert_int_equal(in(bench, MSR) & 0xf0, 0x60);
	out(bench, MCR, 0);
	assert_int_equal(in(bench, MSR) & 0xf0, 0xb0);
	assert_int_equal(in(bench, IIR), 0x01);
	out(bench, FCR, 0x01);
	assert_int_equal(in(bench, IIR) & 0xe0, 0xc0);
	out(bench, FCR, 0x21); /* a 64-byte FIFO would show in bit 5 */
	assert_int_equal(in(bench, IIR) & 0xe0, 0xc0);
	out(bench, FCR, 0x00);
	assert_int_equal(in(bench, IIR), 0x01);
}

static void test_divisor_latch(void **state)
{
	struct bench *bench = *state;

	out(bench, LCR, 0x83);
	out(bench, DATA, 0x34);
	out(bench, IER, 0x12);
	assert_int_equal(in(bench, DATA), 0x34);
	assert_int_equal(in(bench, IER), 0x12);
	out(bench, LCR, 0x03);
	assert_int_equal(in(bench, LCR), 0x03);
	assert_int_equal(in(bench, IER), 0);
	assert_int_equal(in(bench, DATA), 0);
	assert_int_equal(bench->out_count, 0);
}

static void test_sends(void **state)
{
	struct bench *bench = *state;

	for (const char *at = "hello"; *at; at++) {
		assert_int_equal(in(bench, LSR) & 0x60, 0x60);
		out(bench, DATA, (uint8_t)*at);
	}
	assert_int_equal(bench->out_count, 5);
	assert_memory_equal(bench->out, "hello", 5);
	assert_int_equal(bench->edges, 0);
}

/* Linux's THRE test: each enabling raises, reading IIR answers, and the line follows. */
static void test_thre_interrupt(void **state)
{
	struct bench *bench = *state;

	out(bench, MCR, 0x08);
	for (unsigned int i = 1; i <= 2; i++) {
		out(bench, IER, 0x02);
		assert_true(bench->level);
		assert_int_equal(bench->edges, i);
		assert_int_equal(in(bench, IIR), 0x02);
		assert_false(bench->level);
		assert_int_equal(in(bench, IIR), 0x01);
		out(bench, IER, 0);
	}
	out(bench, IER, 0x02);
	assert_int_equal(in(bench, IIR), 0x02);
	out(bench, IER, 0x02); /* it was on: nothing new */
	assert_false(bench->level);
	for (unsigned int i = 0; i < 16; i++)
		out(bench, DATA, 'x');
	assert_int_equal(bench->edges, 4); /* one for the burst */
	assert_int_equal(in(bench, LSR) & 0x60, 0x60);
	assert_true(bench->level); /* only IIR answers */
	assert_int_equal(in(bench, IIR), 0x02);
	assert_false(bench->level);
	assert_int_equal(bench->gsi, 4);
}

static void test_out2_connects_the_line(void **state)
{
	struct bench *bench = *state;

	out(bench, IER, 0x02);
	assert_false(bench->level);
	out(bench, MCR, 0x08);
	assert_true(bench->level);
	out(bench, MCR, 0x18);
	assert_false(bench->level);
}

static void test_wire_that_is_full(void **state)
{
	struct bench *bench = *state;

	out(bench, FCR, 0x01);
	out(bench, MCR, 0x08);
	bench->room = 2;
	for (unsigned int i = 0; i < 18; i++)
		out(bench, DATA, (uint8_t)('a' + i));
	assert_int_equal(bench->out_count, 2);
	assert_int_equal(in(bench, LSR) & 0x60, 0);
	out(bench, IER, 0x02);
	assert_false(bench->level); /* not empty: no interrupt */
	out(bench, DATA, '!');      /* the FIFO is full: lost */
	bench->room = 10;
	serial_sent(bench->uart);
	assert_int_equal(in(bench, LSR) & 0x60, 0);
	assert_false(bench->level);
	bench->room = 10;
	serial_sent(bench->uart);
	assert_int_equal(in(bench, LSR) & 0x60, 0x60);
	assert_true(bench->level);
	assert_int_equal(bench->out_count, 18);
	assert_memory_equal(bench->out, "abcdefghijklmnopqr", 18);
	serial_sent(bench->uart); /* nothing to send: nothing happens */
	assert_int_equal(bench->edges, 1);
}

static void test_receives(void **state)
{
	struct bench *bench = *state;

	out(bench, FCR, 0xc1); /* trigger at 14 */
	out(bench, MCR, 0x08);
	out(bench, IER, 0x01);
	assert_int_equal(serial_receive(bench->uart, (const uint8_t *)"ab", 2), 2);
	assert_true(bench->level);
	assert_int_equal(in(bench, IIR), 0xcc); /* a time-out: fewer than the trigger */
	assert_true(bench->level);
	assert_int_equal(in(bench, LSR) & 0x01, 1);
	assert_int_equal(in(bench, DATA), 'a');
	assert_int_equal(in(bench, DATA), 'b');
	assert_false(bench->level);
	assert_int_equal(in(bench, LSR) & 0x01, 0);
	assert_int_equal(in(bench, IIR), 0xc1);
	assert_int_equal(serial_receive(bench->uart, (const uint8_t *)"0123456789abcd", 14), 14);
	assert_int_equal(in(bench, IIR), 0xc4);
	out(bench, FCR, 0xc3);
	assert_false(bench->level);
	assert_int_equal(in(bench, DATA), 0);
	assert_int_equal(bench->ready, 0);
}

static void test_receive_flow_control(void **state)
{
	struct bench *bench = *state;
	uint8_t data[SERIAL_INPUT_BYTES + 10];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	out(bench, FCR, 0x01);
	assert_int_equal(serial_receive(bench->uart, data, sizeof(data)), SERIAL_INPUT_BYTES);
	assert_int_equal(serial_receive(bench->uart, data, 1), 0);
	for (unsigned int i = 0; i < SERIAL_INPUT_BYTES; i++) {
		assert_int_equal(in(bench, LSR) & 0x03, 0x01); /* kept back, not overrun */
		assert_int_equal(in(bench, DATA), i);
	}
	assert_int_equal(bench->ready, 1);
	assert_int_equal(serial_receive(bench->uart, data + SERIAL_INPUT_BYTES, 10), 10);
	assert_int_equal(in(bench, DATA), SERIAL_INPUT_BYTES);
}

static void test_loopback(void **state)
{
	struct bench *bench = *state;

	out(bench, FCR, 0x01);
	out(bench, MCR, 0x10);
	for (unsigned int i = 0; i < 16; i++)
		out(bench, DATA, (uint8_t)i);
	assert_int_equal(in(bench, LSR), 0x61);
	out(bench, DATA, 0x55);
	assert_int_equal(serial_receive(bench->uart, (const uint8_t *)"x", 1), 0);
	out(bench, IER, 0x04);
	assert_int_equal(in(bench, IIR), 0xc6);
	assert_int_equal(in(bench, LSR), 0x63); /* overrun, told once */
	assert_int_equal(in(bench, LSR), 0x61);
	assert_int_equal(in(bench, IIR), 0xc1);
	for (unsigned int i = 0; i < 16; i++)
		assert_int_equal(in(bench, DATA), i);
	assert_int_equal(bench->out_count, 0);
	assert_int_equal(bench->ready, 0);
	out(bench, MCR, 0);
	assert_int_equal(bench->ready, 1);
}

static void test_modem_interrupt(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(in(bench, MSR), 0xb0);
	out(bench, MCR, 0x10 | 0x04); /* CTS, DSR, DCD fall, RI rises */
	assert_int_equal(in(bench, MSR), 0x4b);
	assert_int_equal(in(bench, MSR), 0x40);
	out(bench, IER, 0x08);
	out(bench, MCR, 0x08); /* the three rise, RI falls */
	assert_true(bench->level);
	assert_int_equal(in(bench, IIR), 0x00);
	assert_int_equal(in(bench, MSR), 0xbf);
	assert_false(bench->level);
}

static void test_priorities_and_reset(void **state)
{
	struct bench *bench = *state;

	out(bench, MCR, 0x08);
	out(bench, IER, 0x03);
	serial_receive(bench->uart, (const uint8_t *)"q", 1);
	assert_int_equal(in(bench, IIR), 0x04);
	assert_int_equal(in(bench, DATA), 'q');
	assert_int_equal(in(bench, IIR), 0x02);
	out(bench, DATA, 'z');
	assert_true(bench->level);
	bench->uart->ops->reset(bench->uart);
	assert_false(bench->level);
	assert_int_equal(in(bench, IER), 0);
	assert_int_equal(in(bench, LSR), 0x60);
	assert_int_equal(in(bench, MSR), 0xb0);
}

static void test_wide_accesses_are_nothing(void **state)
{
	struct bench *bench = *state;
	uint64_t value = UINT64_MAX;

	bench->uart->ops->write(bench->uart, DATA, 2, 'x');
	bench->uart->ops->read(bench->uart, LSR, 2, &value);
	assert_int_equal(bench->out_count, 0);
	assert_true(value == UINT64_MAX);
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(test_is_a_16550a),
		BENCH_TEST(test_divisor_latch),
		BENCH_TEST(test_sends),
		BENCH_TEST(test_thre_interrupt),
		BENCH_TEST(test_out2_connects_the_line),
		BENCH_TEST(test_wire_that_is_full),
		BENCH_TEST(test_receives),
		BENCH_TEST(test_receive_flow_control),
		BENCH_TEST(test_loopback),
		BENCH_TEST(test_modem_interrupt),
		BENCH_TEST(test_priorities_and_reset),
		BENCH_TEST(test_wide_accesses_are_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
