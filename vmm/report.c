/* SPDX-License-Identifier: Apache-2.0 */
/* report: the statistics of a VM as a table for people and as JSON (docs/stats.md). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "vmm/causes.h"
#include "vmm/exit_codes.h"
#include "vmm/vm.h"

#define SCHEMA 1

/* KVM's counters of exits by reason, under the names of the report. */
static const struct {
	const char *name;
	enum vcpu_stat stat;
} exit_kinds[] = {
	{ "io", VCPU_STAT_IO_EXITS },
	{ "mmio", VCPU_STAT_MMIO_EXITS },
	{ "halt", VCPU_STAT_HALT_EXITS },
	{ "irq", VCPU_STAT_IRQ_EXITS },
	{ "irq_window", VCPU_STAT_IRQ_WINDOW_EXITS },
	{ "nmi_window", VCPU_STAT_NMI_WINDOW_EXITS },
	{ "request_irq", VCPU_STAT_REQUEST_IRQ_EXITS },
	{ "signal", VCPU_STAT_SIGNAL_EXITS },
	{ "hypercall", VCPU_STAT_HYPERCALLS },
};

static const enum vcpu_stat fault_kinds[] = {
	VCPU_STAT_PF_TAKEN,        VCPU_STAT_PF_FIXED,
	VCPU_STAT_PF_FAST,         VCPU_STAT_PF_SPURIOUS,
	VCPU_STAT_PF_EMULATE,      VCPU_STAT_PF_MMIO_SPTE_CREATED,
	VCPU_STAT_PF_AROUND,       VCPU_STAT_STAGE2_MMIO,
	VCPU_STAT_STAGE2_FAULT_NS, VCPU_STAT_VIOLATIONS_AFTER_PREFAULT,
};

/* Everything the report needs, read at one time. */
struct snapshot {
	enum stet_end end;
	struct vm_sample now;
	bool has_pages;
	bool has_codes; /* exits by hardware code, with stet's patches */
	bool has_causes;
	uint64_t codes[STATS_BUCKETS];
	uint64_t causes[STATS_BUCKETS];
	uint32_t phase_count, mark_count;
	uint64_t marks_lost;
	struct vm_phase phases[VM_PHASES_MAX];
	struct vm_mark marks[VM_MARKS_MAX];
};

static void take_histograms(const struct stet_vm *vm, struct snapshot *s)
{
	for (uint32_t id = 0; id < vm->vcpu_count; id++) {
		uint64_t codes[STATS_BUCKETS];

		if (stats_read_histogram(&vm->vcpu_stats, vm->vcpus[id].stats_fd, codes))
			return;
		for (uint32_t i = 0; i < STATS_BUCKETS; i++)
			s->codes[i] += codes[i];
	}
	s->has_codes = true;
	s->has_causes = !stats_read_histogram(&vm->vm_stats, vm->vm_stats_fd, s->causes);
	for (uint32_t i = 0; i < STATS_BUCKETS; i++)
		s->causes[i] -= s->has_causes ? vm->cause_base[i] : 0;
}

static void take(struct stet_vm *vm, struct snapshot *s)
{
	memset(s, 0, sizeof(*s));
	vm_sample_now(vm, &s->now);
	s->end = (enum stet_end)atomic_load(&vm->end);
	s->has_pages = stats_has(&vm->vm_stats, VM_STAT_PAGES_4K);
	take_histograms(vm, s);
	pthread_mutex_lock(&vm->lock);
	s->phase_count = vm->phase_count;
	memcpy(s->phases, vm->phases, sizeof(s->phases));
	s->mark_count = vm->mark_count;
	s->marks_lost = vm->marks_lost;
	memcpy(s->marks, vm->marks, sizeof(s->marks));
	pthread_mutex_unlock(&vm->lock);
}

static uint64_t since_exec(const struct stet_vm *vm, uint64_t ns)
{
	return ns > vm->start_ns ? ns - vm->start_ns : 0;
}

static uint64_t user_exits(const struct stet_vm *vm, uint32_t reason)
{
	uint64_t sum = 0;

	for (uint32_t id = 0; id < vm->vcpu_count; id++)
		sum += atomic_load_explicit(&vm->vcpus[id].exits[reason], memory_order_relaxed);
	return sum;
}

/* ---- JSON ---- */

static void json_stat(struct text *text, const struct stet_vm *vm, const char *name,
		      const uint64_t *values, enum vcpu_stat stat)
{
	if (stats_has(&vm->vcpu_stats, stat))
		json_u64(text, name, values[stat]);
	else
		json_null(text, name);
}

static void json_exits(struct text *text, const struct stet_vm *vm, const struct snapshot *s)
{
	json_begin_object(text, "exits");
	json_stat(text, vm, "total", s->now.vcpu, VCPU_STAT_EXITS);
	json_u64(text, "to_user", s->now.exits_to_user);
	json_begin_object(text, "by_reason");
	for (uint32_t i = 0; s->has_codes && i < STATS_BUCKETS; i++) {
		char name[24];

		if (s->codes[i])
			json_u64(text, exit_code_name(vm->intel, i, name, sizeof(name)),
				 s->codes[i]);
	}
	for (size_t i = 0; !s->has_codes && i < ARRAY_SIZE(exit_kinds); i++)
		json_stat(text, vm, exit_kinds[i].name, s->now.vcpu, exit_kinds[i].stat);
	json_end_object(text);
	json_begin_object(text, "to_user_by_reason");
	for (uint32_t i = 0; i < EXIT_REASONS; i++)
		if (exit_reason_name(i) && user_exits(vm, i))
			json_u64(text, exit_reason_name(i), user_exits(vm, i));
	json_end_object(text);
	json_end_object(text);
}

static void json_bus(struct text *text, const struct bus *bus)
{
	for (uint32_t i = 0; i < bus->range_count; i++) {
		const struct bus_range *range = &bus->ranges[i];

		json_begin_object(text, NULL);
		json_string(text, "name", range->device->ops->name);
		json_string(text, "space", bus->name);
		json_u64(text, "base", range->base);
		json_u64(text, "reads", atomic_load_explicit(&range->reads, memory_order_relaxed));
		json_u64(text, "writes",
			 atomic_load_explicit(&range->writes, memory_order_relaxed));
		json_u64(text, "deferred",
			 atomic_load_explicit(&range->deferred, memory_order_relaxed));
		json_end_object(text);
	}
}

static void json_unclaimed(struct text *text, const struct bus *bus)
{
	json_begin_object(text, bus->name);
	json_u64(text, "reads", atomic_load_explicit(&bus->unclaimed_reads, memory_order_relaxed));
	json_u64(text, "writes",
		 atomic_load_explicit(&bus->unclaimed_writes, memory_order_relaxed));
	json_end_object(text);
}

static void json_vm_stat(struct text *text, const struct stet_vm *vm, const char *name,
			 const struct snapshot *s, enum vm_stat stat)
{
	if (stats_has(&vm->vm_stats, stat))
		json_u64(text, name, s->now.vm[stat]);
	else
		json_null(text, name);
}

static void json_prefault(struct text *text, const struct stet_vm *vm, const struct snapshot *s)
{
	const struct vm_prefault *prefault = &vm->prefault;

	json_begin_object(text, "prefault");
	json_bool(text, "requested", prefault->wanted);
	json_bool(text, "populated", prefault->populated);
	json_bool(text, "mapped", prefault->mapped);
	json_u64(text, "device_pages", prefault->windows);
	json_bool(text, "by_vm", prefault->by_vm);
	json_vm_stat(text, vm, "mapped_4k", s, VM_STAT_PREFAULT_4K);
	json_vm_stat(text, vm, "mapped_2m", s, VM_STAT_PREFAULT_2M);
	json_vm_stat(text, vm, "mapped_1g", s, VM_STAT_PREFAULT_1G);
	json_string(text, "error", prefault->code ? error_name(prefault->code) : NULL);
	json_bool(text, "memory_locked", vm->ram.locked);
	json_bool(text, "numa_balancing_off", vm->ram.numa_pinned);
	json_bool(text, "slot_zap_all_off", vm->zap_all_off);
	json_bool(text, "nx_huge_pages_off", vm->nx_huge_pages_off);
	json_end_object(text);
}

static void json_causes(struct text *text, const struct snapshot *s)
{
	if (!s->has_causes) {
		json_null(text, "by_cause");
		return;
	}
	json_begin_array(text, "by_cause");
	for (uint32_t i = 0; i < STATS_BUCKETS; i++) {
		unsigned int who = cause_who_of(i), event = cause_event_of(i);

		if (!s->causes[i])
			continue;
		json_begin_object(text, NULL);
		json_string(text, "who", cause_who(who));
		json_string(text, "event", cause_event(event));
		json_u64(text, "count", s->causes[i]);
		json_string(text, "remedy", cause_remedy(who, event));
		json_end_object(text);
	}
	json_end_array(text);
}

static void json_notifier(struct text *text, const struct stet_vm *vm, const struct snapshot *s)
{
	bool visible = vm_sees_invalidations(vm);

	json_begin_object(text, "notifier");
	json_bool(text, "visible", visible);
	json_string(text, "why_not", visible ? NULL : vm->notifier.why);
	json_vm_stat(text, vm, "total", s, VM_STAT_MN_INVALIDATE);
	if (visible)
		json_u64(text, "relevant", s->now.notifier_hits);
	else
		json_null(text, "relevant");
	json_vm_stat(text, vm, "spurious", s, VM_STAT_MN_SPURIOUS);
	json_vm_stat(text, vm, "ns", s, VM_STAT_MN_HIT_NS);
	json_causes(text, s);
	json_end_object(text);
}

static void json_marks(struct text *text, const struct stet_vm *vm, const struct snapshot *s)
{
	json_begin_array(text, "marks");
	for (uint32_t i = 0; i < s->mark_count; i++) {
		const struct vm_sample *sample = &s->marks[i].sample;

		json_begin_object(text, NULL);
		json_u64(text, "value", s->marks[i].value);
		json_u64(text, "ns_since_exec", since_exec(vm, sample->ns));
		json_stat(text, vm, "stage2_faults", sample->vcpu, vm_fault_stat(vm));
		json_stat(text, vm, "exits", sample->vcpu, VCPU_STAT_EXITS);
		json_u64(text, "exits_to_user", sample->exits_to_user);
		if (vm_sees_invalidations(vm))
			json_u64(text, "notifier_relevant", sample->notifier_hits);
		else
			json_null(text, "notifier_relevant");
		json_end_object(text);
	}
	json_end_array(text);
	json_u64(text, "marks_lost", s->marks_lost);
}

static void json_phases(struct text *text, const struct stet_vm *vm, const struct snapshot *s)
{
	json_begin_array(text, "phases");
	for (uint32_t i = 0; i <= s->phase_count; i++) {
		bool end = i == s->phase_count;

		if (end && s->end == STET_END_NONE)
			break;
		json_begin_object(text, NULL);
		json_string(text, "name", end ? "end" : s->phases[i].name);
		json_u64(text, "ns_since_exec", since_exec(vm, end ? s->now.ns : s->phases[i].ns));
		json_end_object(text);
	}
	json_end_array(text);
}

void report_json(struct stet_vm *vm, struct text *text)
{
	struct snapshot s;

	take(vm, &s);
	json_begin_object(text, NULL);
	json_u64(text, "schema", SCHEMA);
	json_string(text, "version", STET_VERSION);
	json_string(text, "exit_reason", stet_end_name(s.end));
	json_string(text, "backing", backing_name(vm->ram.backing));
	json_u64(text, "memory_bytes", vm->ram.bytes);
	json_u64(text, "vcpus", vm->vcpu_count);
	json_string(text, "kernel_format", vm->image.format);
	json_stat(text, vm, "stage2_faults", s.now.vcpu, vm_fault_stat(vm));
	json_begin_object(text, "pages");
	json_u64(text, "4k", s.now.vm[VM_STAT_PAGES_4K]);
	json_u64(text, "2m", s.now.vm[VM_STAT_PAGES_2M]);
	json_u64(text, "1g", s.now.vm[VM_STAT_PAGES_1G]);
	json_end_object(text);
	json_begin_object(text, "faults");
	for (size_t i = 0; i < ARRAY_SIZE(fault_kinds); i++)
		json_stat(text, vm, vcpu_stat_name(fault_kinds[i]), s.now.vcpu, fault_kinds[i]);
	json_end_object(text);
	json_exits(text, vm, &s);
	json_begin_array(text, "devices");
	json_bus(text, &vm->plug.pio);
	json_bus(text, &vm->plug.mmio);
	json_end_array(text);
	report_virtio_json(&vm->plug, text);
	json_begin_object(text, "unclaimed");
	json_unclaimed(text, &vm->plug.pio);
	json_unclaimed(text, &vm->plug.mmio);
	json_end_object(text);
	json_prefault(text, vm, &s);
	json_notifier(text, vm, &s);
	json_phases(text, vm, &s);
	json_marks(text, vm, &s);
	json_end_object(text);
	text_printf(text, "\n");
}

/* ---- The table ---- */

static void row(struct text *text, const char *name, uint64_t value)
{
	text_printf(text, "  %-28s %12" PRIu64 "\n", name, value);
}

static void table_head(struct text *text, const struct stet_vm *vm, const struct snapshot *s)
{
	static const char *const said[] = {
		[STET_END_NONE] = "is running",         [STET_END_POWEROFF] = "powered off",
		[STET_END_RESET] = "asked for a reset", [STET_END_CRASH] = "crashed",
		[STET_END_PANIC] = "panicked",          [STET_END_STOPPED] = "was stopped",
		[STET_END_ERROR] = "could not go on",
	};
	uint64_t ns = since_exec(vm, s->now.ns);

	text_printf(text,
		    "guest %s after %" PRIu64 ".%03u s (%s, %u vCPU%s, %" PRIu64 " MiB on %s%s)\n",
		    said[s->end], ns / NS_PER_SEC, (unsigned int)(ns % NS_PER_SEC / 1000000),
		    vm->image.format, vm->vcpu_count, vm->vcpu_count == 1 ? "" : "s",
		    vm->ram.bytes / MIB, backing_name(vm->ram.backing),
		    vm->ram.locked ? ", locked" : "");
}

static void table_faults(struct text *text, const struct stet_vm *vm, const struct snapshot *s)
{
	if (stats_has(&vm->vcpu_stats, vm_fault_stat(vm)))
		row(text, "stage-2 faults", s->now.vcpu[vm_fault_stat(vm)]);
	else
		text_printf(text, "  stage-2 faults               not visible (the kernel has no "
				  "binary statistics)\n");
	if (vm_sees_invalidations(vm))
		row(text, "invalidations of RAM", s->now.notifier_hits);
	else
		text_printf(text, "  invalidations of RAM         not visible: %s\n",
			    vm->notifier.why);
	for (uint32_t i = 0; s->has_causes && i < STATS_BUCKETS; i++)
		if (s->causes[i])
			text_printf(text, "    by %-12s %-10s %12" PRIu64 "  -> %s\n",
				    cause_who(cause_who_of(i)), cause_event(cause_event_of(i)),
				    s->causes[i], cause_remedy(cause_who_of(i), cause_event_of(i)));
	if (s->has_pages)
		text_printf(text,
			    "  stage-2 pages now            %12" PRIu64 " of 4K, %" PRIu64
			    " of 2M, %" PRIu64 " of 1G\n",
			    s->now.vm[VM_STAT_PAGES_4K], s->now.vm[VM_STAT_PAGES_2M],
			    s->now.vm[VM_STAT_PAGES_1G]);
	text_printf(text, "  prefault                     %s\n",
		    !vm->prefault.wanted  ? "off"
		    : vm->prefault.mapped ? "all of RAM, and the device pages"
					  : "not possible on this host (see 'stet info')");
}

static void table_exits(struct text *text, const struct stet_vm *vm, const struct snapshot *s)
{
	row(text, "exits", s->now.vcpu[VCPU_STAT_EXITS]);
	for (uint32_t i = 0; s->has_codes && i < STATS_BUCKETS; i++) {
		char name[40], code[24];

		if (!s->codes[i])
			continue;
		snprintf(name, sizeof(name), "  %s",
			 exit_code_name(vm->intel, i, code, sizeof(code)));
		row(text, name, s->codes[i]);
	}
	for (size_t i = 0; !s->has_codes && i < ARRAY_SIZE(exit_kinds); i++) {
		char name[40];

		if (!s->now.vcpu[exit_kinds[i].stat])
			continue;
		snprintf(name, sizeof(name), "  %s", exit_kinds[i].name);
		row(text, name, s->now.vcpu[exit_kinds[i].stat]);
	}
	row(text, "exits to user space", s->now.exits_to_user);
	for (int b = 0; b < 2; b++) {
		const struct bus *bus = b ? &vm->plug.mmio : &vm->plug.pio;
		uint64_t unclaimed = bus->unclaimed_reads + bus->unclaimed_writes;

		for (uint32_t i = 0; i < bus->range_count; i++) {
			uint64_t count = bus->ranges[i].reads + bus->ranges[i].writes;
			char name[40];

			if (!count)
				continue;
			snprintf(name, sizeof(name), "  %s %s", bus->name,
				 bus->ranges[i].device->ops->name);
			row(text, name, count);
		}
		if (unclaimed)
			row(text, b ? "  mmio unclaimed" : "  pio unclaimed", unclaimed);
	}
	report_virtio_rows(&vm->plug, text, row);
}

static void table_moment(struct text *text, const struct stet_vm *vm, const char *name, uint64_t ns,
			 uint64_t *before, const struct vm_sample *sample)
{
	uint64_t at = since_exec(vm, ns), took = at > *before ? at - *before : 0;

	text_printf(text, "  %-20s %10.3f %10.3f", name, (double)at / 1e6, (double)took / 1e6);
	if (sample)
		text_printf(text, " %8" PRIu64 " %10" PRIu64 " %10" PRIu64,
			    sample->vcpu[vm_fault_stat(vm)], sample->vcpu[VCPU_STAT_EXITS],
			    sample->exits_to_user);
	text_printf(text, "\n");
	*before = at;
}

static void table_moments(struct text *text, const struct stet_vm *vm, const struct snapshot *s)
{
	uint64_t before = 0;

	text_printf(text, "  %-20s %10s %10s %8s %10s %10s\n", "moment", "at ms", "took ms",
		    "faults", "exits", "to user");
	for (uint32_t i = 0; i < s->phase_count; i++)
		table_moment(text, vm, s->phases[i].name, s->phases[i].ns, &before, NULL);
	for (uint32_t i = 0; i < s->mark_count; i++) {
		char name[24];

		snprintf(name, sizeof(name), "mark %u", s->marks[i].value);
		table_moment(text, vm, name, s->marks[i].sample.ns, &before, &s->marks[i].sample);
	}
	if (s->marks_lost)
		text_printf(text, "  (%" PRIu64 " more marks)\n", s->marks_lost);
	table_moment(text, vm, s->end == STET_END_NONE ? "now" : "end", s->now.ns, &before,
		     &s->now);
}

void report_table(struct stet_vm *vm, struct text *text)
{
	struct snapshot s;

	take(vm, &s);
	table_head(text, vm, &s);
	table_faults(text, vm, &s);
	table_exits(text, vm, &s);
	table_moments(text, vm, &s);
}
