/* SPDX-License-Identifier: Apache-2.0 */
/* test_virtq_wakeups: what a driver does meanwhile is either seen by the device, or the device is
 * kicked; and the other way round. First at each instruction of the device's, then at once. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <cmocka.h>

#include "tests/fake/guest.h"

#define RING   0x10000
#define BUFFER 0x40000
#define SIZE   8
#define RACES  20000
#define SPINS  2000

/* A sanitizer makes thousands of instructions of it, and is no use where one thread does all. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define STEPPING 1
#else
#define STEPPING 0
#endif

struct bench {
	struct ram ram;
	struct fake_queue driver;
	struct virtq q;
	struct virtq_chain chain;
	unsigned int popped;
	bool kick_wanted;      /* the driver kicks */
	bool interrupt_wanted; /* the device interrupts */
	bool used_seen;
};

/* One chain waits for the device, and the driver wants no interrupts. */
static void begin(struct bench *bench, bool event_index)
{
	struct virtq *q = &bench->q;

	fake_queue_init(&bench->driver, &bench->ram, RING, SIZE, event_index);
	memset(bench->ram.ranges[0].host + RING, 0, FAKE_QUEUE_BYTES);
	virtq_reset(q);
	q->size_max = q->size = SIZE;
	q->descriptors_gpa = bench->driver.descriptors_gpa;
	q->driver_gpa = bench->driver.driver_gpa;
	q->device_gpa = bench->driver.device_gpa;
	assert_true(virtq_start(q, &bench->ram, false, event_index));
	fake_queue_interrupts(&bench->driver, false);
	fake_queue_add(&bench->driver, (struct fake_buffer[]){ { BUFFER, 4, true } }, 1);
	fake_queue_kick_wanted(&bench->driver);
	bench->popped = 0;
}

/* ---- The two sides ---- */

static void driver_adds(struct bench *bench)
{
	fake_queue_add(&bench->driver, (struct fake_buffer[]){ { BUFFER, 4, true } }, 1);
	bench->kick_wanted = fake_queue_kick_wanted(&bench->driver);
}

static void device_empties(struct bench *bench)
{
	do {
		virtq_kicks_off(&bench->q);
		while (virtq_pop(&bench->q, &bench->chain) == VIRTQ_CHAIN)
			bench->popped++;
	} while (virtq_kicks_on(&bench->q));
}

static void check_kick(struct bench *bench)
{
	assert_true(bench->popped == 2 || (bench->popped == 1 && bench->kick_wanted));
}

/* Before it sleeps: asks to be woken, and looks once more. */
static void driver_looks(struct bench *bench)
{
	uint32_t head, bytes;

	fake_queue_interrupts(&bench->driver, true);
	bench->used_seen = fake_queue_used(&bench->driver, &head, &bytes);
}

static void device_answers(struct bench *bench)
{
	virtq_push(&bench->q, 0, 0);
	bench->interrupt_wanted = virtq_signal_due(&bench->q);
}

static void check_interrupt(struct bench *bench)
{
	assert_true(bench->used_seen || bench->interrupt_wanted);
}

static const struct pairing {
	void (*driver)(struct bench *bench);
	void (*device)(struct bench *bench);
	void (*check)(struct bench *bench);
} pairings[] = {
	{ driver_adds, device_empties, check_kick },
	{ driver_looks, device_answers, check_interrupt },
};

/* ---- At each instruction ---- */

#if STEPPING

#define FLAG_TRAP 0x100

static struct {
	struct bench *bench;
	void (*driver)(struct bench *bench);
	unsigned int steps, at;
} stepping;

static void on_step(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	(void)context;
	if (stepping.steps++ == stepping.at)
		stepping.driver(stepping.bench);
}

/* The stack below the pointer may be in use. */
static void set_trap(bool on)
{
	uint64_t flags;

	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushfq\n\tpopq %0\n\tlea 128(%%rsp), %%rsp"
			 : "=r"(flags)::"memory");
	flags = on ? flags | FLAG_TRAP : flags & ~(uint64_t)FLAG_TRAP;
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tpushq %0\n\tpopfq\n\tlea 128(%%rsp), %%rsp"
			 :
			 : "r"(flags)
			 : "memory", "cc");
}

/* How many steps the device took; the driver acted before the one after at. */
static unsigned int step(struct bench *bench, const struct pairing *pairing, unsigned int at)
{
	stepping.bench = bench;
	stepping.driver = pairing->driver;
	stepping.steps = 0;
	stepping.at = at;
	set_trap(true);
	pairing->device(bench);
	set_trap(false);
	return stepping.steps;
}

static void test_at_each_instruction(void **state)
{
	struct sigaction action = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO }, before;
	struct bench *bench = *state;

	assert_int_equal(sigaction(SIGTRAP, &action, &before), 0);
	for (unsigned int i = 0; i < 4; i++) {
		const struct pairing *pairing = &pairings[i / 2];
		unsigned int at = 0;

		do {
			begin(bench, i % 2);
			if (step(bench, pairing, at) > at)
				pairing->check(bench);
		} while (stepping.steps > at++);
		assert_true(at > 20); /* it did step */
	}
	sigaction(SIGTRAP, &before, NULL);
}

#endif

/* ---- At once ---- */

/* Two threads run their sides from the same moment on, as near as may be. */
struct race {
	struct bench *bench;
	const struct pairing *pairing;
	atomic_uint round, arrived;
};

static void wait_until(atomic_uint *value, unsigned int wanted)
{
	for (unsigned int spins = 0; atomic_load(value) != wanted; spins++) {
		if (spins > SPINS)
			sched_yield();
	}
}

static void *run_driver(void *opaque)
{
	struct race *race = opaque;

	for (unsigned int round = 1; round <= RACES; round++) {
		wait_until(&race->round, round);
		race->pairing->driver(race->bench);
		atomic_store(&race->arrived, round);
	}
	return NULL;
}

static void test_at_once(void **state)
{
	struct bench *bench = *state;

	for (unsigned int i = 0; i < 4; i++) {
		struct race race = { .bench = bench, .pairing = &pairings[i / 2] };
		pthread_t driver;

		assert_int_equal(pthread_create(&driver, NULL, run_driver, &race), 0);
		for (unsigned int round = 1; round <= RACES; round++) {
			begin(bench, i % 2);
			atomic_store(&race.round, round);
			for (volatile unsigned int delay = round % 64; delay; delay--)
				;
			race.pairing->device(bench);
			wait_until(&race.arrived, round);
			race.pairing->check(bench);
		}
		pthread_join(driver, NULL);
	}
}

static int setup(void **state)
{
	static struct bench bench;

	memset(&bench, 0, sizeof(bench));
	fake_ram_init(&bench.ram);
	*state = &bench;
	return 0;
}

static int teardown(void **state)
{
	fake_ram_fini(&((struct bench *)*state)->ram);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#if STEPPING
		cmocka_unit_test_setup_teardown(test_at_each_instruction, setup, teardown),
#endif
		cmocka_unit_test_setup_teardown(test_at_once, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
