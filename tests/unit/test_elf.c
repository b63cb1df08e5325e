/* SPDX-License-Identifier: Apache-2.0 */
/* test_elf: ELF kernels through the 64-bit entry, good and hostile. */
#include "boot_fixture.h"
#include "elf_fixture.h"

/* Two segments: code at 1 MiB, data with a BSS at 2 MiB. */
static void make_kernel(struct elf_file *elf)
{
	elf_begin(elf, true, MIB + 0x40);
	elf_add(elf, PT_LOAD, MIB, NULL, 0x1000, 0x1000);
	elf_add(elf, PT_LOAD, 2 * MIB, NULL, 0x800, 0x3000);
}

static void test_loads(void **state)
{
	struct elf_file elf;
	struct attempt attempt;
	const uint8_t *zero;

	(void)state;
	make_kernel(&elf);
	attempt_begin(&attempt, 32, elf.data, elf.bytes);
	attempt_initrd(&attempt, "initrd", 6);
	attempt.source.cmdline = "a b c";
	assert_int_equal(attempt_load(&attempt), 0);
	assert_int_equal(attempt.image.protocol, BOOT_LINUX64);
	assert_string_equal(attempt.image.format, "ELF");
	assert_int_equal(attempt.image.entry, MIB + 0x40);
	assert_int_equal(attempt.image.kernel_gpa, MIB);
	assert_int_equal(attempt.image.kernel_end, 2 * MIB + 0x3000);
	assert_memory_equal(guest(&attempt, MIB, 0x1000), elf.data + ELF_DATA_OFFSET, 0x1000);
	assert_memory_equal(guest(&attempt, 2 * MIB, 0x800), elf.data + ELF_DATA_OFFSET + 0x1000,
			    0x800);
	assert_int_equal(*guest(&attempt, 2 * MIB + 0x800, 1), 0);
	assert_int_equal(attempt.image.initrd_gpa, 32 * MIB - 4096);

	/* A kernel without a setup header gets one (boot.rst, what a boot loader fills in). */
	assert_int_equal(attempt.image.info_gpa, LAYOUT_ZERO_PAGE);
	zero = guest(&attempt, LAYOUT_ZERO_PAGE, 4096);
	assert_int_equal(load_le16(zero + 0x1fe), 0xaa55);
	assert_memory_equal(zero + 0x202, "HdrS", 4);
	assert_int_equal(load_le16(zero + 0x206), 0x020c);
	assert_int_equal(zero[0x210], 0xff);
	assert_int_equal(zero[0x211], 1);
	assert_int_equal(load_le32(zero + 0x218), 32 * MIB - 4096);
	assert_int_equal(load_le32(zero + 0x21c), 6);
	assert_int_equal(load_le32(zero + 0x228), LAYOUT_CMDLINE);
	assert_int_equal(load_le32(zero + 0x238), 2047);
	assert_int_equal(load_le64(zero + 0x070), LAYOUT_ACPI);
	assert_int_equal(zero[0x1e8], 3);
	attempt_end(&attempt);
}

static void test_truncated(void **state)
{
	struct elf_file elf;
	struct attempt attempt;
	uint64_t bytes;

	(void)state;
	make_kernel(&elf);
	for (bytes = 0; bytes < elf.bytes; bytes += bytes < 512 ? 1 : 61) {
		attempt_begin(&attempt, 32, elf.data, bytes);
		assert_int_not_equal(attempt_load(&attempt), 0);
		assert_true(attempt.result == -ENODATA ||
			    (bytes < SELFMAG && attempt.result == -ENOEXEC));
		attempt.source.kernel_bytes = elf.bytes; /* was longer when it was opened */
		assert_int_equal(attempt_load(&attempt), -ENODATA);
		attempt_end(&attempt);
	}
}

/* One field of the ELF header after the other. */
static void test_headers(void **state)
{
	const struct {
		uint32_t offset, bytes;
		uint64_t value;
		int result;
		const char *text;
	} cases[] = {
		{ EI_CLASS, 1, 0, -ENOEXEC, "not for x86" },
		{ EI_CLASS, 1, 3, -ENOEXEC, "not for x86" },
		{ EI_DATA, 1, ELFDATA2MSB, -ENOEXEC, "not for x86" },
		{ EI_VERSION, 1, 0, -ENOEXEC, "not for x86" },
		{ offsetof(Elf64_Ehdr, e_machine), 2, EM_AARCH64, -ENOEXEC, "machine 183" },
		{ offsetof(Elf64_Ehdr, e_machine), 2, EM_386, -ENOEXEC, "machine 3" },
		{ offsetof(Elf64_Ehdr, e_type), 2, ET_REL, -ENOEXEC, "type 1" },
		{ offsetof(Elf64_Ehdr, e_type), 2, ET_CORE, -ENOEXEC, "type 4" },
		{ offsetof(Elf64_Ehdr, e_phnum), 2, 0, -ENOEXEC, "program headers" },
		{ offsetof(Elf64_Ehdr, e_phnum), 2, 33, -ENOEXEC, "program headers" },
		{ offsetof(Elf64_Ehdr, e_phnum), 2, 0xffff, -ENOEXEC, "program headers" },
		{ offsetof(Elf64_Ehdr, e_phentsize), 2, 0, -ENOEXEC, "odd size" },
		{ offsetof(Elf64_Ehdr, e_phentsize), 2, 32, -ENOEXEC, "odd size" },
		{ offsetof(Elf64_Ehdr, e_phoff), 8, UINT64_MAX, -ENODATA, "truncated" },
		{ offsetof(Elf64_Ehdr, e_phoff), 8, UINT64_MAX - 111, -ENODATA, "truncated" },
		{ offsetof(Elf64_Ehdr, e_phoff), 8, 0x2791, -ENODATA, "truncated" },
		{ offsetof(Elf64_Ehdr, e_entry), 8, 0, -ENOEXEC, "entry" },
		{ offsetof(Elf64_Ehdr, e_entry), 8, MIB - 1, -ENOEXEC, "entry" },
		{ offsetof(Elf64_Ehdr, e_entry), 8, MIB + 0x1000, -ENOEXEC, "entry" },
		{ offsetof(Elf64_Ehdr, e_entry), 8, 2 * MIB + 0x800, -ENOEXEC, "entry" },
		{ offsetof(Elf64_Ehdr, e_entry), 8, UINT64_MAX, -ENOEXEC, "entry" },
	};
	struct elf_file elf;
	uint8_t value[8];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		make_kernel(&elf);
		store_le64(value, cases[i].value);
		memcpy(elf.data + cases[i].offset, value, cases[i].bytes);
		assert_refused(elf.data, elf.bytes, cases[i].result, cases[i].text);
	}
}

/* One field of the second program header after the other. */
static void test_segments(void **state)
{
	const struct {
		uint32_t offset;
		uint64_t value;
		int result;
		const char *text;
	} cases[] = {
		{ offsetof(Elf64_Phdr, p_filesz), 0x3001, -ENOEXEC, "longer in the file" },
		{ offsetof(Elf64_Phdr, p_filesz), UINT64_MAX, -ENOEXEC, "longer in the file" },
		{ offsetof(Elf64_Phdr, p_filesz), 0x801, -ENODATA, "segment 1 is beyond" },
		{ offsetof(Elf64_Phdr, p_offset), 0x2001, -ENODATA, "segment 1 is beyond" },
		{ offsetof(Elf64_Phdr, p_offset), UINT64_MAX, -ENODATA, "segment 1 is beyond" },
		{ offsetof(Elf64_Phdr, p_memsz), 0x7ff, -ENOEXEC, "longer in the file" },
		{ offsetof(Elf64_Phdr, p_memsz), 64 * MIB, -EFBIG, "at least 66 MiB" },
		{ offsetof(Elf64_Phdr, p_memsz), UINT64_MAX, -EFBIG, "below 3072 MiB" },
		{ offsetof(Elf64_Phdr, p_memsz), UINT64_MAX - 2 * MIB, -EFBIG, "below 3072 MiB" },
		{ offsetof(Elf64_Phdr, p_paddr), 0, -ENOEXEC, "below 1 MiB" },
		{ offsetof(Elf64_Phdr, p_paddr), MIB - 1, -ENOEXEC, "below 1 MiB" },
		{ offsetof(Elf64_Phdr, p_paddr), 32 * MIB - 0x2fff, -EFBIG, "at least 34 MiB" },
		{ offsetof(Elf64_Phdr, p_paddr), 4 * GIB, -EFBIG, "below 3072 MiB" },
		{ offsetof(Elf64_Phdr, p_paddr), UINT64_MAX, -EFBIG, "below 3072 MiB" },
		{ offsetof(Elf64_Phdr, p_paddr), MIB, -ENOEXEC, "overlap" },
		{ offsetof(Elf64_Phdr, p_paddr), MIB + 0xfff, -ENOEXEC, "overlap" },
		{ offsetof(Elf64_Phdr, p_paddr), MIB + 0x800, -ENOEXEC, "overlap" },
	};
	struct elf_file elf;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		make_kernel(&elf);
		store_le64((uint8_t *)elf_segment64(&elf, 1) + cases[i].offset, cases[i].value);
		assert_refused(elf.data, elf.bytes, cases[i].result, cases[i].text);
	}
}

/* What is at the edge, and fine. */
static void test_edges(void **state)
{
	struct elf_file elf;
	struct attempt attempt;

	(void)state;
	make_kernel(&elf);
	elf_segment64(&elf, 1)->p_paddr = MIB + 0x1000;            /* right behind the first */
	elf_add(&elf, PT_LOAD, 32 * MIB - 0x10, NULL, 0x10, 0x10); /* up to the end */
	elf_add(&elf, PT_LOAD, 0, NULL, 0, 0);                     /* empty: ignored */
	elf_add(&elf, PT_GNU_STACK, 0, NULL, 0, 0);
	elf_header64(&elf)->e_type = ET_DYN;
	attempt_begin(&attempt, 32, elf.data, elf.bytes);
	assert_int_equal(attempt_load(&attempt), 0);
	assert_int_equal(attempt.image.kernel_gpa, MIB);
	assert_int_equal(attempt.image.kernel_end, 32 * MIB);
	attempt_end(&attempt);

	make_kernel(&elf);
	elf_segment64(&elf, 0)->p_paddr = 3 * MIB; /* right behind the second, and before it */
	elf_segment64(&elf, 1)->p_paddr = 3 * MIB - 0x3000;
	elf_header64(&elf)->e_entry = 3 * MIB;
	attempt_begin(&attempt, 32, elf.data, elf.bytes);
	assert_int_equal(attempt_load(&attempt), 0);
	assert_int_equal(attempt.image.kernel_gpa, 3 * MIB - 0x3000);
	attempt_end(&attempt);
}

/* Program headers far behind what is read of the file's beginning. */
static void test_table_at_end(void **state)
{
	const uint64_t bytes = 2 * sizeof(Elf64_Phdr);
	struct elf_file elf;
	struct attempt attempt;

	(void)state;
	make_kernel(&elf);
	memcpy(elf.data + elf.bytes, elf_segment64(&elf, 0), bytes);
	elf_header64(&elf)->e_phoff = elf.bytes;
	memset(elf_segment64(&elf, 0), 0xff, bytes);
	attempt_begin(&attempt, 32, elf.data, elf.bytes + bytes);
	assert_int_equal(attempt_load(&attempt), 0);
	assert_int_equal(attempt.image.kernel_end, 2 * MIB + 0x3000);
	attempt_end(&attempt);
}

static void test_nothing_to_load(void **state)
{
	struct elf_file elf;

	(void)state;
	elf_begin(&elf, true, MIB);
	elf_add(&elf, PT_GNU_STACK, MIB, NULL, 0x100, 0x100);
	assert_refused(elf.data, elf.bytes, -ENOEXEC, "entry");
}

static void test_cmdline_limit(void **state)
{
	char text[2049];
	struct elf_file elf;
	struct attempt attempt;

	(void)state;
	make_kernel(&elf);
	memset(text, 'x', sizeof(text));
	text[2048] = 0;
	attempt_begin(&attempt, 32, elf.data, elf.bytes);
	attempt.source.cmdline = text;
	assert_int_equal(attempt_load(&attempt), -E2BIG);
	text[2047] = 0;
	assert_int_equal(attempt_load(&attempt), 0);
	attempt_end(&attempt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loads),           cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_headers),         cmocka_unit_test(test_segments),
		cmocka_unit_test(test_edges),           cmocka_unit_test(test_table_at_end),
		cmocka_unit_test(test_nothing_to_load), cmocka_unit_test(test_cmdline_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
