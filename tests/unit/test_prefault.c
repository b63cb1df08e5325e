/* SPDX-License-Identifier: Apache-2.0 */
/* test_prefault: memory that is really populated, and stage-2 pieces that cover every byte once. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/num.h"
#include "mem/prefault.h"

#define PAGE_BYTES   4096
#define BIG_BYTES    (3 * GIB + 256 * MIB) /* two ranges */
#define PAGE_PRESENT (UINT64_C(1) << 63)

static void init(struct ram *ram, uint64_t bytes, enum backing backing)
{
	struct error error = { 0 };

	if (ram_init(ram, bytes, backing, &error))
		fail_msg("%s", error.text);
}

/* Whether the host would believe in a mapping of that size; big ones are not populated here. */
static bool is_mappable(uint64_t bytes)
{
	struct backing_host host;

	backing_probe_host(&host);
	return bytes + 256 * MIB < host.memory_total_bytes;
}

/* Pages present in our own page tables. */
static uint64_t present_pages(const struct ram *ram)
{
	uint64_t pages = ram->bytes / PAGE_BYTES, present = 0, i;
	uint64_t *entries = malloc(pages * sizeof(*entries));
	off_t at = (off_t)((uintptr_t)ram->host / PAGE_BYTES * sizeof(*entries));
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	assert_non_null(entries);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, entries, pages * sizeof(*entries), at),
			 pages * sizeof(*entries));
	for (i = 0; i < pages; i++)
		present += (entries[i] & PAGE_PRESENT) != 0;
	close(fd);
	free(entries);
	return present;
}

static long minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/* Without the sanitizers' shadow memory, which has faults of its own. */
__attribute__((no_sanitize("address", "thread", "undefined"))) static void
write_to_every_page(volatile uint8_t *at, uint64_t bytes)
{
	volatile uint8_t *end = at + bytes;

	for (; at < end; at += PAGE_BYTES)
		*at = 1;
}

/* Populated for write: writing to every page afterwards takes no fault. */
static void populate(uint64_t bytes, enum backing backing, unsigned int threads)
{
	struct error error = { 0 };
	struct ram ram;
	long before;

	init(&ram, bytes, backing);
	assert_true(present_pages(&ram) == 0);
	if (prefault_host(&ram, threads, NULL, &error))
		fail_msg("%s", error.text);
	assert_true(present_pages(&ram) == bytes / PAGE_BYTES);
	before = minor_faults();
	write_to_every_page(ram.host, bytes);
	/* One or two may be the test's own: a page of code, or of the stack. */
	assert_in_range(minor_faults() - before, 0, 8);
	ram_fini(&ram);
}

static void populate_small_pages(void **state)
{
	(void)state;
	populate(2 * MIB, BACKING_4K, 0);
	populate(34 * MIB, BACKING_4K, 0);
	populate(34 * MIB, BACKING_4K, 1);
	populate(34 * MIB, BACKING_4K, 3);
	populate(6 * MIB, BACKING_4K, 1000);
	populate(130 * MIB, BACKING_4K, 2);
}

static void populate_thp(void **state)
{
	struct backing_host host;

	(void)state;
	backing_probe_host(&host);
	if (!host.thp)
		skip();
	populate(34 * MIB, BACKING_THP, 0);
	populate(34 * MIB, BACKING_THP, 4);
}

static void populate_hugetlb(void **state)
{
	struct backing_host host;

	(void)state;
	backing_probe_host(&host);
	if (host.hugetlb_2m_free < 8)
		skip();
	populate(16 * MIB, BACKING_HUGETLB_2M, 0);
	populate(16 * MIB, BACKING_HUGETLB_2M, 3);
}

/* A hole in the mapping: the failure has a code and a sentence, whoever finds it. */
static void populate_fails(void **state)
{
	struct error error = { 0 };
	struct ram ram;
	unsigned int threads;

	(void)state;
	for (threads = 1; threads < 4; threads++) {
		init(&ram, 32 * MIB, BACKING_4K);
		munmap(ram.host + 20 * MIB, 2 * MIB);
		assert_int_equal(prefault_host(&ram, threads, NULL, &error), -ENOMEM);
		assert_int_equal(error.code, ENOMEM);
		assert_non_null(strstr(error.text, "32 MiB (4k)"));
		ram_fini(&ram);
	}
}

/* ---- Stage 2, with a callback that only takes notes ---- */

#define WORKERS_MAX 64
struct notes {
	const struct ram *ram;
	_Atomic uint8_t *seen; /* one for each 2 MiB of RAM */
	_Atomic uint64_t calls;
	_Atomic bool busy[WORKERS_MAX];
	unsigned int workers;
	uint64_t fail_gpa; /* the piece with it fails */
	int fail_rc;
	_Atomic bool wrong;
	_Atomic bool signal_open; /* a thread of ours can be interrupted */
	pthread_t caller;
};

static int note(void *opaque, unsigned int worker, uint64_t gpa, uint64_t bytes)
{
	struct notes *notes = opaque;
	uint8_t *host = ram_ptr(notes->ram, gpa, bytes);
	sigset_t blocked;
	uint64_t at;

	atomic_fetch_add(&notes->calls, 1);
	/* Inside one range, whole huge pages, and a worker number used by one thread at a time. */
	if (!host || !num_is_aligned(gpa | bytes, 2 * MIB) || worker >= notes->workers ||
	    atomic_exchange(&notes->busy[worker], true)) {
		notes->wrong = true;
		return -EINVAL;
	}
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	if (pthread_equal(pthread_self(), notes->caller) != (worker == 0))
		notes->wrong = true;
	if (worker && !sigismember(&blocked, SIGALRM))
		notes->signal_open = true;
	for (at = 0; at < bytes; at += 2 * MIB)
		atomic_fetch_add(
			&notes->seen[((uint64_t)(host - notes->ram->host) + at) / (2 * MIB)], 1);
	if (worker)
		usleep(100); /* so that pieces are shared out even on one CPU */
	atomic_store(&notes->busy[worker], false);
	return notes->fail_rc && num_within(notes->fail_gpa - gpa, 1, bytes) ? notes->fail_rc : 0;
}

static int map_all(struct notes *notes, const struct ram *ram, unsigned int workers,
		   const struct prefault_progress *progress)
{
	memset(notes->busy, 0, sizeof(notes->busy));
	notes->ram = ram;
	notes->workers = workers ? workers : 1;
	notes->caller = pthread_self();
	notes->calls = 0;
	notes->wrong = false;
	notes->seen = calloc(ram->bytes / (2 * MIB), 1);
	assert_non_null(notes->seen);
	return prefault_stage2(ram, workers, note, notes, progress);
}

static void every_byte_once(void **state)
{
	static const uint64_t sizes[] = { 2 * MIB,  6 * MIB,           64 * MIB,
					  66 * MIB, 254 * MIB,         3 * GIB - 2 * MIB,
					  3 * GIB,  3 * GIB + 2 * MIB, 5 * GIB + 6 * MIB };
	static const unsigned int workers[] = { 0, 1, 2, 3, 4, 7, 32, 64 };
	struct notes notes = { 0 };
	struct ram ram;
	unsigned int s, w;
	uint64_t i;

	(void)state;
	for (s = 0; s < ARRAY_SIZE(sizes) && is_mappable(sizes[s]); s++) {
		init(&ram, sizes[s], BACKING_4K);
		for (w = 0; w < ARRAY_SIZE(workers); w++) {
			assert_int_equal(map_all(&notes, &ram, workers[w], NULL), 0);
			assert_false(notes.wrong);
			assert_false(notes.signal_open);
			for (i = 0; i < sizes[s] / (2 * MIB); i++)
				assert_int_equal(notes.seen[i], 1);
			free((void *)notes.seen);
		}
		ram_fini(&ram);
	}
}

/* Huge pages are one thread's work, one call for each range. */
static void huge_pages_at_once(void **state)
{
	struct notes notes = { 0 };
	struct ram ram;

	(void)state;
	if (!is_mappable(BIG_BYTES))
		skip();
	init(&ram, BIG_BYTES, BACKING_4K);
	ram.backing = BACKING_THP; /* as far as this function can see; no page is touched */
	assert_int_equal(map_all(&notes, &ram, 4, NULL), 0);
	assert_int_equal(notes.calls, 2);
	assert_false(notes.wrong);
	free((void *)notes.seen);
	ram_fini(&ram);
}

static void first_error_stops(void **state)
{
	static const uint64_t places[] = { 0, 200 * MIB, LAYOUT_HIGH_RAM_BASE + 100 * MIB };
	static const unsigned int pieces_before[] = { 0, 3, 49 };
	struct notes notes = { 0 };
	unsigned int i, workers;
	struct ram ram;

	(void)state;
	if (!is_mappable(BIG_BYTES))
		skip();
	init(&ram, BIG_BYTES, BACKING_4K);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		for (workers = 1; workers < 4; workers++) {
			notes.fail_gpa = places[i];
			notes.fail_rc = -EHWPOISON;
			assert_int_equal(map_all(&notes, &ram, workers, NULL), -EHWPOISON);
			assert_true(notes.calls <= BIG_BYTES / (64 * MIB));
			/* One worker goes from the bottom up and no further than the failure. */
			if (workers == 1)
				assert_int_equal(notes.calls, pieces_before[i] + 1);
			free((void *)notes.seen);
		}
	}
	ram_fini(&ram);
}

struct steps {
	unsigned int count;
	uint64_t last_done, last_total;
	pthread_t thread;
	bool wrong;
};

static void step(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
	struct steps *steps = opaque;

	if (done_bytes < steps->last_done || done_bytes > total_bytes ||
	    !pthread_equal(steps->thread, pthread_self()))
		steps->wrong = true;
	steps->count++;
	steps->last_done = done_bytes;
	steps->last_total = total_bytes;
}

static void progress(void **state)
{
	struct steps steps = { .thread = pthread_self() };
	struct prefault_progress progress = { .step = step, .opaque = &steps };
	struct notes notes = { 0 };
	struct error error = { 0 };
	uint64_t start_ns, tenths;
	struct ram ram;

	(void)state;
	init(&ram, 66 * MIB, BACKING_4K);
	start_ns = clock_ns();
	assert_int_equal(prefault_host(&ram, 2, &progress, &error), 0);
	tenths = (clock_ns() - start_ns) / (NS_PER_SEC / 10);
	assert_in_range(steps.count, 1, tenths + 1);
	assert_true(steps.last_done == 66 * MIB && steps.last_total == 66 * MIB);
	assert_false(steps.wrong);

	memset(&steps, 0, sizeof(steps));
	steps.thread = pthread_self();
	assert_int_equal(map_all(&notes, &ram, 2, &progress), 0);
	assert_true(steps.count >= 1 && steps.last_done == 66 * MIB);
	assert_false(steps.wrong);
	free((void *)notes.seen);

	/* No news of an end that did not come. */
	memset(&steps, 0, sizeof(steps));
	steps.thread = pthread_self();
	notes.fail_rc = -EIO;
	assert_int_equal(map_all(&notes, &ram, 1, &progress), -EIO);
	assert_true(steps.last_done < 66 * MIB);
	free((void *)notes.seen);
	ram_fini(&ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(populate_small_pages), cmocka_unit_test(populate_thp),
		cmocka_unit_test(populate_hugetlb),     cmocka_unit_test(populate_fails),
		cmocka_unit_test(every_byte_once),      cmocka_unit_test(huge_pages_at_once),
		cmocka_unit_test(first_error_stops),    cmocka_unit_test(progress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
