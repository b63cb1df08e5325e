/* SPDX-License-Identifier: Apache-2.0 */
/* test_populate: what the host's switches say, steps that hold no 2 MiB block, and the mapping that
 * is left. That pages are folios is seen by tests/lab/inside/zero_faults.sh, on hosts that make
 * them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/num.h"
#include "mem/populate.h"
#include "mem/prefault.h"

#define BLOCK (2 * MIB)

/* ---- What the host says ---- */

static char root[32];

static int make_root(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/stet-folio.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "chmod -R u+rwx '%s' && rm -rf '%s'", root, root);
	return system(command);
}

/* One switch; text NULL takes it away. size NULL is the global one. */
static void set(const char *size, const char *text)
{
	char path[192], directory[128];
	FILE *file;

	snprintf(directory, sizeof(directory), "%s/hugepages-%s", root, size ? size : "");
	snprintf(path, sizeof(path), "%s/enabled", size ? directory : root);
	if (size)
		mkdir(directory, 0755);
	unlink(path);
	if (!text)
		return;
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static uint64_t folio_bytes;

static enum backing_folios probe(void)
{
	enum backing_folios found;
	char directory[80];

	snprintf(directory, sizeof(directory), "%s/", root);
	found = backing_probe_folios(directory, &folio_bytes);
	assert_int_equal(folio_bytes != 0, found == BACKING_FOLIOS_ON);
	return found;
}

static void switches(void **state)
{
	(void)state;
	assert_int_equal(probe(), BACKING_FOLIOS_MISSING); /* before Linux 6.8 */
	set(NULL, "[always] madvise never\n");
	assert_int_equal(probe(), BACKING_FOLIOS_MISSING);
	set("2048kB", "[always] inherit madvise never\n");
	assert_int_equal(probe(), BACKING_FOLIOS_MISSING); /* that one makes huge pages */
	set("64kB", "always inherit madvise [never]\n");
	assert_int_equal(probe(), BACKING_FOLIOS_OFF);
	set("64kB", "always inherit [madvise] never\n");
	assert_int_equal(probe(), BACKING_FOLIOS_ON);
	assert_true(folio_bytes == 64 * KIB);
	set("64kB", "[always] inherit madvise never\n");
	assert_int_equal(probe(), BACKING_FOLIOS_ON);
	set("64kB", "always [inherit] madvise never\n");
	assert_int_equal(probe(), BACKING_FOLIOS_ON);
	set(NULL, "always [madvise] never\n");
	assert_int_equal(probe(), BACKING_FOLIOS_ON);
	set(NULL, "always madvise [never]\n");
	assert_int_equal(probe(), BACKING_FOLIOS_OFF);
	set(NULL, NULL);
	assert_int_equal(probe(), BACKING_FOLIOS_OFF);
	set("1024kB", "always inherit [madvise] never\n");
	assert_int_equal(probe(), BACKING_FOLIOS_ON);
	assert_true(folio_bytes == MIB);
	set("64kB", NULL);
	assert_int_equal(probe(), BACKING_FOLIOS_ON);
	set("1024kB", "always inherit madvise [never]\n");
	assert_int_equal(probe(), BACKING_FOLIOS_OFF);
	set("16kB", "always inherit [madvise] never\n");
	assert_int_equal(probe(), BACKING_FOLIOS_ON);
}

static void strange_switches(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"[",
		"]",
		"[]",
		"always",
		"madvise never",
		"[madvise",
		"[alwaysmost]",
		"1",
		"[Always]",
		"[[always]]",
		"[ always ]",
		"\xff\xfe[",
		"[per-process]",
	};
	char big[512], path[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		set("64kB", texts[i]);
		assert_int_equal(probe(), BACKING_FOLIOS_MISSING);
	}
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	set("64kB", big);
	assert_int_equal(probe(), BACKING_FOLIOS_MISSING);
	set("64kB", NULL);
	snprintf(path, sizeof(path), "%s/hugepages-64kB/enabled", root);
	mkdir(path, 0755); /* cannot be read, whoever we are */
	assert_int_equal(probe(), BACKING_FOLIOS_MISSING);
	rmdir(path);
	set("64kB", "always inherit [madvise] never\n");
	chmod(path, 0);
	if (geteuid() != 0)
		assert_int_equal(probe(), BACKING_FOLIOS_MISSING);
	assert_int_equal(backing_probe_folios("/nowhere/", &folio_bytes), BACKING_FOLIOS_MISSING);
}

static void this_host(void **state)
{
	(void)state;
	assert_in_range(backing_probe_folios(NULL, &folio_bytes), BACKING_FOLIOS_MISSING,
			BACKING_FOLIOS_ON);
	assert_int_equal(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
	assert_int_equal(backing_probe_folios(NULL, &folio_bytes), BACKING_FOLIOS_OFF);
	assert_int_equal(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0), 0);
}

/* ---- Steps ---- */

static void no_block_in_a_step(void **state)
{
	static const uint64_t starts[] = { 0,     4096,       MIB - 4096,
					   MIB,   MIB + 4096, BLOCK - 4096,
					   BLOCK, 3 * GIB,    3 * GIB + MIB };
	static const uint64_t sizes[] = { 4096,    64 * KIB, MIB,      MIB + 4096, BLOCK,
					  3 * MIB, 4 * MIB,  64 * MIB, GIB + MIB };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(sizes); j++) {
			uint64_t at = starts[i], end = at + sizes[j], steps = 0, step;

			for (; at < end; at += step, steps++) {
				step = populate_step_bytes(at, end - at);
				assert_true(step > 0 && step <= end - at);
				assert_true((at + BLOCK - 1) / BLOCK * BLOCK + BLOCK > at + step);
				/* All but the last end where the folios of 1 MiB do. */
				assert_true(at + step == end || num_is_aligned(at + step, MIB));
			}
			assert_true(at == end);
			assert_true(steps <= sizes[j] / BLOCK + 2);
		}
	}
}

static void first_steps(void **state)
{
	(void)state;
	assert_true(populate_step_bytes(0, GIB) == MIB);
	assert_true(populate_step_bytes(MIB, GIB) == BLOCK);
	assert_true(populate_step_bytes(3 * MIB, MIB) == MIB);
	assert_true(populate_step_bytes(0, BLOCK) == MIB);
	assert_true(populate_step_bytes(UINT64_MAX - MIB + 1, MIB) == MIB); /* no wrap */
}

/* ---- What is left ---- */

/* Mappings within the memory, and the flags of the last one. */
static unsigned int mappings(const struct ram *ram, char flags[256])
{
	unsigned long long first, end;
	unsigned int count = 0;
	FILE *smaps = fopen("/proc/self/smaps", "re");
	bool inside = false;
	char line[1024];

	assert_non_null(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%llx-%llx ", &first, &end) == 2) {
			inside = first < (uintptr_t)ram->host + ram->bytes &&
				 end > (uintptr_t)ram->host;
			count += inside;
		} else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
			snprintf(flags, 256, "%.255s", line + 8);
		} else if (inside && strncmp(line, "AnonHugePages:", 14) == 0) {
			assert_non_null(strstr(line, " 0 kB"));
		}
	}
	fclose(smaps);
	return count;
}

static void populate(uint64_t bytes, unsigned int threads)
{
	struct error error = { 0 };
	char flags[256] = "";
	unsigned char *there;
	struct ram ram;

	if (ram_init(&ram, bytes, BACKING_4K, &error))
		fail_msg("%s", error.text);
	assert_int_equal(mappings(&ram, flags), 1);
	ram.folio_bytes = 64 * KIB; /* whether or not this host makes any */
	ram_lock(&ram);
	if (prefault_host(&ram, threads, NULL, &error))
		fail_msg("%s", error.text);
	/* Threads of which none found the others' pages would leave one each. */
	assert_int_equal(mappings(&ram, flags), 1);
	if (backing_probe_folios(NULL, &folio_bytes) != BACKING_FOLIOS_MISSING)
		assert_non_null(strstr(flags, " nh"));
	assert_null(strstr(flags, " hg"));
	ram_settle(&ram);
	assert_true(ram.folio_bytes == 0);
	assert_int_equal(mappings(&ram, flags), 1);
	there = calloc(1, bytes / 4096);
	assert_non_null(there);
	assert_int_equal(mincore(ram.host, bytes, there), 0);
	for (uint64_t page = 0; page < bytes / 4096; page++)
		assert_int_equal(there[page] & 1, 1);
	free(there);
	ram_fini(&ram);
}

static void one_mapping_is_left(void **state)
{
	(void)state;
	populate(2 * MIB, 1);
	populate(6 * MIB, 1);
	populate(34 * MIB, 1);
	populate(34 * MIB, 2);
	populate(130 * MIB, 7);
}

/* A failure in a step is reported as any other, and the step is ended. */
static void failure(void **state)
{
	struct error error = { 0 };
	char flags[256] = "";
	struct ram ram;

	(void)state;
	if (ram_init(&ram, 32 * MIB, BACKING_4K, &error))
		fail_msg("%s", error.text);
	ram.folio_bytes = 64 * KIB;
	munmap(ram.host + 20 * MIB, 2 * MIB);
	assert_int_equal(prefault_host(&ram, 1, NULL, &error), -ENOMEM);
	assert_non_null(strstr(error.text, "32 MiB (4k)"));
	assert_int_equal(mappings(&ram, flags), 2);
	assert_null(strstr(flags, " hg"));
	ram_fini(&ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(switches, make_root, remove_root),
		cmocka_unit_test_setup_teardown(strange_switches, make_root, remove_root),
		cmocka_unit_test(this_host),
		cmocka_unit_test(no_block_in_a_step),
		cmocka_unit_test(first_steps),
		cmocka_unit_test(one_mapping_is_left),
		cmocka_unit_test(failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
