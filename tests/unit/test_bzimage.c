/* SPDX-License-Identifier: Apache-2.0 */
/* test_bzimage: bzImages good and hostile, their zero page, and the place of the initrd. */
#include "boot_fixture.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>

#include "base/fd.h"

#define SETUP_BYTES   1024 /* setup_sects 1 */
#define PAYLOAD_BYTES 4096
#define IMAGE_BYTES   (SETUP_BYTES + PAYLOAD_BYTES)
#define ZERO_PAGE     LAYOUT_ZERO_PAGE

/* A good image: 64-bit, relocatable, wants 2 MiB at 2 MiB. The payload is a pattern. */
static void make_image(uint8_t image[IMAGE_BYTES])
{
	uint32_t i;

	memset(image, 0, SETUP_BYTES);
	for (i = 0; i < PAYLOAD_BYTES; i++)
		image[SETUP_BYTES + i] = (uint8_t)(i * 7 + 1);
	image[0x1f1] = 1;
	store_le32(image + 0x1f4, PAYLOAD_BYTES / 16);
	store_le16(image + 0x1fe, 0xaa55);
	image[0x200] = 0xeb;
	image[0x201] = 0x6a;
	memcpy(image + 0x202, "HdrS", 4);
	store_le16(image + 0x206, 0x020f);
	image[0x211] = 0x01 | 0x80;
	store_le32(image + 0x22c, 0x7fffffff);
	store_le32(image + 0x230, 0x200000);
	image[0x234] = 1;
	store_le16(image + 0x236, 0x7f);
	store_le32(image + 0x238, 2047);
	store_le64(image + 0x250, 0x1234567); /* setup_data: to be cleared */
	store_le64(image + 0x258, 2 * MIB);
	store_le32(image + 0x260, 2 * MIB);
	memset(image + 0x26c, 0xcc, SETUP_BYTES - 0x26c); /* setup code */
}

static void test_loads(void **state)
{
	uint8_t image[IMAGE_BYTES];
	struct attempt attempt;
	const uint8_t *zero;

	(void)state;
	make_image(image);
	attempt_begin(&attempt, 32, image, sizeof(image));
	attempt_initrd(&attempt, "initrd", 6);
	attempt.source.cmdline = "console=ttyS0 quiet";
	/* A sentinel that is set, and an e820 table that is not ours, would both mislead. */
	memset(guest(&attempt, ZERO_PAGE, 4096), 0xee, 4096);
	assert_int_equal(attempt_load(&attempt), 0);

	assert_int_equal(attempt.image.protocol, BOOT_LINUX64);
	assert_string_equal(attempt.image.format, "bzImage");
	assert_int_equal(attempt.image.kernel_gpa, 2 * MIB);
	assert_int_equal(attempt.image.kernel_end, 4 * MIB);
	assert_int_equal(attempt.image.entry, 2 * MIB + 0x200);
	assert_int_equal(attempt.image.info_gpa, ZERO_PAGE);
	assert_memory_equal(guest(&attempt, 2 * MIB, PAYLOAD_BYTES), image + SETUP_BYTES,
			    PAYLOAD_BYTES);
	assert_int_equal(attempt.image.initrd_gpa, 32 * MIB - 4096);
	assert_int_equal(attempt.image.initrd_bytes, 6);
	assert_memory_equal(guest(&attempt, 32 * MIB - 4096, 6), "initrd", 6);

	/* What the first instruction needs, and where a reboot ends; test_x86 looks closer. */
	assert_int_equal(load_le64(guest(&attempt, LAYOUT_GDT + 0x10, 8)), 0xaf9b000000ffff);
	assert_int_not_equal(load_le64(guest(&attempt, LAYOUT_PAGE_TABLES, 8)), 0);
	assert_int_equal(*guest(&attempt, 0xffff0, 1), 0xb0);

	zero = guest(&attempt, ZERO_PAGE, 4096);
	assert_memory_equal(zero + 0x1f1, image + 0x1f1, 0x210 - 0x1f1);
	assert_int_equal(zero[0x1ef], 0);
	assert_int_equal(zero[0x210], 0xff);
	assert_int_equal(zero[0x211], 0x01);
	assert_int_equal(load_le32(zero + 0x218), 32 * MIB - 4096);
	assert_int_equal(load_le32(zero + 0x21c), 6);
	assert_int_equal(load_le32(zero + 0x0c0), 0);
	assert_int_equal(load_le32(zero + 0x228), LAYOUT_CMDLINE);
	assert_string_equal((char *)guest(&attempt, LAYOUT_CMDLINE, 64), "console=ttyS0 quiet");
	assert_int_equal(load_le64(zero + 0x250), 0);
	assert_int_equal(load_le64(zero + 0x258), 2 * MIB);
	assert_int_equal(load_le32(zero + 0x268), 0);
	assert_int_equal(zero[0x26c], 0); /* behind the header that the image says it has */
	assert_int_equal(load_le64(zero + 0x070), LAYOUT_ACPI);
	assert_int_equal(zero[0x1e8], 3);
	assert_int_equal(load_le64(zero + 0x2d0 + 40), MIB);
	assert_int_equal(load_le64(zero + 0x2d0 + 48), 31 * MIB);
	assert_int_equal(load_le32(zero + 0x2d0 + 56), BOOT_E820_RAM);
	assert_int_equal(zero[0x2d0 + 60], 0);
	attempt_end(&attempt);
}

/* The header says it is longer than the place for it in the zero page. */
static void test_long_header_is_cut(void **state)
{
	uint8_t image[IMAGE_BYTES];
	struct attempt attempt;
	uint32_t i;

	(void)state;
	make_image(image);
	image[0x201] = 0xff;
	attempt_begin(&attempt, 32, image, sizeof(image));
	assert_int_equal(attempt_load(&attempt), 0);
	assert_int_equal(*guest(&attempt, ZERO_PAGE + 0x28f, 1), 0xcc);
	for (i = 0x290; i < 0x2d0; i++)
		assert_int_equal(*guest(&attempt, ZERO_PAGE + i, 1), 0);
	attempt_end(&attempt);
}

/* setup_sects 0 means 4; what follows the kernel in the file stays out beyond init_size. */
static void test_payload_bounds(void **state)
{
	const uint64_t begin = 5 * 512;
	const uint64_t bytes = begin + 3 * MIB;
	uint8_t image[IMAGE_BYTES];
	struct attempt attempt;
	uint8_t *file = calloc(1, bytes);

	(void)state;
	assert_non_null(file);
	make_image(image);
	image[0x1f1] = 0;
	memcpy(file, image, SETUP_BYTES);
	memset(file + begin, 0x5a, 3 * MIB);
	attempt_begin(&attempt, 32, file, bytes);
	assert_int_equal(attempt_load(&attempt), 0);
	assert_int_equal(attempt.image.kernel_end, 4 * MIB);
	assert_int_equal(*guest(&attempt, 2 * MIB, 1), 0x5a);
	assert_int_equal(*guest(&attempt, 4 * MIB - 1, 1), 0x5a);
	assert_int_equal(*guest(&attempt, 4 * MIB, 1), 0);
	attempt_end(&attempt);
	free(file);
}

/* Every length that is too short, and lengths that were true when the file was opened. */
static void test_truncated(void **state)
{
	uint8_t image[IMAGE_BYTES];
	struct attempt attempt;
	uint32_t bytes;

	(void)state;
	make_image(image);
	for (bytes = 0; bytes < IMAGE_BYTES; bytes += bytes < SETUP_BYTES + 16 ? 1 : 97) {
		attempt_begin(&attempt, 32, image, bytes);
		assert_int_not_equal(attempt_load(&attempt), 0);
		assert_true(attempt.result == -ENODATA || attempt.result == -ENOEXEC);
		if (bytes == 0 || bytes >= 0x206)
			assert_int_equal(attempt.result, -ENODATA);
		attempt.source.kernel_bytes = IMAGE_BYTES;
		assert_int_equal(attempt_load(&attempt), -ENODATA);
		attempt_end(&attempt);
	}
	assert_refused(image, 0, -ENODATA, "empty");
}

static void test_refused(void **state)
{
	const struct {
		uint32_t offset, bytes;
		uint64_t value;
		int result;
		const char *text;
	} cases[] = {
		{ 0x1fe, 2, 0x55aa, -ENOEXEC, "neither bzImage nor ELF" },
		{ 0x202, 4, 0x41414141, -ENOEXEC, "neither bzImage nor ELF" },
		{ 0x206, 2, 0x020b, -ENOEXEC, "2.11" },
		{ 0x206, 2, 0x0000, -ENOEXEC, "0.00" },
		{ 0x236, 2, 0x007e, -ENOEXEC, "32-bit" },
		{ 0x211, 1, 0x80, -ENOEXEC, "zImage" },
		{ 0x201, 1, 0x65, -ENOEXEC, "too short" },
		{ 0x230, 4, 0, -ENOEXEC, "power of two" },
		{ 0x230, 4, 0x300000, -ENOEXEC, "power of two" },
		{ 0x258, 8, UINT64_MAX, -ENOEXEC, "power of two" },
		{ 0x258, 8, UINT64_MAX - 0x3fffff, -EFBIG, "below 3072 MiB" },
		{ 0x258, 8, 0, -ENOEXEC, "below 1 MiB" },
		{ 0x258, 8, 4 * GIB, -EFBIG, "below 3072 MiB" },
		{ 0x260, 4, 0xffffffff, -EFBIG, "below 3072 MiB" },
		{ 0x260, 4, 64 * MIB, -EFBIG, "at least 66 MiB" },
		{ 0x1f1, 1, 0xff, -ENODATA, "truncated" },
		{ 0x1f4, 4, PAYLOAD_BYTES / 16 + 1, -ENODATA, "truncated" },
		{ 0x1f4, 4, 0xffffffff, -ENODATA, "truncated" },
		{ 0x1f4, 4, 0x200 / 16, -ENOEXEC, "no kernel" },
		{ 0x1f4, 4, 0, -ENOEXEC, "no kernel" },
	};
	uint8_t image[IMAGE_BYTES];
	uint8_t value[8];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		make_image(image);
		store_le64(value, cases[i].value);
		memcpy(image + cases[i].offset, value, cases[i].bytes);
		assert_refused(image, sizeof(image), cases[i].result, cases[i].text);
	}
}

/* Files that are no kernels get told what they are. */
static void test_hints(void **state)
{
	uint8_t file[4096] = { 0x1f, 0x8b };

	(void)state;
	assert_refused(file, sizeof(file), -ENOEXEC, "gzip");
	memcpy(file,
	       "\xfd"
	       "7zXZ",
	       6);
	assert_refused(file, sizeof(file), -ENOEXEC, "xz");
	memcpy(file, "\x28\xb5\x2f\xfd", 4);
	assert_refused(file, sizeof(file), -ENOEXEC, "zstd");
	memcpy(file, "070701", 6);
	assert_refused(file, sizeof(file), -ENOEXEC, "initrd");
	memcpy(file, "MZ", 2);
	assert_refused(file, sizeof(file), -ENOEXEC, "EFI");
	memcpy(file + 56, "ARMd", 4);
	assert_refused(file, sizeof(file), -ENOEXEC, "arm64");
	assert_refused("#", 1, -ENOEXEC, "neither bzImage nor ELF");
}

static void test_addresses(void **state)
{
	uint8_t image[IMAGE_BYTES];
	struct attempt attempt;

	(void)state;
	make_image(image);
	store_le64(image + 0x258, 0x234567); /* up to the next multiple of the alignment */
	attempt_begin(&attempt, 32, image, sizeof(image));
	assert_int_equal(attempt_load(&attempt), 0);
	assert_int_equal(attempt.image.kernel_gpa, 4 * MIB);
	attempt_end(&attempt);

	image[0x234] = 0; /* not relocatable: exactly there, whatever the alignment */
	store_le32(image + 0x230, 0);
	attempt_begin(&attempt, 32, image, sizeof(image));
	assert_int_equal(attempt_load(&attempt), 0);
	assert_int_equal(attempt.image.kernel_gpa, 0x234567);
	attempt_end(&attempt);

	store_le32(image + 0x260, 0); /* no init_size: what was read is the kernel */
	attempt_begin(&attempt, 32, image, sizeof(image));
	assert_int_equal(attempt_load(&attempt), 0);
	assert_int_equal(attempt.image.kernel_end, 0x234567 + PAYLOAD_BYTES);
	attempt_end(&attempt);
}

/* Loads with that much memory and an initrd of zeros. */
static int load_with_initrd(struct attempt *attempt, const uint8_t *image, uint64_t ram_mib,
			    uint64_t initrd_bytes)
{
	attempt_begin(attempt, ram_mib, image, IMAGE_BYTES);
	attempt_initrd(attempt, NULL, initrd_bytes);
	return attempt_load(attempt);
}

/* The memory that an error advises is enough, and the size below is not. */
static void check_advice(const uint8_t *image, uint64_t initrd_bytes)
{
	struct attempt attempt;
	uint64_t mib;

	assert_int_equal(load_with_initrd(&attempt, image, 4, initrd_bytes), -EFBIG);
	mib = advised_mib(&attempt);
	attempt_end(&attempt);
	assert_int_equal(load_with_initrd(&attempt, image, mib, initrd_bytes), 0);
	attempt_end(&attempt);
	assert_int_equal(load_with_initrd(&attempt, image, mib - 2, initrd_bytes), -EFBIG);
	attempt_end(&attempt);
}

static void test_advice(void **state)
{
	static const uint64_t sizes[] = { 1,           4096,    4097,       2 * MIB - 4096,
					  2 * MIB - 1, 2 * MIB, 8 * MIB + 1 };
	/* The kernel's end: at a page, before, behind, and beyond the 4 MiB of the first attempt.
	 */
	static const uint32_t init_sizes[] = { 2 * MIB, 2 * MIB - 4095, 2 * MIB - 1 };
	uint8_t image[IMAGE_BYTES];
	size_t i;
	size_t k;

	(void)state;
	make_image(image);
	for (k = 0; k < ARRAY_SIZE(init_sizes); k++) {
		store_le32(image + 0x260, init_sizes[k]);
		for (i = 0; i < ARRAY_SIZE(sizes); i++)
			check_advice(image, sizes[i]);
	}
}

static void test_advice_for_kernel(void **state)
{
	uint8_t image[IMAGE_BYTES];
	struct attempt attempt;

	(void)state;
	make_image(image);
	store_le32(image + 0x260, 16 * MIB + 1);
	attempt_begin(&attempt, 18, image, sizeof(image));
	assert_int_equal(attempt_load(&attempt), -EFBIG);
	assert_int_equal(advised_mib(&attempt), 20);
	attempt_end(&attempt);
	attempt_begin(&attempt, 20, image, sizeof(image));
	assert_int_equal(attempt_load(&attempt), 0);
	attempt_end(&attempt);
}

static void test_initrd_places(void **state)
{
	uint8_t image[IMAGE_BYTES];
	struct attempt attempt;

	(void)state;
	make_image(image);
	assert_int_equal(load_with_initrd(&attempt, image, 32, 28 * MIB), 0); /* just fits */
	assert_int_equal(attempt.image.initrd_gpa, attempt.image.kernel_end);
	attempt_end(&attempt);
	assert_int_equal(load_with_initrd(&attempt, image, 32, 28 * MIB + 1), -EFBIG);
	attempt_end(&attempt);

	store_le32(image + 0x22c, 8 * MIB - 1); /* initrd_addr_max: the last byte */
	assert_int_equal(load_with_initrd(&attempt, image, 32, 4096), 0);
	assert_int_equal(attempt.image.initrd_gpa, 8 * MIB - 4096);
	attempt_end(&attempt);
	assert_int_equal(load_with_initrd(&attempt, image, 32, 5000), 0);
	assert_int_equal(attempt.image.initrd_gpa, 8 * MIB - 8192);
	attempt_end(&attempt);
	assert_int_equal(load_with_initrd(&attempt, image, 32, 5 * MIB), 0); /* above instead */
	assert_int_equal(attempt.image.initrd_gpa, 27 * MIB);
	attempt_end(&attempt);
	store_le16(image + 0x236, 0x01); /* but not where the kernel cannot */
	assert_int_equal(load_with_initrd(&attempt, image, 32, 5 * MIB), -EFBIG);
	assert_non_null(strstr(attempt.error.text, "the highest this kernel takes"));
	attempt_end(&attempt);
	store_le32(image + 0x22c, 0);
	assert_int_equal(load_with_initrd(&attempt, image, 32, 1), -EFBIG);
	attempt_end(&attempt);
}

/* A kernel that fills low RAM: the initrd goes above 4 GiB, its address to the ext_ fields. */
static void test_initrd_above_4g(void **state)
{
	uint8_t image[IMAGE_BYTES];
	struct attempt attempt;
	const uint8_t *zero;

	(void)state;
	make_image(image);
	store_le32(image + 0x260, (uint32_t)(3 * GIB - 2 * MIB));
	assert_int_equal(load_with_initrd(&attempt, image, 3 * 1024 + 4, 3 * MIB), 0);
	assert_int_equal(attempt.image.initrd_gpa, 4 * GIB + MIB);
	zero = guest(&attempt, ZERO_PAGE, 4096);
	assert_int_equal(load_le32(zero + 0x218), MIB);
	assert_int_equal(load_le32(zero + 0x0c0), 1);
	assert_int_equal(load_le32(zero + 0x21c), 3 * MIB);
	assert_int_equal(load_le32(zero + 0x0c4), 0);
	assert_int_equal(zero[0x1e8], 4);
	attempt_end(&attempt);
	assert_int_equal(load_with_initrd(&attempt, image, 3 * 1024 + 4, 5 * MIB), -EFBIG);
	assert_int_equal(advised_mib(&attempt), 3 * 1024 + 6);
	attempt_end(&attempt);
	assert_int_equal(load_with_initrd(&attempt, image, 3 * 1024 + 6, 5 * MIB), 0);
	attempt_end(&attempt);
}

static void test_initrd_files(void **state)
{
	uint8_t image[IMAGE_BYTES];
	struct attempt attempt;

	(void)state;
	make_image(image);
	assert_int_equal(load_with_initrd(&attempt, image, 32, 0), -ENODATA);
	assert_non_null(strstr(attempt.error.text, "INITRD"));
	attempt_end(&attempt);

	attempt_begin(&attempt, 32, image, sizeof(image));
	attempt_initrd(&attempt, "abc", 3);
	attempt.source.initrd_bytes = 4; /* has become shorter */
	assert_int_equal(attempt_load(&attempt), -ENODATA);
	attempt.source.initrd_bytes = UINT64_MAX;
	assert_int_equal(attempt_load(&attempt), -EFBIG);
	assert_null(strstr(attempt.error.text, "at least"));
	attempt.source.initrd_bytes = 600 * GIB; /* no VM has that */
	assert_int_equal(attempt_load(&attempt), -EFBIG);
	assert_null(strstr(attempt.error.text, "at least"));
	attempt_end(&attempt);

	attempt_begin(&attempt, 32, image, sizeof(image));
	close(attempt.source.kernel_fd);
	attempt.source.kernel_fd = open("/", O_RDONLY | O_CLOEXEC);
	assert_int_equal(attempt_load(&attempt), -EISDIR);
	attempt_end(&attempt);
}

static void test_cmdline_limit(void **state)
{
	uint8_t image[IMAGE_BYTES];
	struct attempt attempt;

	(void)state;
	make_image(image);
	store_le32(image + 0x238, 8);
	attempt_begin(&attempt, 32, image, sizeof(image));
	attempt.source.cmdline = "12345678";
	assert_int_equal(attempt_load(&attempt), 0);
	attempt.source.cmdline = "123456789";
	assert_int_equal(attempt_load(&attempt), -E2BIG);
	attempt.source.cmdline = "a\nb";
	assert_int_equal(attempt_load(&attempt), -EINVAL);
	attempt.source.cmdline = NULL;
	assert_int_equal(attempt_load(&attempt), 0);
	assert_int_equal(*guest(&attempt, LAYOUT_CMDLINE, 1), 0);
	attempt_end(&attempt);
}

static void test_choice(void **state)
{
	uint8_t image[IMAGE_BYTES];
	struct attempt attempt;

	(void)state;
	make_image(image);
	attempt_begin(&attempt, 32, image, sizeof(image));
	attempt.source.choice = BOOT_CHOICE_LINUX64;
	assert_int_equal(attempt_load(&attempt), 0);
	attempt.source.choice = BOOT_CHOICE_PVH;
	assert_int_equal(attempt_load(&attempt), -ENOEXEC);
	assert_non_null(strstr(attempt.error.text, "PVH"));
	attempt_end(&attempt);
}

/* Kernels of this machine, where there are any. */
static void load_real(const char *path)
{
	struct attempt attempt = { 0 };

	assert_int_equal(ram_init(&attempt.ram, 512 * MIB, BACKING_4K, &attempt.error), 0);
	attempt.source.kernel_fd = fd_open_file(path, &attempt.source.kernel_bytes);
	attempt.source.kernel_name = path;
	attempt.source.initrd_fd = -1;
	assert_true(attempt.source.kernel_fd >= 0);
	if (attempt_load(&attempt))
		fail_msg("%s", attempt.error.text);
	assert_string_equal(attempt.image.format, "bzImage");
	assert_int_equal(attempt.image.entry, attempt.image.kernel_gpa + 0x200);
	assert_int_equal(attempt.image.kernel_gpa % (2 * MIB), 0);
	/* The 64-bit entry begins with cld or cli, whatever the version. */
	assert_int_equal(*guest(&attempt, attempt.image.entry, 1) & 0xfa, 0xf8);
	attempt_end(&attempt);
}

static void test_real_kernels(void **state)
{
	char pattern[512];
	glob_t found = { 0 };
	size_t i;

	(void)state;
	snprintf(pattern, sizeof(pattern), "%s/.cache/stet/kernels/*/boot/vmlinuz-*",
		 getenv("HOME") ? getenv("HOME") : "");
	glob(pattern, 0, NULL, &found);
	glob("/boot/vmlinuz-*", GLOB_APPEND, NULL, &found);
	for (i = 0; i < found.gl_pathc; i++) {
		if (access(found.gl_pathv[i], R_OK) == 0)
			load_real(found.gl_pathv[i]);
	}
	i = found.gl_pathc;
	globfree(&found);
	if (!i)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loads),
		cmocka_unit_test(test_long_header_is_cut),
		cmocka_unit_test(test_payload_bounds),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_hints),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_advice),
		cmocka_unit_test(test_advice_for_kernel),
		cmocka_unit_test(test_initrd_places),
		cmocka_unit_test(test_initrd_above_4g),
		cmocka_unit_test(test_initrd_files),
		cmocka_unit_test(test_cmdline_limit),
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_real_kernels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
