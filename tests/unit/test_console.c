/* SPDX-License-Identifier: Apache-2.0 */
/* test_console: bytes between a guest's serial port and descriptors, through a real loop. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/bus.h"
#include "devices/serial.h"
#include "vmm/console.h"

#define BASE           0x3f8
#define LSR            5
#define LSR_DATA_READY 0x01
#define LSR_THRE       0x20

struct fixture {
	struct loop *loop;
	struct console *console;
	struct bus bus;
	pthread_t thread;
	int guest_in[2], guest_out[2];
};

static void on_wake(void *opaque)
{
	console_on_wake(opaque);
}

/* As the VM's I/O thread: with all signals blocked, SIGPIPE too. */
static void *run_loop(void *opaque)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	loop_run(opaque);
	return NULL;
}

static int set_up_flags(void **state, int out_flags)
{
	const struct irq_line irq = { 0 };
	const struct log log = { 0 };
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(pipe2(f->guest_in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(f->guest_out, O_CLOEXEC | out_flags), 0);
	assert_int_equal(loop_create(&f->loop, 8, NULL), 0);
	f->console = calloc(1, sizeof(*f->console));
	assert_non_null(f->console);
	loop_on_wake(f->loop, on_wake, f->console);
	assert_int_equal(console_init(f->console, f->loop, &log, &irq, f->guest_in[0],
				      f->guest_out[1], NULL),
			 0);
	bus_init(&f->bus, "pio");
	assert_int_equal(bus_add(&f->bus, BASE, SERIAL_BYTES, f->console->serial, NULL), 0);
	bus_freeze(&f->bus);
	assert_int_equal(pthread_create(&f->thread, NULL, run_loop, f->loop), 0);
	*state = f;
	return 0;
}

static int set_up(void **state)
{
	return set_up_flags(state, 0);
}

static int set_up_nonblocking(void **state)
{
	return set_up_flags(state, O_NONBLOCK);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	loop_stop(f->loop);
	pthread_join(f->thread, NULL);
	device_destroy(f->console->serial);
	console_fini(f->console);
	free(f->console);
	loop_destroy(f->loop);
	for (int i = 0; i < 2; i++) {
		close(f->guest_in[i]);
		close(f->guest_out[i]);
	}
	free(f);
	return 0;
}

static void pause_shortly(void)
{
	const struct timespec wait = { .tv_nsec = 200000 };

	nanosleep(&wait, NULL);
}

static uint8_t get(struct fixture *f, uint64_t at)
{
	uint8_t value = 0;

	bus_read(&f->bus, BASE + at, 1, &value);
	return value;
}

/* What a polling driver does: waits for the transmitter, then gives it a byte. */
static void put(struct fixture *f, uint8_t value)
{
	while (!(get(f, LSR) & LSR_THRE))
		pause_shortly();
	bus_write(&f->bus, BASE, 1, &value);
}

static void read_exactly(int fd, uint8_t *data, size_t bytes)
{
	while (bytes) {
		ssize_t got = read(fd, data, bytes);

		if (got < 0 && errno == EAGAIN) {
			pause_shortly();
			continue;
		}
		assert_true(got > 0);
		data += got;
		bytes -= (size_t)got;
	}
}

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + i / 251);
}

struct reader {
	int fd;
	size_t bytes;
	bool good;
};

static void *read_pattern(void *opaque)
{
	struct reader *reader = opaque;
	uint8_t *data = malloc(reader->bytes);

	pause_shortly();
	read_exactly(reader->fd, data, reader->bytes);
	reader->good = true;
	for (size_t i = 0; i < reader->bytes; i++)
		reader->good = reader->good && data[i] == pattern(i);
	free(data);
	return NULL;
}

/* More than the ring and the pipe hold together: the port has to make the guest wait, and nothing
 * may be lost. */
static void output_keeps_every_byte(void **state)
{
	struct fixture *f = *state;
	struct reader reader = { .fd = f->guest_out[0], .bytes = 300000 };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, read_pattern, &reader), 0);
	for (size_t i = 0; i < reader.bytes; i++)
		put(f, pattern(i));
	pthread_join(thread, NULL);
	assert_true(reader.good);
	while (!console_is_drained(f->console))
		pause_shortly();
}

static void input_waits_for_the_guest(void **state)
{
	struct fixture *f = *state;
	uint8_t sent[1000];

	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = pattern(i);
	assert_int_equal(write(f->guest_in[1], sent, sizeof(sent)), sizeof(sent));
	for (size_t i = 0; i < sizeof(sent); i++) {
		while (!(get(f, LSR) & LSR_DATA_READY))
			pause_shortly();
		assert_int_equal(get(f, 0), sent[i]);
	}
}

/* Nobody reads any more: the guest's output is dropped, and the guest goes on. */
static void closed_output_does_not_stop_the_guest(void **state)
{
	struct fixture *f = *state;

	close(f->guest_out[0]);
	f->guest_out[0] = -1;
	for (size_t i = 0; i < 3 * CONSOLE_OUTPUT_BYTES; i++)
		put(f, 'x');
	while (!console_is_drained(f->console))
		pause_shortly();
}

static void end_of_input_is_no_end(void **state)
{
	struct fixture *f = *state;
	uint8_t byte;

	close(f->guest_in[1]);
	f->guest_in[1] = -1;
	put(f, 'a');
	read_exactly(f->guest_out[0], &byte, 1);
	assert_int_equal(byte, 'a');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(output_keeps_every_byte, set_up, tear_down),
		cmocka_unit_test_setup_teardown(output_keeps_every_byte, set_up_nonblocking,
						tear_down),
		cmocka_unit_test_setup_teardown(input_waits_for_the_guest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(closed_output_does_not_stop_the_guest, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(end_of_input_is_no_end, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
