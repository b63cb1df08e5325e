/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tiny: a guest of a few thousand instructions that does what its command line says, word by word.
 *
 * A freestanding 64-bit ELF file for the 64-bit entry of the Linux/x86 boot protocol (boot.rst,
 * "64-bit boot protocol": RSI is the zero page, memory is mapped one to one). It runs on any
 * /dev/kvm, also without two-dimensional paging. Words:
 *
 *     say=TEXT    TEXT and a newline on the serial port      mark=N   N (0-255) to the mark port
 *     touch=N     write to each page of 1 MiB..N MiB         echo     serial input back, until 'q'
 *     listen      wait for the power button                  spin     for ever
 *     flood       serial output for ever                     poweroff ACPI S5
 *     reset       port 0xcf9                                 i8042    reset through the keyboard
 * controller panic       pvpanic                                    triple   a triple fault
 *
 * At the end of the line it powers off.
 */
#include <stdint.h>

#define PORT_SERIAL       0x3f8
#define PORT_SERIAL_LINE  0x3fd /* line status: 0x01 data ready, 0x20 transmitter empty */
#define PORT_I8042        0x64
#define PORT_PVPANIC      0x505
#define PORT_MARK         0x5e0
#define PORT_SLEEP        0x600 /* ACPI sleep control: SLP_TYP 5 << 2, SLP_EN 0x20 */
#define PORT_EVENTS       0x604 /* 0x01 power button */
#define PORT_RESET        0xcf9
#define ZERO_PAGE_CMDLINE 0x228 /* setup_header.cmd_line_ptr */
#define PAGE_BYTES        4096
#define MIB               UINT64_C(0x100000)

__attribute__((section(".bss"), aligned(16))) char stack[16384];

__asm__(".globl _start\n"
	"_start:\n"
	"	lea stack+16384(%rip), %rsp\n"
	"	mov %rsi, %rdi\n"
	"	call guest\n"
	"	ud2\n");

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void put(char c)
{
	while (!(in8(PORT_SERIAL_LINE) & 0x20))
		;
	out8(PORT_SERIAL, (uint8_t)c);
}

static void poweroff(void)
{
	out8(PORT_SLEEP, 5 << 2 | 1 << 5);
}

static void say(const char *text)
{
	for (; *text && *text != ' '; text++)
		put(*text);
	put('\r');
	put('\n');
}

static void echo(void)
{
	uint8_t c = 0;

	while (c != 'q') {
		if (!(in8(PORT_SERIAL_LINE) & 0x01))
			continue;
		c = in8(PORT_SERIAL);
		put((char)c);
	}
}

static void touch(uint64_t mib)
{
	for (uint64_t at = 2 * MIB; at < mib * MIB; at += PAGE_BYTES)
		*(volatile uint64_t *)at = at;
}

static void triple_fault(void)
{
	const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) no_idt = { 0, 0 };

	__asm__ volatile("lidt %0; ud2" : : "m"(no_idt));
}

static uint64_t number(const char *text)
{
	uint64_t value = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (uint64_t)(*text - '0');
	return value;
}

/* Does word begin with name (up to its "=" or as a whole)? Returns what follows, else 0. */
static const char *match(const char *word, const char *name)
{
	while (*name && *word == *name) {
		word++;
		name++;
	}
	if (*name || (name[-1] != '=' && *word && *word != ' '))
		return 0;
	return word;
}

static void obey(const char *word)
{
	const char *value;

	if ((value = match(word, "say=")))
		say(value);
	else if ((value = match(word, "mark=")))
		out8(PORT_MARK, (uint8_t)number(value));
	else if ((value = match(word, "touch=")))
		touch(number(value));
	else if (match(word, "echo"))
		echo();
	else if (match(word, "listen"))
		while (!(in8(PORT_EVENTS) & 0x01))
			;
	else if (match(word, "spin"))
		for (;;)
			__asm__ volatile("pause");
	else if (match(word, "flood"))
		for (;;)
			put('x');
	else if (match(word, "poweroff"))
		poweroff();
	else if (match(word, "reset"))
		out8(PORT_RESET, 0x06);
	else if (match(word, "i8042"))
		out8(PORT_I8042, 0xfe);
	else if (match(word, "panic"))
		out8(PORT_PVPANIC, 0x01);
	else if (match(word, "triple"))
		triple_fault();
}

void guest(const uint8_t *zero_page);

void guest(const uint8_t *zero_page)
{
	const char *line = (const char *)(uintptr_t)(*(
		const uint32_t *)(const void *)(zero_page + ZERO_PAGE_CMDLINE));

	while (line && *line) {
		if (*line != ' ')
			obey(line);
		while (*line && *line != ' ')
			line++;
		while (*line == ' ')
			line++;
	}
	poweroff();
	for (;;)
		;
}
