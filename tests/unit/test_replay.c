/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stored raw records, each through today's decoder of its source, and what would be decided about them now. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "replay.h"
#include "source/trace_formats.h"
#include "source/trace_poison.h"
#include "world.h"

static struct replayed replayed;

static bool decode(const char *source, const char *kind, const void *raw, size_t bytes)
{
	struct store_event_row row = {.event = {.raw = raw, .raw_bytes = bytes}};

	strcpy(row.event.source, source);
	strcpy(row.event.kind, kind);
	return replay_decode(&row, &replayed);
}

static void expect(const char *outcome, const char *kind, bool is_fault)
{
	cr_assert_str_eq(replayed.outcome, outcome);
	cr_assert_str_eq(replayed.record.event.kind, kind);
	cr_assert_eq(replayed.record.has_fault, is_fault);
	replay_clear(&replayed);
}

/* As another kernel might lay it out: other order, another field, other widths. */
static const char other_format[] =
	"name: aer_event\nID: 901\nformat:\n"
	"\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
	"\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"
	"\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n"
	"\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
	"\tfield:u64 colour;\toffset:8;\tsize:8;\tsigned:0;\n"
	"\tfield:u32 severity;\toffset:16;\tsize:4;\tsigned:0;\n"
	"\tfield:u64 status;\toffset:24;\tsize:8;\tsigned:0;\n"
	"\tfield:__data_loc char[] dev_name;\toffset:32;\tsize:4;\tsigned:0;\n\n"
	"print fmt: \"%s\", __get_str(dev_name)\n";
static const char other_raw[] = "\x85\3\0\0\1\0\0\0"
				"\7\0\0\0\0\0\0\0"
				"\1\0\0\0\0\0\0\0"
				"\x20\0\0\0\0\0\0\0"
				"\x24\0\x0d\0"
				"0000:0c:00.0";

static struct store_event_row other_row(void)
{
	struct store_event_row row = {
		.event = {.source = "trace",
			  .kind = "aer_event",
			  .lease = "then",
			  .raw = other_raw,
			  .raw_bytes = sizeof(other_raw)},
		.format_system = "ras",
		.format_text = other_format,
	};

	return row;
}

/* Proves: a record of another kernel is decoded by the format that was stored with it; without it, or by nonsense, it is not. */
Test(replay, by_the_format_it_was_stored_with)
{
	struct store_event_row row = other_row();

	cr_assert(replay_decode(&row, &replayed));
	cr_assert_eq(replayed.record.fault.cause, ISO_CAUSE_SURPRISE_DOWN);
	cr_assert_eq(replayed.record.fault.address.bus, 0x0c);
	cr_assert_str_eq(replayed.record.event.unit, "0000:0c:00.0");
	cr_assert(strstr(replayed.record.event.fields, "\"colour\":7"), "%s",
		  replayed.record.event.fields);
	cr_assert_str_eq(replayed.record.event.lease, "", "whose it is shows now");
	cr_assert_not(replayed.record.event.synthetic);
	expect("decoded", "aer_event", true);

	row.event.raw_bytes = 20;
	cr_assert(replay_decode(&row, &replayed));
	expect("partial", "aer_event", false);
	row.event.raw_bytes = 1;
	cr_assert_not(replay_decode(&row, &replayed));
	expect("unreadable", "aer_event", false);
	row.format_text = "name: what\n";
	cr_assert_not(replay_decode(&row, &replayed));
	expect("unreadable-format", "aer_event", false);
	row.format_text = NULL;
	cr_assert_not(replay_decode(&row, &replayed));
	expect("no-format", "aer_event", false);
}

/* Proves: uevents go through the decoder of uevents. */
Test(replay, uevent)
{
	static const char raw[] =
		"remove@/devices/pci0000:0c/0000:0c:00.0/0000:0d:00.0/mem2\0ACTION=remove\0"
		"DEVPATH=/devices/pci0000:0c/0000:0c:00.0/0000:0d:00.0/mem2\0"
		"SUBSYSTEM=cxl\0DEVTYPE=cxl_memdev\0SEQNUM=1";

	cr_assert(decode("uevent", "remove", raw, sizeof(raw)));
	cr_assert_str_eq(replayed.record.event.unit, "mem2");
	cr_assert_eq(replayed.record.event.severity, STORE_ERROR);
	expect("decoded", "remove", true);
	cr_assert_not(decode("uevent", "remove", raw, 10));
	expect("unreadable", "remove", false);
}

/* Proves: lines of the kernel's log, of monitors and of dead kernels go through theirs, and what means something else now shows. */
Test(replay, lines)
{
	static const char link[] =
		"3,700,12345678,-;pcieport 0000:0c:00.0: pciehp: Slot(1): Link Down\n"
		" SUBSYSTEM=pci\n DEVICE=+pci:0000:0c:00.0\n";
	static const char failure[] =
		"{\"event\":\"MEMORY_FAILURE\",\"data\":{\"recipient\":\"hypervisor\","
		"\"action\":\"ignore\",\"flags\":{\"action-required\":false,"
		"\"recursive\":false}},\"timestamp\":{\"seconds\":1,\"microseconds\":2}}";
	static const char panic[] =
		"Panic#1 Part1\n<0>[   12.345680] Kernel panic - not syncing: Fatal exception\n";

	cr_assert(decode("kernel-log", "link-down", link, sizeof(link) - 1));
	expect("decoded", "link-down", true);
	cr_assert(decode("kernel-log", "warning", link, sizeof(link) - 1));
	cr_assert_str_eq(replayed.record.event.text, "link-down", "it is told");
	expect("decoded", "link-down", true);
	cr_assert_not(decode("kernel-log", "link-down", "x", 1));
	expect("unreadable", "link-down", false);
	cr_assert(decode("qmp", "memory-failure", failure, sizeof(failure) - 1));
	expect("decoded", "memory-failure", false);
	cr_assert_not(decode("qmp", "memory-failure", "}{", 2));
	expect("unreadable", "memory-failure", false);
	cr_assert(decode("last-boot", "panic", panic, sizeof(panic) - 1));
	expect("decoded", "panic", false);
	cr_assert_not(decode("last-boot", "panic", "all is well", 11));
	expect("unreadable", "panic", false);
}

/* Proves: readings have no raw record, and are tried as they are stored. */
Test(replay, readings)
{
	struct store_event_row row = {.event = {.source = "isolation",
						.kind = "isolated",
						.unit = "hb0/00.0",
						.fields = "{}"}};

	cr_assert(replay_decode(&row, &replayed));
	cr_assert_eq(replayed.record.fault.cause, ISO_CAUSE_ISOLATED);
	expect("no-raw", "isolated", true);
	cr_assert(decode("aer-counters", "correctable", NULL, 0));
	expect("no-raw", "correctable", false);
	cr_assert_not(decode("future", "kind", "raw", 3));
	expect("no-format", "kind", false);
}

static const struct store_event_row bad_line = {.event = {.source = "trace",
							  .kind = "cxl_dram",
							  .serial = 0x10,
							  .has_serial = true,
							  .has_dpa = true,
							  .bytes = 64,
							  .severity = STORE_ERROR,
							  .fields = "{}"}};

/* Proves: what a stored record would do now is what the same record does when it comes, and to whom. */
Test(replay, decides_as_the_engine_does)
{
	struct iso_rules *rules = iso_rules_init(aligned_alloc(64, iso_rules_bytes()));
	struct store_event_row row = bad_line;
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);
	struct iso_instance_view instance;
	struct inject_outcome outcome;

	iso_instance_get(w->engine, world_lease(w, "web").instances[0], &instance);
	row.event.dpa = instance.pieces[0].start.v - world_region(w, "low").range.start.v;
	cr_assert(replay_decode(&row, &replayed));
	cr_assert_eq(inject_try(w->engine, rules, &replayed.record, &outcome), 0);
	cr_assert_eq(outcome.n_victims, 1, "no address of the host's is needed");
	cr_assert_str_eq(outcome.victims[0], "web");
	inject_outcome_clear(&outcome);
	replay_clear(&replayed);
	cr_assert_eq(w->processes[vm].kills, 0);
	cr_assert_eq(iso_bad_count(w->engine), 0);

	row.event.dpa += WORLD_PART;
	cr_assert(replay_decode(&row, &replayed));
	cr_assert_eq(inject_try(w->engine, rules, &replayed.record, &outcome), 0);
	cr_assert_eq(outcome.n_victims, 0, "free memory");
	inject_outcome_clear(&outcome);
	replay_clear(&replayed);
	world_poison(w, 0, row.event.dpa - WORLD_PART, WORLD_TELLS_DPA);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->processes[vm].kills, 1);
	world_free(w);
	free(rules);
}

/* Proves: a lease that only wants to be told is told, and nobody dies, as of the live record. */
Test(replay, lease_that_wants_to_be_told)
{
	struct iso_rules *rules = iso_rules_init(aligned_alloc(64, iso_rules_bytes()));
	struct store_event_row row = bad_line;
	struct iso_acquire terms = {
		.name = "told",
		.n_parts = 1,
		.restart = true,
		.poison = ISO_POISON_NOTIFY,
		.parts = {{.region = "low", .bytes = WORLD_PART}},
	};
	struct world *w = world_pair();
	struct iso_instance_view instance;
	struct inject_outcome outcome;
	uint32_t vm, lines = 0;

	world_acquire_terms(w, &terms);
	world_run(w, WORLD_SECOND);
	vm = world_attach(w, "told");
	iso_instance_get(w->engine, world_lease(w, "told").instances[0], &instance);
	row.event.dpa = instance.pieces[0].start.v - world_region(w, "low").range.start.v;
	cr_assert(replay_decode(&row, &replayed));
	cr_assert_eq(inject_try(w->engine, rules, &replayed.record, &outcome), 0);
	cr_assert_eq(outcome.n_victims, 0);
	for (uint32_t i = 0; i < outcome.n_lines; i++)
		lines += !!strstr(outcome.lines[i], "told: its memory");
	cr_assert_eq(lines, 1);
	inject_outcome_clear(&outcome);
	replay_clear(&replayed);
	cr_assert_eq(world_count_notes(w, "told: its memory"), 0, "it was a trial");
	world_poison(w, 0, row.event.dpa, WORLD_TELLS_DPA);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->processes[vm].kills, 0);
	cr_assert_eq(world_count_notes(w, "told: its memory"), 1);
	world_free(w);
	free(rules);
}

/* Proves: a rule fires in a trial, and one that wants two records does not, however often one is tried: none is counted. */
Test(replay, rules_fire_and_count_nothing)
{
	struct iso_rule rule = {
		.name = "count",
		.kind = "cxl_dram",
		.window_ns = 1000 * WORLD_SECOND,
		.n_stages = 1,
		.stages = {{.action = ISO_ACTION_KILL}},
	};
	struct store_event_row row = {.event = {.source = "trace",
						.kind = "cxl_dram",
						.serial = 0x10,
						.has_serial = true,
						.severity = STORE_WARNING,
						.fields = "{}"}};
	size_t bytes = iso_rules_bytes();
	struct iso_rules *rules = iso_rules_init(aligned_alloc(64, bytes));
	void *before = malloc(bytes);
	struct world *w = world_pair();
	uint32_t vm = world_start_vm(w, "web", "low", WORLD_PART);
	struct inject_outcome outcome;

	for (uint32_t threshold = 1; threshold <= 2; threshold++) {
		rule.threshold = threshold;
		iso_rules_load(rules, &rule, 1);
		memcpy(before, rules, bytes);
		for (uint32_t i = 0; i < 3; i++) {
			cr_assert(replay_decode(&row, &replayed));
			cr_assert_eq(inject_try(w->engine, rules, &replayed.record, &outcome), 0);
			cr_assert_eq(outcome.n_victims, threshold == 1);
			inject_outcome_clear(&outcome);
			replay_clear(&replayed);
		}
		cr_assert_eq(memcmp(before, rules, bytes), 0, "nothing is counted");
	}
	row.count = 2;
	cr_assert(replay_decode(&row, &replayed));
	cr_assert_eq(inject_try(w->engine, rules, &replayed.record, &outcome), 0);
	cr_assert_eq(outcome.n_victims, 1, "a row stands for as many as it says");
	inject_outcome_clear(&outcome);
	replay_clear(&replayed);
	world_run(w, WORLD_SECOND);
	cr_assert_eq(w->processes[vm].kills, 0);
	world_free(w);
	free(before);
	free(rules);
}

/* ---- memory in several pieces ---- */

static const char poison_format[] =
	"name: cxl_poison\nID: 7\nformat:\n"
	"\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n"
	"\tfield:u64 serial;\toffset:8;\tsize:8;\tsigned:0;\n"
	"\tfield:u64 dpa;\toffset:16;\tsize:8;\tsigned:0;\n"
	"\tfield:u64 hpa;\toffset:24;\tsize:8;\tsigned:0;\n"
	"\tfield:u32 dpa_length;\toffset:32;\tsize:4;\tsigned:0;\n"
	"\tfield:u8 trace_type;\toffset:36;\tsize:1;\tsigned:0;\n\n"
	"print fmt: \"%llx\", REC->dpa\n";

struct raw_poison {
	uint64_t type, serial, dpa, hpa;
	uint32_t bytes, trace_type;
};

/* "web" stands in the first and in the last quarter of the region, "beside" between them. */
static struct world *world_in_pieces(void)
{
	struct world *w = world_pair();
	struct iso_instance_view instance;

	world_acquire(w, "before", "low", WORLD_PART);
	world_run(w, WORLD_SECOND);
	world_start_vm(w, "beside", "low", 2 * WORLD_PART);
	world_named(w, ISO_EVENT_RELEASE, "before");
	world_run(w, WORLD_SECOND);
	world_start_vm(w, "web", "low", 2 * WORLD_PART);
	iso_instance_get(w->engine, world_lease(w, "web").instances[0], &instance);
	cr_assert_eq(instance.n_pieces, 2);
	cr_assert_eq(instance.pieces[1].start.v - instance.pieces[0].start.v, 3 * WORLD_PART);
	return w;
}

/* As the trace ring's reader does, before anything is stored. */
static void take_live(struct world *w, const struct raw_poison *raw, uint64_t dpa)
{
	struct trace_formats *formats = calloc(1, sizeof(*formats));
	struct iso_event event = {.kind = ISO_EVENT_POISON};
	struct trace_record record;

	for (uint64_t at = dpa; at < dpa + raw->bytes; at += 64) /* why somebody is killed */
		w->lines[w->n_lines++] = (struct world_line){.dpa = at};
	cr_assert_eq(trace_formats_add(formats, "cxl", poison_format, strlen(poison_format)), 0);
	cr_assert_eq(trace_decode(formats, raw, sizeof(*raw), &record), TRACE_DECODED);
	record.at_ns = w->now_ns;
	cr_assert(trace_poison(&record, &event.poison));
	world_step(w, &event);
	free(formats);
}

static void expect_alike(uint64_t dpa, uint32_t bytes, bool by_hpa, const char *const victims[2])
{
	struct iso_rules *rules = iso_rules_init(aligned_alloc(64, iso_rules_bytes()));
	struct world *w = world_in_pieces();
	uint64_t hpa = world_region(w, "low").range.start.v + dpa;
	struct raw_poison raw = {.type = 7,
				 .serial = 0x10,
				 .dpa = by_hpa ? UINT64_MAX : dpa,
				 .hpa = by_hpa ? hpa : UINT64_MAX,
				 .bytes = bytes};
	struct store_event_row row = {
		.event = {.source = "trace", .raw = &raw, .raw_bytes = sizeof(raw)},
		.format_system = "cxl",
		.format_text = poison_format,
	};
	size_t before = strlen(w->trace);
	struct inject_outcome outcome;
	uint32_t n_lines = 0;

	cr_assert(replay_decode(&row, &replayed));
	cr_assert_eq(inject_try(w->engine, rules, &replayed.record, &outcome), 0);
	cr_assert_eq(strlen(w->trace), before, "it was a trial");
	take_live(w, &raw, dpa);
	for (const char *at = w->trace + before; (at = strchr(at, '\n')); at++)
		n_lines++;
	cr_assert_eq(outcome.n_lines, n_lines, "%s", w->trace + before);
	for (uint32_t i = 0; i < outcome.n_lines; i++)
		cr_assert(strstr(w->trace + before, outcome.lines[i]), "%s, not %s",
			  w->trace + before, outcome.lines[i]);
	cr_assert_eq(outcome.n_victims, 1 + !!victims[1]);
	for (uint32_t i = 0; i < outcome.n_victims; i++) {
		cr_assert_str_eq(outcome.victims[i], victims[i]);
		cr_assert_eq(world_lease(w, victims[i]).state, ISO_LEASE_KILLED);
	}
	cr_assert_str_empty(w->broken);
	inject_outcome_clear(&outcome);
	replay_clear(&replayed);
	world_free(w);
	free(rules);
}

/*
 * Proves: of a VM whose memory lies in several pieces the stored record of the ring names the victims, the range and
 * all else that the live one does: in a later piece, in the gap between two, over the end of one, and by either address.
 */
Test(replay, memory_in_several_pieces)
{
	expect_alike(3 * WORLD_PART + 4096, 64, false, (const char *[2]){"web"});
	expect_alike(3 * WORLD_PART + 4096, 64, true, (const char *[2]){"web"});
	expect_alike(WORLD_PART + 4096, 64, false, (const char *[2]){"beside"});
	expect_alike(3 * WORLD_PART - 64, 128, false, (const char *[2]){"web", "beside"});
}
