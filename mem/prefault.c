/* SPDX-License-Identifier: Apache-2.0 */
/* prefault: what is made ready, in which order, by which thread. */
#include "mem/prefault.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/num.h"
#include "mem/populate.h"

#define CREW_MAX           32
#define CPUS_MAX           8192
#define PIECE_BYTES        (64 * MIB) /* some 10 ms of zeroing: how exact progress and sharing are */
#define AUTO_THREADS_MAX   16
#define BYTES_PER_THREAD   (128 * MIB) /* of zeroing; below, a thread costs more than it brings */
#define BYTES_PER_MAPPER   (32 * MIB)  /* of 4K stage-2 mappings, likewise */
#define REPORT_INTERVAL_NS (NS_PER_SEC / 10)

/*
 * Threads that take pieces of RAM until none is left or one failed. Lives on the stack of the
 * calling thread, which is worker 0. Pieces lie inside one range each and have piece_bytes, the
 * last one of a range less.
 */
struct crew {
	const struct ram *ram;
	uint64_t piece_bytes;
	prefault_map_fn *map;
	void *opaque;

	const struct prefault_progress *progress; /* worker 0 only */
	uint64_t reported_ns;

	_Atomic uint64_t next_piece;
	_Atomic uint64_t done_bytes;
	_Atomic int rc; /* the first failure */
};

struct worker {
	struct crew *crew;
	unsigned int number;
	pthread_t thread;
};

static bool find_piece(const struct crew *crew, uint64_t index, uint64_t *gpa, uint64_t *bytes)
{
	uint32_t i;

	for (i = 0; i < crew->ram->range_count; i++) {
		const struct ram_range *range = &crew->ram->ranges[i];
		uint64_t pieces = (range->bytes - 1) / crew->piece_bytes + 1;
		uint64_t offset = index * crew->piece_bytes;

		if (index < pieces) {
			*gpa = range->gpa + offset;
			*bytes = num_min(crew->piece_bytes, range->bytes - offset);
			return true;
		}
		index -= pieces;
	}
	return false;
}

static void report(struct crew *crew)
{
	uint64_t now_ns = clock_ns();

	if (now_ns - crew->reported_ns < REPORT_INTERVAL_NS)
		return;
	crew->reported_ns = now_ns;
	crew->progress->step(crew->progress->opaque, atomic_load(&crew->done_bytes),
			     crew->ram->bytes);
}

static void work(struct crew *crew, unsigned int worker)
{
	uint64_t gpa, bytes;
	int rc, none = 0;

	while (!atomic_load(&crew->rc)) {
		if (!find_piece(crew, atomic_fetch_add(&crew->next_piece, 1), &gpa, &bytes))
			return;
		rc = crew->map(crew->opaque, worker, gpa, bytes);
		if (rc) {
			atomic_compare_exchange_strong(&crew->rc, &none, rc);
			return;
		}
		atomic_fetch_add(&crew->done_bytes, bytes);
		if (worker == 0 && crew->progress)
			report(crew);
	}
}

static void *worker_main(void *opaque)
{
	struct worker *worker = opaque;

	work(worker->crew, worker->number);
	return NULL;
}

/* Runs the crew with up to count workers; fewer where threads cannot be had, which is no error. */
static int crew_run(struct crew *crew, unsigned int count)
{
	struct worker workers[CREW_MAX];
	sigset_t all, before;
	unsigned int started, i;

	if (crew->progress)
		crew->reported_ns = clock_ns();
	if (crew->ram->folio_bytes)
		populate_prepare(crew->ram->host);
	if (count > 1) {
		/* Signals are for the threads of whoever embeds us. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
	}
	for (started = 1; started < count; started++) {
		workers[started] = (struct worker){ .crew = crew, .number = started };
		if (pthread_create(&workers[started].thread, NULL, worker_main, &workers[started]))
			break;
	}
	if (count > 1)
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	work(crew, 0);
	for (i = 1; i < started; i++)
		pthread_join(workers[i].thread, NULL);

	if (!atomic_load(&crew->rc) && crew->progress)
		crew->progress->step(crew->progress->opaque, atomic_load(&crew->done_bytes),
				     crew->ram->bytes);
	return atomic_load(&crew->rc);
}

static unsigned int usable_cpus(void)
{
	unsigned long mask[CPUS_MAX / (8 * sizeof(unsigned long))] = { 0 };
	cpu_set_t *set = (cpu_set_t *)mask;
	int count;

	if (sched_getaffinity(0, sizeof(mask), set))
		return 1;
	count = CPU_COUNT_S(sizeof(mask), set);
	return count > 1 ? (unsigned int)count : 1;
}

/* A few pieces for each worker, so that all of them end at about the same time. */
static uint64_t fair_piece_bytes(uint64_t bytes, unsigned int workers)
{
	uint64_t piece = num_align_down(bytes / (4 * (uint64_t)workers), LAYOUT_HUGE_PAGE_BYTES);

	return workers == 1 ? PIECE_BYTES
			    : num_min(num_max(piece, LAYOUT_HUGE_PAGE_BYTES), PIECE_BYTES);
}

/* A prefault_map_fn. */
static int populate(void *opaque, unsigned int worker, uint64_t gpa, uint64_t bytes)
{
	const struct ram *ram = opaque;
	void *host = ram_ptr(ram, gpa, bytes);

	(void)worker;
	return ram->folio_bytes ? populate_folios(host, bytes, ram->folio_bytes)
				: populate_pages(host, bytes);
}

static int populate_error(const struct ram *ram, int rc, struct error *error)
{
	const char *kind = backing_name(ram->backing);
	uint64_t mib = ram->bytes / MIB;

	switch (-rc) {
	case ENOMEM:
		return error_set(error, ENOMEM,
				 "the host ran out of memory while populating %" PRIu64
				 " MiB (%s): give the guest less, end other programs or raise the "
				 "cgroup's memory.max",
				 mib, kind);
	case EFAULT:
		return error_set(error, EFAULT,
				 "the host had no page while populating %" PRIu64
				 " MiB (%s): the huge-page pool of the nodes this process may use, "
				 "or the hugetlb limit of its cgroup, is short",
				 mib, kind);
	case EHWPOISON:
		return error_set(error, EHWPOISON,
				 "the host's memory has a broken page (hardware error) among the "
				 "%" PRIu64 " MiB (%s) it gave: see its kernel log, and try again",
				 mib, kind);
	case EINVAL:
		return error_set(error, EOPNOTSUPP,
				 "this kernel cannot populate memory ahead (MADV_POPULATE_WRITE, "
				 "Linux 5.14)");
	default:
		return error_set(error, -rc, "cannot populate %" PRIu64 " MiB (%s): %s", mib, kind,
				 error_name(-rc));
	}
}

static unsigned int populate_threads(uint64_t bytes, unsigned int wanted)
{
	uint64_t paying = num_min(bytes / BYTES_PER_THREAD, AUTO_THREADS_MAX);

	if (wanted)
		return (unsigned int)num_min(num_min(wanted, CREW_MAX),
					     num_max(1, bytes / LAYOUT_HUGE_PAGE_BYTES));
	return paying > 1 ? (unsigned int)num_min(paying, usable_cpus()) : 1;
}

int prefault_host(const struct ram *ram, unsigned int threads,
		  const struct prefault_progress *progress, struct error *error)
{
	unsigned int count = populate_threads(ram->bytes, threads);
	struct crew crew = {
		.ram = ram,
		.piece_bytes = fair_piece_bytes(ram->bytes, count),
		.map = populate,
		.opaque = (void *)ram,
		.progress = progress,
	};
	int rc;

	if (ram->backing == BACKING_HUGETLB_1G)
		crew.piece_bytes = GIB;
	rc = crew_run(&crew, count);
	return rc ? populate_error(ram, rc, error) : 0;
}

int prefault_stage2(const struct ram *ram, unsigned int workers, prefault_map_fn *map, void *opaque,
		    const struct prefault_progress *progress)
{
	struct crew crew = {
		.ram = ram,
		.piece_bytes = ram->bytes, /* each range whole */
		.map = map,
		.opaque = opaque,
		.progress = progress,
	};
	uint64_t useful = 1;

	if (ram->backing == BACKING_4K) {
		useful = num_min(num_min(workers, CREW_MAX), ram->bytes / BYTES_PER_MAPPER);
		if (useful > 1)
			useful = num_min(useful, usable_cpus());
		useful = num_max(useful, 1);
		crew.piece_bytes = fair_piece_bytes(ram->bytes, (unsigned int)useful);
	}
	return crew_run(&crew, (unsigned int)useful);
}
