/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_kernel: boot_load() with any file as kernel. The input is either the file itself or a list
 * of patches to a good bzImage or ELF file, so that what lies behind the first checks is reached.
 */
#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../unit/elf_fixture.h"
#include "base/num.h"
#include "boot/boot.h"
#include "mem/ram.h"

#define RAM_MIB 32

enum template {
	TEMPLATE_NONE,
	TEMPLATE_BZIMAGE,
	TEMPLATE_ELF64,
	TEMPLATE_ELF32,
	TEMPLATE_COUNT,
};

/* The length of the file behind the template's, and what is beside the kernel. */
struct plan {
	uint8_t template;
	uint8_t choice;
	uint8_t initrd;      /* its size, in units of 256 KiB; 0: none */
	uint8_t more_opened; /* bytes that the file had when it was opened, and lacks now */
	uint16_t bytes;      /* cuts the template's file; 0: all of it */
} __attribute__((packed));

static void make_bzimage(struct elf_file *file)
{
	uint8_t *image = file->data;

	memset(file, 0, sizeof(*file));
	file->bytes = 4096;
	image[0x1f1] = 1;
	store_le32(image + 0x1f4, 192);
	store_le16(image + 0x1fe, 0xaa55);
	image[0x201] = 0x6a;
	memcpy(image + 0x202, "HdrS", 4);
	store_le16(image + 0x206, 0x020f);
	image[0x211] = 1;
	store_le32(image + 0x22c, 0x7fffffff);
	store_le32(image + 0x230, 0x200000);
	image[0x234] = 1;
	store_le16(image + 0x236, 0x3f);
	store_le32(image + 0x238, 2047);
	store_le64(image + 0x258, 16 * MIB);
	store_le32(image + 0x260, 4 * MIB);
}

static void make_elf(struct elf_file *file, bool wide)
{
	uint8_t notes[128];
	uint32_t bytes;

	bytes = elf_pvh_note(notes, MIB + 0x80, wide ? 8 : 4);
	bytes += elf_note(notes + bytes, "Linux", 0x100, "6.12", 5);
	elf_begin(file, wide, MIB + 0x40);
	elf_add(file, PT_LOAD, MIB, NULL, 0x1000, 0x1000);
	elf_add(file, PT_LOAD, 2 * MIB, NULL, 0x800, 0x3000);
	elf_add(file, PT_NOTE, 0, notes, bytes, bytes);
}

/* Patches: two bytes of offset, one of length (1 to 8), the bytes. */
static void patch(struct elf_file *file, const uint8_t *data, size_t bytes)
{
	while (bytes > 3) {
		uint64_t at = load_le16(data) % file->bytes;
		size_t length = (data[2] & 7) + 1u;

		data += 3;
		bytes -= 3;
		length = num_min(num_min(length, bytes), file->bytes - at);
		memcpy(file->data + at, data, length);
		data += length;
		bytes -= length;
	}
}

static void check(const struct ram *ram, int result, const struct boot_image *image,
		  const struct error *error)
{
	if (result) {
		if (error->code != -result || !error->text[0] || image->entry != UINT64_MAX)
			abort();
		return;
	}
	if (image->kernel_gpa < LAYOUT_KERNEL || image->kernel_end > ram_low_end(ram) ||
	    image->entry < image->kernel_gpa || image->entry >= image->kernel_end)
		abort();
	if (image->initrd_bytes &&
	    (image->initrd_gpa < image->kernel_end || image->initrd_gpa % LAYOUT_PAGE_BYTES ||
	     !ram_ptr(ram, image->initrd_gpa, image->initrd_bytes)))
		abort();
	if (!ram_ptr(ram, image->info_gpa, LAYOUT_PAGE_BYTES))
		abort();
}

static int make_file(void)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0)
		abort();
	return fd;
}

static void set_file(int fd, const void *data, size_t bytes)
{
	if (ftruncate(fd, 0) || (bytes && pwrite(fd, data, bytes, 0) != (ssize_t)bytes))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int kernel_fd = -1;
	static int initrd_fd = -1;
	static struct elf_file file;
	static struct ram ram;
	struct boot_image image = { .entry = UINT64_MAX };
	struct boot_source source = { .initrd_fd = -1, .cmdline = "console=ttyS0" };
	struct error error = { 0 };
	struct plan plan;
	size_t bytes;

	if (kernel_fd < 0) {
		if (ram_init(&ram, RAM_MIB * MIB, BACKING_4K, &error))
			abort();
		kernel_fd = make_file();
		initrd_fd = make_file();
	}
	if (size < sizeof(plan))
		return 0;
	memcpy(&plan, data, sizeof(plan));
	data += sizeof(plan);
	size -= sizeof(plan);

	bytes = size;
	switch (plan.template % TEMPLATE_COUNT) {
	case TEMPLATE_NONE:
		set_file(kernel_fd, data, size);
		break;
	case TEMPLATE_BZIMAGE:
		make_bzimage(&file);
		break;
	default:
		make_elf(&file, plan.template % TEMPLATE_COUNT == TEMPLATE_ELF64);
	}
	if (plan.template % TEMPLATE_COUNT) {
		patch(&file, data, size);
		bytes = plan.bytes ? num_min(plan.bytes, file.bytes) : file.bytes;
		set_file(kernel_fd, file.data, bytes);
	}
	source.choice = plan.choice % 3;
	source.kernel_fd = kernel_fd;
	source.kernel_bytes = bytes + plan.more_opened;
	if (plan.initrd) {
		if (ftruncate(initrd_fd, (off_t)(plan.initrd * 256 * KIB)))
			abort();
		source.initrd_fd = initrd_fd;
		source.initrd_bytes = plan.initrd * 256 * KIB;
	}
	check(&ram, boot_load(&ram, &source, &image, &error), &image, &error);
	return 0;
}
