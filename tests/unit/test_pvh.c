/* SPDX-License-Identifier: Apache-2.0 */
/* test_pvh: which ELF kernels are entered through PVH, their notes, and hvm_start_info. */
#include "boot_fixture.h"
#include "elf_fixture.h"

#define ENTRY64   (MIB + 0x40)
#define ENTRY_PVH (MIB + 0x80)

/* Code at 1 MiB and these notes. */
static void make_kernel(struct elf_file *elf, bool wide, const void *notes, uint32_t bytes)
{
	elf_begin(elf, wide, ENTRY64);
	elf_add(elf, PT_LOAD, MIB, NULL, 0x1000, 0x2000);
	if (bytes)
		elf_add(elf, PT_NOTE, 0, notes, bytes, bytes);
}

/* What comes of it, 0 meaning the 64-bit entry, 1 PVH, or negative errno. */
static int load_choice(struct elf_file *elf, enum boot_choice choice)
{
	struct attempt attempt;
	int result;

	attempt_begin(&attempt, 32, elf->data, elf->bytes);
	attempt.source.choice = choice;
	result = attempt_load(&attempt);
	if (!result) {
		result = attempt.image.protocol == BOOT_PVH;
		assert_int_equal(attempt.image.entry, result ? ENTRY_PVH : ENTRY64);
		assert_string_equal(attempt.image.format, result ? "ELF (PVH)" : "ELF");
		assert_int_equal(attempt.image.info_gpa,
				 result ? LAYOUT_PVH_START_INFO : LAYOUT_ZERO_PAGE);
	}
	attempt_end(&attempt);
	return result;
}

static void test_which_entry(void **state)
{
	struct elf_file elf;
	uint8_t notes[256];
	uint32_t pvh;
	uint32_t both;

	(void)state;
	pvh = elf_pvh_note(notes, ENTRY_PVH, 4);

	make_kernel(&elf, true, NULL, 0);
	assert_int_equal(load_choice(&elf, BOOT_CHOICE_AUTO), 0);
	assert_int_equal(load_choice(&elf, BOOT_CHOICE_LINUX64), 0);
	assert_int_equal(load_choice(&elf, BOOT_CHOICE_PVH), -ENOEXEC);

	make_kernel(&elf, true, notes, pvh);
	assert_int_equal(load_choice(&elf, BOOT_CHOICE_AUTO), 1);
	assert_int_equal(load_choice(&elf, BOOT_CHOICE_LINUX64), 0);
	assert_int_equal(load_choice(&elf, BOOT_CHOICE_PVH), 1);

	both = pvh + elf_note(notes + pvh, "Linux", 0x100, "6.12", 5);
	make_kernel(&elf, true, notes, both);
	assert_int_equal(load_choice(&elf, BOOT_CHOICE_AUTO), 0);
	assert_int_equal(load_choice(&elf, BOOT_CHOICE_PVH), 1);

	make_kernel(&elf, false, notes, pvh);
	assert_int_equal(load_choice(&elf, BOOT_CHOICE_AUTO), 1);
	assert_int_equal(load_choice(&elf, BOOT_CHOICE_LINUX64), -ENOEXEC);
	make_kernel(&elf, false, notes, both); /* 32-bit Linux */
	assert_int_equal(load_choice(&elf, BOOT_CHOICE_AUTO), 1);
	make_kernel(&elf, false, NULL, 0);
	assert_refused(elf.data, elf.bytes, -ENOEXEC, "32-bit ELF file without a PVH entry");
	elf_header32(&elf)->e_machine = EM_AARCH64;
	assert_refused(elf.data, elf.bytes, -ENOEXEC, "machine 183");
}

/* Two segments of notes, aligned to 8 bytes; a descriptor of 8 bytes. */
static void test_note_forms(void **state)
{
	const struct {
		uint32_t bytes;
		int result;
	} lengths[] = { { 4, 1 }, { 8, 1 }, { 0, -ENOEXEC }, { 2, -ENOEXEC }, { 16, -ENOEXEC } };
	uint8_t notes[256] = { 0 };
	struct elf_file elf;
	uint32_t bytes;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		bytes = elf_note(notes, "GNU", 3, "0123456789abcdefghi", 20);
		store_le64(notes + bytes + 16, ENTRY_PVH);
		bytes += elf_pvh_note(notes + bytes, ENTRY_PVH, num_min(lengths[i].bytes, 8));
		if (lengths[i].bytes == 16) {
			store_le32(notes + 12 + 4 + 20 + 4, 16);
			bytes += 8;
		}
		make_kernel(&elf, true, notes, bytes);
		assert_int_equal(load_choice(&elf, BOOT_CHOICE_PVH), lengths[i].result);
	}

	/* A note that ends at 20, so that the next one begins there or, aligned to 8, at 24. */
	memset(notes, 0, sizeof(notes));
	elf_note(notes, "abc", 1, "1234", 4);
	elf_pvh_note(notes + 24, ENTRY_PVH, 4);
	make_kernel(&elf, true, "", 1); /* a segment of notes with none in it */
	elf_add(&elf, PT_NOTE, 0, notes, 44, 44);
	assert_int_equal(load_choice(&elf, BOOT_CHOICE_PVH), -ENOEXEC);
	elf_segment64(&elf, 2)->p_align = 8;
	assert_int_equal(load_choice(&elf, BOOT_CHOICE_PVH), 1);
}

static void test_names(void **state)
{
	uint8_t notes[64];
	struct elf_file elf;
	uint32_t bytes;

	(void)state;
	bytes = elf_pvh_note(notes, ENTRY_PVH, 4);
	notes[14] = 'm';
	make_kernel(&elf, true, notes, bytes);
	assert_int_equal(load_choice(&elf, BOOT_CHOICE_AUTO), 0);
	elf_pvh_note(notes, ENTRY_PVH, 4);
	store_le32(notes + 8, 17); /* another type */
	make_kernel(&elf, true, notes, bytes);
	assert_int_equal(load_choice(&elf, BOOT_CHOICE_AUTO), 0);
	elf_pvh_note(notes, ENTRY_PVH, 4);
	store_le32(notes, 3); /* "Xen" without its terminator */
	make_kernel(&elf, true, notes, bytes);
	assert_int_equal(load_choice(&elf, BOOT_CHOICE_AUTO), 0);
}

/* Notes that say more than there is: what lies beyond is not looked at. */
static void test_hostile_notes(void **state)
{
	uint8_t notes[64];
	struct elf_file elf;
	uint32_t bytes = elf_pvh_note(notes, ENTRY_PVH, 4);
	uint32_t i;

	(void)state;
	for (i = 0; i < bytes; i++) {
		make_kernel(&elf, true, notes, bytes);
		elf_segment64(&elf, 1)->p_filesz = i;
		assert_int_equal(load_choice(&elf, BOOT_CHOICE_AUTO), 0);
	}
	for (i = 0; i < 8; i += 4) { /* name and descriptor of 4 GiB less 1 */
		make_kernel(&elf, true, notes, bytes);
		store_le32(elf.data + ELF_DATA_OFFSET + 0x1000 + i, UINT32_MAX);
		assert_int_equal(load_choice(&elf, BOOT_CHOICE_AUTO), 0);
	}
	make_kernel(&elf, true, notes, bytes);
	elf_segment64(&elf, 1)->p_filesz = bytes + 1;
	assert_refused(elf.data, elf.bytes, -ENODATA, "notes");
	elf_segment64(&elf, 1)->p_filesz = UINT64_MAX;
	assert_refused(elf.data, elf.bytes, -ENODATA, "notes");
	elf_segment64(&elf, 1)->p_filesz = bytes;
	elf_segment64(&elf, 1)->p_offset = UINT64_MAX - 4;
	assert_refused(elf.data, elf.bytes, -ENODATA, "notes");
}

static void test_entry_outside(void **state)
{
	static const uint64_t entries[] = { 0, MIB - 1, MIB + 0x1000, 4 * GIB + MIB, UINT64_MAX };
	uint8_t notes[64];
	struct elf_file elf;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(entries); i++) {
		make_kernel(&elf, true, notes, elf_pvh_note(notes, entries[i], 8));
		assert_refused(elf.data, elf.bytes, -ENOEXEC, "entry");
	}
}

static void test_start_info(void **state)
{
	uint8_t notes[64];
	struct elf_file elf;
	struct attempt attempt;
	const uint8_t *info;

	(void)state;
	make_kernel(&elf, false, notes, elf_pvh_note(notes, ENTRY_PVH, 4));
	attempt_begin(&attempt, 32, elf.data, elf.bytes);
	attempt_initrd(&attempt, NULL, 5000);
	attempt.source.cmdline = "x=y";
	memset(guest(&attempt, LAYOUT_PVH_START_INFO, 4096), 0xee, 4096);
	assert_int_equal(attempt_load(&attempt), 0);
	assert_int_equal(load_le64(guest(&attempt, LAYOUT_GDT + 0x28, 8)), 0xcf9b000000ffff);
	assert_int_equal(*guest(&attempt, 0xffff0, 1), 0xb0);
	info = guest(&attempt, LAYOUT_PVH_START_INFO, 4096);
	assert_int_equal(load_le32(info), 0x336ec578);
	assert_int_equal(load_le32(info + 4), 1);
	assert_int_equal(load_le32(info + 8), 0);
	assert_int_equal(load_le32(info + 12), 1);
	assert_int_equal(load_le64(info + 24), LAYOUT_CMDLINE);
	assert_string_equal((char *)guest(&attempt, LAYOUT_CMDLINE, 8), "x=y");
	assert_int_equal(load_le64(info + 32), LAYOUT_ACPI);
	assert_int_equal(load_le32(info + 48), 3);
	assert_int_equal(load_le32(info + 52), 0);

	info = guest(&attempt, load_le64(info + 16), 32); /* the module */
	assert_int_equal(load_le64(info), 32 * MIB - 8192);
	assert_int_equal(load_le64(info + 8), 5000);
	assert_int_equal(load_le64(info + 16), 0);
	assert_int_equal(load_le64(info + 24), 0);

	info = guest(&attempt, LAYOUT_PVH_START_INFO, 4096);
	info = guest(&attempt, load_le64(info + 40), 72); /* the memory map */
	assert_int_equal(load_le64(info), 0);
	assert_int_equal(load_le64(info + 8), 0x9fc00);
	assert_int_equal(load_le32(info + 16), BOOT_E820_RAM);
	assert_int_equal(load_le32(info + 24 + 16), BOOT_E820_RESERVED);
	assert_int_equal(load_le64(info + 48), MIB);
	assert_int_equal(load_le64(info + 56), 31 * MIB);
	assert_int_equal(load_le32(info + 68), 0);
	attempt_end(&attempt);
}

static void test_no_module(void **state)
{
	uint8_t notes[64];
	struct elf_file elf;
	struct attempt attempt;

	(void)state;
	make_kernel(&elf, true, notes, elf_pvh_note(notes, ENTRY_PVH, 8));
	attempt_begin(&attempt, 32, elf.data, elf.bytes);
	assert_int_equal(attempt_load(&attempt), 0);
	assert_int_equal(load_le32(guest(&attempt, LAYOUT_PVH_START_INFO + 12, 4)), 0);
	assert_int_equal(load_le64(guest(&attempt, LAYOUT_PVH_START_INFO + 16, 8)), 0);
	attempt_end(&attempt);
}

/* The initrd of a PVH kernel stays below 4 GiB: Linux keeps 32 bits of its address. */
static void test_initrd_stays_low(void **state)
{
	uint8_t notes[64];
	struct elf_file elf;
	struct attempt attempt;

	(void)state;
	make_kernel(&elf, true, notes, elf_pvh_note(notes, ENTRY_PVH, 8));
	elf_segment64(&elf, 0)->p_memsz = 3 * GIB - 2 * MIB;
	attempt_begin(&attempt, 3 * 1024 + 8, elf.data, elf.bytes);
	attempt_initrd(&attempt, NULL, 2 * MIB);
	assert_int_equal(attempt_load(&attempt), -EFBIG);
	attempt.source.choice = BOOT_CHOICE_LINUX64;
	assert_int_equal(attempt_load(&attempt), 0);
	assert_int_equal(attempt.image.initrd_gpa, 4 * GIB + 6 * MIB);
	attempt_end(&attempt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which_entry),   cmocka_unit_test(test_note_forms),
		cmocka_unit_test(test_names),         cmocka_unit_test(test_hostile_notes),
		cmocka_unit_test(test_entry_outside), cmocka_unit_test(test_start_info),
		cmocka_unit_test(test_no_module),     cmocka_unit_test(test_initrd_stays_low),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
