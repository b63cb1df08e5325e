/* SPDX-License-Identifier: Apache-2.0 */
/* machine: what the hostile guest has of its machine: a console, memory, chance. */
#ifndef TESTS_GUEST_HOSTILE_MACHINE_H
#define TESTS_GUEST_HOSTILE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIB          UINT64_C(0x100000)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/*
 * The program, its stack and page tables lie in the middle of RAM, and no device is ever told to
 * write there: a guest that destroys itself proves nothing. All other RAM is the devices' to write,
 * descriptors included: so this place is small, and its address is not one that zeroes and small
 * numbers make when they are taken for one. tests/guest/CMakeLists.txt knows it too.
 */
#define OWN_BEGIN UINT64_C(0x2b40000)
#define OWN_END   UINT64_C(0x2b80000)

/* ---- Ports and registers, any size that there is ---- */

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out16(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void barrier(void)
{
	__asm__ volatile("mfence" : : : "memory");
}

void write_memory(uint64_t address, unsigned int bytes, uint64_t value);
uint64_t read_memory(uint64_t address, unsigned int bytes);

/* ---- Memory ---- */

extern uint64_t ram_end; /* of the RAM that begins at 0 */

/* Maps 4 GiB one to one and makes exceptions speak. zero_page: of the boot protocol. */
void machine_init(const uint8_t *zero_page);
/* For each processor. */
void hear_exceptions(void);

void *memset(void *at, int value, size_t bytes);
void *memcpy(void *to, const void *from, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

/* ---- The serial console: one line each, and the end of the line is said by the caller ---- */

void say(const char *text);
void say_number(const char *text, uint64_t value); /* decimal, after the text */
void say_hex(const char *text, uint64_t value);
/* What went wrong, and the end of the machine. */
_Noreturn void fail(const char *text, uint64_t value);
_Noreturn void power_off(void);
bool power_button(void);

/* ---- Chance: the same for the same seed ---- */

void seed_chance(uint64_t seed);
uint64_t chance(void);
/* 0 to bound - 1. */
uint64_t below(uint64_t bound);
static inline bool one_in(uint64_t bound)
{
	return below(bound) == 0;
}

#endif
