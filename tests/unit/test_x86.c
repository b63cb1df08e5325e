/* SPDX-License-Identifier: Apache-2.0 */
/* test_x86: page tables, GDT and reset vector, read as a processor reads them. */
#include "boot_fixture.h"

#include "boot/x86.h"

#define ENTRY_ADDRESS UINT64_C(0x000ffffffffff000)

/* Walks four-level tables (Intel SDM volume 3, 4.5.4). Returns the physical address, or UINT64_MAX.
 */
static uint64_t translate(const struct ram *ram, uint64_t address)
{
	uint64_t table = LAYOUT_PAGE_TABLES;
	uint64_t entry;
	int shift;

	for (shift = 39;; shift -= 9) {
		const uint8_t *at = ram_ptr(ram, table + 8 * (address >> shift & 511), 8);

		assert_non_null(at);
		entry = load_le64(at);
		if (!(entry & 1))
			return UINT64_MAX;
		assert_int_equal(entry & 0x3e, 0x22); /* writable, accessed, supervisor, cached */
		if (entry & 0x80) {
			assert_int_equal(shift, 21);
			assert_true(entry & 0x40);
			return (entry & ENTRY_ADDRESS) + (address & (2 * MIB - 1));
		}
		assert_true(shift > 21);
		table = entry & ENTRY_ADDRESS;
		assert_true(table >= LAYOUT_PAGE_TABLES &&
			    table < LAYOUT_PAGE_TABLES + LAYOUT_PAGE_TABLES_BYTES);
	}
}

static void test_identity(void **state)
{
	struct error error = { 0 };
	uint64_t address;
	struct ram ram;

	(void)state;
	assert_int_equal(ram_init(&ram, 2 * MIB, BACKING_4K, &error), 0);
	/* What lies there before must not survive. */
	memset(ram_ptr(&ram, LAYOUT_PAGE_TABLES, LAYOUT_PAGE_TABLES_BYTES), 0xff,
	       LAYOUT_PAGE_TABLES_BYTES);
	x86_write_page_tables(&ram);
	for (address = 0; address < 4 * GIB; address += 2 * MIB) {
		assert_int_equal(translate(&ram, address), address);
		assert_int_equal(translate(&ram, address + 0x12345), address + 0x12345);
	}
	assert_int_equal(translate(&ram, 4 * GIB), UINT64_MAX);
	assert_int_equal(translate(&ram, UINT64_C(1) << 39), UINT64_MAX);
	assert_int_equal(translate(&ram, UINT64_C(0xffffffff81000000)), UINT64_MAX);
	ram_fini(&ram);
}

static void test_gdt(void **state)
{
	struct error error = { 0 };
	const uint8_t *gdt;
	struct ram ram;

	(void)state;
	assert_int_equal(ram_init(&ram, 2 * MIB, BACKING_4K, &error), 0);
	memset(ram_ptr(&ram, LAYOUT_GDT, 0x100), 0xff, 0x100);
	x86_write_gdt(&ram);
	gdt = ram_ptr(&ram, LAYOUT_GDT, X86_GDT_BYTES);
	assert_int_equal(load_le64(gdt), 0);
	assert_int_equal(gdt[X86_SELECTOR_CS64 + 5], 0x9b); /* present, code, readable, accessed */
	assert_int_equal(gdt[X86_SELECTOR_CS64 + 6] & 0x60, 0x20); /* L, not D */
	assert_int_equal(gdt[X86_SELECTOR_CS32 + 5], 0x9b);
	assert_int_equal(gdt[X86_SELECTOR_CS32 + 6] & 0x60, 0x40); /* D, not L */
	assert_int_equal(gdt[X86_SELECTOR_DS + 5], 0x93);
	assert_int_equal(gdt[X86_SELECTOR_TSS + 5], 0x8b); /* busy 32-bit TSS */
	assert_int_equal(load_le16(gdt + X86_SELECTOR_TSS), 0x67);
	assert_true(LAYOUT_GDT + X86_GDT_BYTES <= LAYOUT_PVH_START_INFO);
	ram_fini(&ram);
}

/* Reads the code as a processor in real mode would: what is in the port and the value in the end.
 */
static void test_reset_vector(void **state)
{
	struct error error = { 0 };
	const uint8_t *code;
	struct ram ram;

	(void)state;
	assert_int_equal(ram_init(&ram, 2 * MIB, BACKING_4K, &error), 0);
	memset(ram_ptr(&ram, LAYOUT_RESET_VECTOR - 16, 48), 0xee, 48);
	x86_write_reset_vector(&ram);
	code = ram_ptr(&ram, 0xf000 * 16 + 0xfff0, 16);
	assert_int_equal(code[0], 0xb0);        /* mov imm8, %al */
	assert_int_equal(code[1] & 0x04, 0x04); /* devices/reset: the bit that resets */
	assert_int_equal(code[2], 0xba);        /* mov imm16, %dx */
	assert_int_equal(load_le16(code + 3), LAYOUT_PORT_RESET);
	assert_int_equal(code[5], 0xee);              /* out %al, (%dx) */
	assert_int_equal(code[6], 0xf4);              /* hlt */
	assert_memory_equal(code + 7, "\xeb\xfd", 2); /* jmp to it */
	assert_int_equal(code[-1], 0xee);
	assert_int_equal(code[9], 0xee);
	ram_fini(&ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_gdt),
		cmocka_unit_test(test_reset_vector),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
