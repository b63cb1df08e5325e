/* SPDX-License-Identifier: Apache-2.0 */
/* machine: what the hostile guest has of its machine: a console, memory, chance. */
#include "machine.h"

#define PORT_SERIAL      0x3f8
#define PORT_SERIAL_LINE 0x3fd /* line status: 0x20 transmitter empty */
#define PORT_SLEEP       0x600 /* ACPI sleep control: SLP_TYP 5 << 2, SLP_EN 0x20 */
#define PORT_EVENTS      0x604 /* 0x01 power button */
#define PORT_PVPANIC     0x505

#define ZERO_PAGE_E820_COUNT 0x1e8
#define ZERO_PAGE_E820       0x2d0

#define PAGE_PRESENT_WRITE 0x03
#define PAGE_LARGE         0x80
#define GIBS_MAPPED        4

uint64_t ram_end;

__attribute__((aligned(4096))) static uint64_t top[512], middle[512], large[GIBS_MAPPED][512];

/* ---- Registers ---- */

void write_memory(uint64_t address, unsigned int bytes, uint64_t value)
{
	switch (bytes) {
	case 1:
		*(volatile uint8_t *)address = (uint8_t)value;
		break;
	case 2:
		*(volatile uint16_t *)address = (uint16_t)value;
		break;
	case 4:
		*(volatile uint32_t *)address = (uint32_t)value;
		break;
	default:
		*(volatile uint64_t *)address = value;
		break;
	}
}

uint64_t read_memory(uint64_t address, unsigned int bytes)
{
	switch (bytes) {
	case 1:
		return *(volatile uint8_t *)address;
	case 2:
		return *(volatile uint16_t *)address;
	case 4:
		return *(volatile uint32_t *)address;
	default:
		return *(volatile uint64_t *)address;
	}
}

/* ---- What a compiler expects ---- */

void *memset(void *at, int value, size_t bytes)
{
	void *end = at;

	__asm__ volatile("rep stosb" : "+D"(end), "+c"(bytes) : "a"(value) : "memory");
	return at;
}

void *memcpy(void *to, const void *from, size_t bytes)
{
	void *end = to;

	__asm__ volatile("rep movsb" : "+D"(end), "+S"(from), "+c"(bytes) : : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const uint8_t *one = a, *other = b;

	for (; bytes; bytes--, one++, other++)
		if (*one != *other)
			return *one < *other ? -1 : 1;
	return 0;
}

/* ---- Console ---- */

static void put(char c)
{
	while (!(in8(PORT_SERIAL_LINE) & 0x20))
		;
	out8(PORT_SERIAL, (uint8_t)c);
}

void say(const char *text)
{
	for (; *text; text++)
		put(*text);
}

static void say_digits(uint64_t value, unsigned int base)
{
	char digits[20];
	unsigned int count = 0;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (count)
		put(digits[--count]);
}

void say_number(const char *text, uint64_t value)
{
	say(text);
	say_digits(value, 10);
}

void say_hex(const char *text, uint64_t value)
{
	say(text);
	say("0x");
	say_digits(value, 16);
}

void power_off(void)
{
	out8(PORT_SLEEP, 5 << 2 | 1 << 5);
	for (;;)
		;
}

void fail(const char *text, uint64_t value)
{
	say_hex("\r\nhostile: FAILED: ", value);
	say(" ");
	say(text);
	say("\r\n");
	out8(PORT_PVPANIC, 0x01);
	for (;;)
		;
}

bool power_button(void)
{
	return in8(PORT_EVENTS) & 0x01;
}

/* ---- Chance (xorshift64*) ---- */

static uint64_t state;

void seed_chance(uint64_t seed)
{
	state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	for (int i = 0; i < 8; i++)
		chance();
}

uint64_t chance(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(0x2545f4914f6cdd1d);
}

uint64_t below(uint64_t bound)
{
	return (chance() >> 16) % bound;
}

/* ---- Memory and exceptions ---- */

static void map(void)
{
	top[0] = (uint64_t)(uintptr_t)middle | PAGE_PRESENT_WRITE;
	for (uint64_t gib = 0; gib < GIBS_MAPPED; gib++) {
		middle[gib] = (uint64_t)(uintptr_t)large[gib] | PAGE_PRESENT_WRITE;
		for (uint64_t i = 0; i < 512; i++)
			large[gib][i] = (gib * 512 + i) * 2 * MIB | PAGE_PRESENT_WRITE | PAGE_LARGE;
	}
	__asm__ volatile("mov %0, %%cr3" : : "r"(top) : "memory");
}

struct gate {
	uint16_t low, selector;
	uint8_t stack, type;
	uint16_t middle;
	uint32_t high, zero;
} __attribute__((packed));

static struct gate gates[32];

void exception(const uint64_t *frame);

/* The frame may begin with an error code: four words hold the address of the code in any case. */
__asm__("on_exception:\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call exception\n"
	"on_nmi:\n"
	"	iretq\n");
extern const char on_exception[], on_nmi[];

void exception(const uint64_t *frame)
{
	uint64_t address;

	__asm__ volatile("mov %%cr2, %0" : "=r"(address));
	say_hex("\r\nhostile: exception, stack ", frame[0]);
	say_hex(" ", frame[1]);
	say_hex(" ", frame[2]);
	fail("is the address it may be about: the guest has destroyed itself", address);
}

struct table {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

/* Flat segments as the boot protocol has them, but not where a device could write to them. */
#define SELECTOR_CODE 0x10
#define SELECTOR_DATA 0x18
static const uint64_t segments[4] = {
	[SELECTOR_CODE / 8] = UINT64_C(0x00af9b000000ffff),
	[SELECTOR_DATA / 8] = UINT64_C(0x00cf93000000ffff),
};

void hear_exceptions(void)
{
	const struct table gdt = { sizeof(segments) - 1, (uint64_t)(uintptr_t)segments };
	const struct table idt = { sizeof(gates) - 1, (uint64_t)(uintptr_t)gates };

	__asm__ volatile("lgdt %0" : : "m"(gdt));
	for (unsigned int i = 0; i < COUNT(gates); i++) {
		/* A message of the devices may be an NMI. */
		uint64_t code = (uint64_t)(uintptr_t)(i == 2 ? on_nmi : on_exception);

		gates[i] = (struct gate){
			.low = (uint16_t)code,
			.middle = (uint16_t)(code >> 16),
			.high = (uint32_t)(code >> 32),
			.selector = SELECTOR_CODE,
			.type = 0x8e,
		};
	}
	__asm__ volatile("lidt %0" : : "m"(idt));
}

void machine_init(const uint8_t *zero_page)
{
	const uint8_t *entry = zero_page + ZERO_PAGE_E820;

	for (unsigned int i = 0; i < zero_page[ZERO_PAGE_E820_COUNT]; i++, entry += 20) {
		uint64_t end = *(const uint64_t *)(const void *)entry +
			       *(const uint64_t *)(const void *)(entry + 8);

		if (end > ram_end && end <= UINT64_C(0xd0000000))
			ram_end = end;
	}
	map();
	hear_exceptions();
	if (ram_end < OWN_END + 4 * MIB)
		fail("bytes of RAM are too few", ram_end);
}
