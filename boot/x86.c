/* SPDX-License-Identifier: Apache-2.0 */
/* x86: the GDT and the page tables a kernel starts with, and the reset vector. */
#include "boot/x86.h"

#include "base/num.h"
#include "mem/layout.h"

#define PAGE_ENTRIES 512

/* Page table entry bits (Intel SDM volume 3, 4.5). Accessed and dirty are set ahead, so that the
 * processor has nothing to write back when it walks. */
#define PTE_PRESENT  UINT64_C(0x01)
#define PTE_WRITABLE UINT64_C(0x02)
#define PTE_ACCESSED UINT64_C(0x20)
#define PTE_DIRTY    UINT64_C(0x40)
#define PTE_HUGE     UINT64_C(0x80)

#define PTE_TABLE (PTE_PRESENT | PTE_WRITABLE | PTE_ACCESSED)
#define PTE_PAGE  (PTE_PRESENT | PTE_WRITABLE | PTE_ACCESSED | PTE_DIRTY | PTE_HUGE)

void x86_write_gdt(const struct ram *ram)
{
	uint8_t *gdt = ram_ptr(ram, LAYOUT_GDT, X86_GDT_BYTES);

	memset(gdt, 0, X86_GDT_BYTES);
	store_le64(gdt + X86_SELECTOR_CS64, X86_DESCRIPTOR_CS64);
	store_le64(gdt + X86_SELECTOR_DS, X86_DESCRIPTOR_DS);
	store_le64(gdt + X86_SELECTOR_TSS, X86_DESCRIPTOR_TSS);
	store_le64(gdt + X86_SELECTOR_CS32, X86_DESCRIPTOR_CS32);
}

/* One PML4, one page of pointers, four directories of 2 MiB pages: any 64-bit processor has
 * those. The tables lie one after the other, so the n-th directory is page 2 + n. */
void x86_write_page_tables(const struct ram *ram)
{
	uint8_t *tables = ram_ptr(ram, LAYOUT_PAGE_TABLES, LAYOUT_PAGE_TABLES_BYTES);
	uint8_t *pointers = tables + LAYOUT_PAGE_BYTES;
	uint8_t *directories = pointers + LAYOUT_PAGE_BYTES;
	const uint64_t directories_gpa = LAYOUT_PAGE_TABLES + 2 * LAYOUT_PAGE_BYTES;
	uint64_t i;

	memset(tables, 0, 2 * LAYOUT_PAGE_BYTES);
	store_le64(tables, (LAYOUT_PAGE_TABLES + LAYOUT_PAGE_BYTES) | PTE_TABLE);
	for (i = 0; i < 4; i++)
		store_le64(pointers + 8 * i, (directories_gpa + i * LAYOUT_PAGE_BYTES) | PTE_TABLE);
	for (i = 0; i < (uint64_t)4 * PAGE_ENTRIES; i++)
		store_le64(directories + 8 * i, i * LAYOUT_HUGE_PAGE_BYTES | PTE_PAGE);
}

/* mov $6, %al; mov $0xcf9, %dx; out %al, (%dx); 1: hlt; jmp 1b */
void x86_write_reset_vector(const struct ram *ram)
{
	static const uint8_t code[] = { 0xb0,
					LAYOUT_RESET_VALUE,
					0xba,
					LAYOUT_PORT_RESET & 0xff,
					LAYOUT_PORT_RESET >> 8,
					0xee,
					0xf4,
					0xeb,
					0xfd };

	_Static_assert(sizeof(code) <= LAYOUT_RESET_VECTOR_BYTES, "fits below 1 MiB");
	ram_write(ram, LAYOUT_RESET_VECTOR, code, sizeof(code));
}
