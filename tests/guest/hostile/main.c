/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile: a guest that is its own worst driver.
 *
 * A freestanding 64-bit ELF file for the 64-bit entry of the Linux/x86 boot protocol. It runs on
 * any /dev/kvm, also without two-dimensional paging. It finds all virtio devices, on PCI or in
 * MMIO windows, and drives them against all rules, without end; every so often it resets one and
 * uses it as a good driver would: what does not work then is a failure, which ends the machine as a
 * panic does. The power button ends it in order. Words of the command line:
 *
 *     seed=N    what is done follows from it (1)
 *     pair      a second processor disturbs what the first one does
 *     calm      good drivers only, each device in turn
 *     patient   the same, and what does not work is counted: device:worked/failed/0
 */
#include "attack.h"

#define ZERO_PAGE_CMDLINE 0x228 /* setup_header.cmd_line_ptr */
#define CHECK_ONE_IN      16    /* sessions */
#define REPORT_EVERY      16    /* rounds */
#define REPORT_EVERY_CALM 4
#define MSR_X2APIC_SVR    0x80f

__attribute__((section(".bss"), aligned(16))) char stack[65536];

__asm__(".globl _start\n"
	"_start:\n"
	"	lea stack+65536(%rip), %rsp\n"
	"	mov %rsi, %rdi\n"
	"	call guest\n"
	"	ud2\n");

void guest(const uint8_t *zero_page);

/* The value of a word "name=N" or the presence of a word "name". */
static bool find_word(const char *line, const char *name, uint64_t *value)
{
	while (*line) {
		const char *at = name;

		while (*at && *line == *at) {
			line++;
			at++;
		}
		if (!*at) {
			*value = 0;
			for (; *line >= '0' && *line <= '9'; line++)
				*value = *value * 10 + (uint64_t)(*line - '0');
			return true;
		}
		while (*line && *line != ' ')
			line++;
		while (*line == ' ')
			line++;
	}
	return false;
}

/* Messages are accepted and wait: interrupts stay off. */
static void enable_apic(void)
{
	__asm__ volatile("wrmsr" : : "c"(MSR_X2APIC_SVR), "a"(0x1ff), "d"(0));
}

static void report(const char *what, uint64_t rounds)
{
	say_number(what, rounds);
	for (unsigned int i = 0; i < device_count; i++) {
		say(" ");
		say(device_name(&devices[i]));
		say_number(":", devices[i].sessions);
		say_number("/", devices[i].broken);
		say_number("/", devices[i].requests);
	}
	say("\r\n");
}

static void check(struct device *device, bool patient)
{
	bool works;

	pause_second(true);
	works = use(device);
	pause_second(false);
	if (!works && !patient)
		fail("is the device that does not work any more", device->id);
	if (patient) {
		device->sessions += works;
		device->broken += !works;
	}
}

void guest(const uint8_t *zero_page)
{
	const char *line = (const char *)(uintptr_t)(*(
		const uint32_t *)(const void *)(zero_page + ZERO_PAGE_CMDLINE));
	uint64_t seed = 1, rounds = 0, unused;
	bool patient = find_word(line, "patient", &unused);
	bool calm = patient || find_word(line, "calm", &unused);

	find_word(line, "seed=", &seed);
	machine_init(zero_page);
	enable_apic();
	find_devices();
	say_number("hostile: seed ", seed);
	for (unsigned int i = 0; i < device_count; i++) {
		say(" ");
		say(device_name(&devices[i]));
		say_number(" with queues ", devices[i].queues);
	}
	say("\r\n");
	if (!device_count)
		fail("devices", 0);
	seed_chance(seed);
	if (find_word(line, "pair", &unused))
		start_second(seed);
	while (!power_button()) {
		struct device *device = &devices[below(device_count)];

		if (!calm)
			attack(device);
		if (calm || one_in(CHECK_ONE_IN))
			check(device, patient);
		if (++rounds % (calm ? REPORT_EVERY_CALM : REPORT_EVERY) == 0)
			report(calm ? "calm: " : "hostile: ", rounds);
	}
	/* They are left as good drivers leave them. */
	for (unsigned int i = 0; i < device_count; i++)
		check(&devices[i], patient);
	report("hostile: powered off after ", rounds);
	power_off();
}
