/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an operator writes becomes what a source would have handed over. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inject.h"
#include "world.h"

static struct inject inject;
static char reason[INJECT_REASON_BYTES];

static int parse(const char *text)
{
	sd_json_variant *record = NULL;
	int r;

	cr_assert_geq(sd_json_parse(text, 0, &record, NULL, NULL), 0, "%s", text);
	reason[0] = '\0';
	r = inject_parse(record, &inject, reason);
	sd_json_variant_unref(record);
	return r;
}

static void refuses(const char *text, const char *words)
{
	cr_assert_eq(parse(text), -EINVAL, "%s", text);
	cr_assert(strstr(reason, words), "%s", reason);
}

/* Proves: a surprise down by hand is the fault that the decoder makes of the kernel's. */
Test(inject, surprise_down)
{
	cr_assert_eq(parse("{\"source\":\"trace\",\"kind\":\"aer_event\",\"fields\":"
			   "{\"dev_name\":\"0000:0c:00.0\",\"severity\":1,\"status\":\"0x20\"}}"),
		     0, "%s", reason);
	cr_assert(inject.has_fault);
	cr_assert_eq(inject.fault.cause, ISO_CAUSE_SURPRISE_DOWN);
	cr_assert_eq(inject.fault.address.bus, 0x0c);
	cr_assert_str_eq(inject.event.unit, "0000:0c:00.0");
	cr_assert_eq(inject.event.severity, STORE_FATAL);
	cr_assert(inject.event.synthetic);
	cr_assert(strstr(inject.event.fields, "0x20"));
	inject_clear(&inject);
	cr_assert_eq(parse("{\"source\":\"trace\",\"kind\":\"aer_event\",\"fields\":"
			   "{\"dev_name\":\"0000:0c:00.0\",\"severity\":2}}"),
		     0);
	cr_assert_not(inject.has_fault, "corrected");
	inject_clear(&inject);
}

/* Proves: pages and machine checks name the memory that they name in the ring, whatever is said of their severity. */
Test(inject, page_and_machine_check)
{
	cr_assert_eq(
		parse("{\"source\":\"trace\",\"kind\":\"memory_failure_event\",\"fields\":{\"pfn\":1376257}}"),
		0, "%s", reason);
	cr_assert(inject.event.has_hpa);
	cr_assert_eq(inject.event.hpa, 0x150001000);
	cr_assert_eq(inject.event.bytes, 4096);
	cr_assert_eq(inject.event.severity, STORE_ERROR);
	inject_clear(&inject);
	cr_assert_eq(
		parse("{\"source\":\"trace\",\"kind\":\"mce_record\",\"fields\":{"
		      "\"status\":\"0xbd80000000000134\",\"addr\":\"0x12345678\",\"misc\":\"0x8c\"}}"),
		0, "%s", reason);
	cr_assert(inject.event.has_hpa);
	cr_assert_eq(inject.event.hpa, 0x12345000);
	cr_assert_eq(inject.event.severity, STORE_ERROR);
	inject_clear(&inject);
	cr_assert_eq(
		parse("{\"source\":\"trace\",\"kind\":\"mce_record\",\"fields\":{"
		      "\"status\":\"0x9d80000000000134\",\"addr\":\"0x12345678\",\"misc\":\"0x8c\"}}"),
		0, "%s", reason);
	cr_assert_not(inject.event.has_hpa, "corrected");
	cr_assert_eq(inject.event.severity, STORE_INFO);
	inject_clear(&inject);
	cr_assert_eq(parse("{\"source\":\"trace\",\"kind\":\"cxl_general_media\",\"fields\":{"
			   "\"serial\":16,\"dpa\":4099,\"descriptor\":1}}"),
		     0, "%s", reason);
	cr_assert_eq(inject.event.dpa, 4096);
	cr_assert_eq(inject.event.severity, STORE_ERROR);
	inject_clear(&inject);
}

/* Proves: a media event says where it is; an address that is not known is none. */
Test(inject, media)
{
	cr_assert_eq(parse("{\"source\":\"trace\",\"kind\":\"cxl_dram\",\"severity\":\"error\","
			   "\"fields\":{\"memdev\":\"mem1\",\"serial\":17,\"dpa\":4096,"
			   "\"hpa\":18446744073709551615}}"),
		     0, "%s", reason);
	cr_assert_str_eq(inject.event.unit, "mem1");
	cr_assert(inject.event.has_serial && inject.event.serial == 17);
	cr_assert(inject.event.has_dpa && inject.event.dpa == 4096);
	cr_assert_not(inject.event.has_hpa);
	cr_assert_eq(inject.event.severity, STORE_ERROR);
	cr_assert_not(inject.has_fault);
	inject_clear(&inject);
}

/* Proves: the removal of a memdev is a fault, as it is from the kernel. */
Test(inject, uevent)
{
	cr_assert_eq(parse("{\"source\":\"uevent\",\"kind\":\"remove\",\"fields\":"
			   "{\"subsystem\":\"cxl\",\"devtype\":\"cxl_memdev\",\"devpath\":"
			   "\"/devices/pci0000:0c/0000:0c:00.0/0000:0d:00.0/mem3\"}}"),
		     0, "%s", reason);
	cr_assert(inject.has_fault);
	cr_assert_eq(inject.fault.cause, ISO_CAUSE_DEVICE_GONE);
	cr_assert_str_eq(inject.event.unit, "mem3");
	inject_clear(&inject);
}

/* Proves: a raw record is decoded by its format as one from the ring. */
Test(inject, raw)
{
	static const char format[] =
		"name: aer_event\nID: 7\nformat:\n"
		"\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"
		"\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n"
		"\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n"
		"\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
		"\tfield:__data_loc char[] dev_name;\toffset:8;\tsize:4;\tsigned:0;\n"
		"\tfield:u32 status;\toffset:12;\tsize:4;\tsigned:0;\n"
		"\tfield:u8 severity;\toffset:16;\tsize:1;\tsigned:0;\n\n"
		"print fmt: \"%s\", __get_str(dev_name)\n";
	static const char raw[] = "\7\0\0\0\1\0\0\0\x11\0\x0d\0\x20\0\0\0\1"
				  "0000:0c:00.0";

	cr_assert_eq(inject_parse_raw("ras", format, raw, sizeof(raw), &inject, reason), 0, "%s",
		     reason);
	cr_assert(inject.has_fault);
	cr_assert_eq(inject.fault.cause, ISO_CAUSE_SURPRISE_DOWN);
	cr_assert_str_eq(inject.event.kind, "aer_event");
	cr_assert_eq(inject.event.raw_bytes, sizeof(raw));
	inject_clear(&inject);
	cr_assert_eq(inject_parse_raw("ras", format, "\x8", 1, &inject, reason), -EINVAL);
	cr_assert_eq(inject_parse_raw("ras", "no format", raw, sizeof(raw), &inject, reason),
		     -EINVAL);
}

/* What would be decided about it on this host, as inject_try() finds out. Return: whether it is a fault at all. */
static bool try(struct world *w, const char *text, struct iso_effects *ret)
{
	struct iso_event event;
	bool is_fault;

	cr_assert_eq(parse(text), 0, "%s", reason);
	is_fault = inject_event(w->engine, &inject, &event);
	if (is_fault) {
		event.now_ns = w->now_ns;
		*ret = iso_step(w->engine, &event);
	}
	inject_clear(&inject);
	return is_fault;
}

static struct world *two_vms(void)
{
	struct world *w = world_new();

	world_simple_bridge(w, 2, 0x10);
	world_define_one(w, "low", 0x10);
	world_define_one(w, "high", 0x11);
	world_settle(w, 60 * WORLD_SECOND);
	world_start_vm(w, "a", "low", WORLD_PART);
	world_start_vm(w, "b", "high", WORLD_PART);
	return w;
}

#define ISOLATED(unit) "{\"source\":\"isolation\",\"kind\":\"isolated\",\"unit\":\"" unit "\"}"

/* Proves: an isolation by hand is the fault that a port's status is, by the port's name or its address. */
Test(inject, isolation)
{
	cr_assert_eq(parse(ISOLATED("0000:0c:01.0")), 0, "%s", reason);
	cr_assert(inject.has_fault);
	cr_assert_eq(inject.fault.unit_kind, ISO_UNIT_PORT_ADDRESS);
	cr_assert_eq(inject.fault.cause, ISO_CAUSE_ISOLATED);
	cr_assert_eq(inject.event.severity, STORE_FATAL);
	inject_clear(&inject);
	cr_assert_eq(parse("{\"source\":\"isolation\",\"kind\":\"timeout\",\"unit\":\"hb0/00.0\"}"),
		     0);
	cr_assert_not(inject.has_fault, "without isolation nothing is cut off");
	inject_clear(&inject);
	refuses("{\"source\":\"isolation\",\"kind\":\"isolated\"}", "names its root port");
}

/* Proves: the VM behind the port is the one that would die, and nobody else. */
Test(inject, isolation_names_its_victim)
{
	struct world *w = two_vms();
	struct iso_lease_view lease;
	struct iso_effects effects;
	char text[192], address[16];

	snprintf(text, sizeof(text), ISOLATED("%s"), w->ports[1].path);
	cr_assert(try(w, text, &effects));
	cr_assert_eq(effects.n_kills, 1);
	cr_assert(iso_lease_get(w->engine, effects.kills[0].lease, &lease));
	cr_assert_str_eq(lease.terms->name, "b");
	iso_pci_address_format(w->ports[0].address, address);
	snprintf(text, sizeof(text), ISOLATED("%s"), address);
	cr_assert(try(w, text, &effects));
	cr_assert_eq(effects.n_kills, 1);
	cr_assert(iso_lease_get(w->engine, effects.kills[0].lease, &lease));
	cr_assert_str_eq(lease.terms->name, "a");
	world_free(w);
}

/* Proves: what is no root port does not isolate. */
Test(inject, isolation_of_no_root_port)
{
	struct world *w = two_vms();
	struct iso_effects effects;
	char text[192], address[16];

	cr_assert_not(try(w, ISOLATED("hb99/00.0"), &effects));
	iso_pci_address_format(w->seen_memdevs[0].address, address);
	snprintf(text, sizeof(text), ISOLATED("%s"), address);
	cr_assert_not(try(w, text, &effects));
	world_free(w);
}

/* Who would die of a record, with spaces between, on this host with one rule or none; who may later is told with "later". */
static const char *victims(struct world *w, const struct iso_rule *rule, const char *record)
{
	struct iso_rules *rules = iso_rules_init(aligned_alloc(64, iso_rules_bytes()));
	static char names[256];
	struct inject_outcome outcome;
	bool later = false;
	uint32_t i;

	iso_rules_load(rules, rule, rule != NULL);
	cr_assert_eq(parse(record), 0, "%s", reason);
	cr_assert_eq(inject_try(w->engine, rules, &inject, &outcome), 0);
	names[0] = '\0';
	for (i = 0; i < outcome.n_victims; i++)
		strcat(strcat(names, i ? " " : ""), outcome.victims[i]);
	for (i = 0; i < outcome.n_lines; i++)
		later |= !strncmp(outcome.lines[i], "later, maybe: ", 14);
	cr_assert_eq(iso_rules_next_deadline(rules), INT64_MAX,
		     "the rules themselves know nothing of it");
	inject_outcome_clear(&outcome);
	inject_clear(&inject);
	free(rules);
	return later ? strcat(names, " later") : names;
}

/* Proves: whom a rule's second action would kill, should its first one not help, is among those who have to be named. */
Test(inject, later_actions_name_their_victims)
{
	static const char record[] = "{\"source\":\"trace\",\"kind\":\"cxl_dram\",\"serial\":17}";
	struct iso_rule rule = {
		.name = "step-by-step",
		.kind = "cxl_dram",
		.threshold = 1,
		.window_ns = WORLD_SECOND,
		.n_stages = 2,
		.stages = {{.action = ISO_ACTION_FENCE, .deadline_ns = WORLD_SECOND},
			   {.action = ISO_ACTION_KILL}},
	};
	struct world *w = two_vms();

	cr_assert_null(iso_rule_check(&rule), "%s", iso_rule_check(&rule));
	cr_assert_str_eq(victims(w, NULL, record), "");
	cr_assert_str_eq(victims(w, &rule, record), "b later");
	rule.n_stages = 1;
	rule.stages[0].deadline_ns = 0;
	cr_assert_str_eq(victims(w, &rule, record), "");
	world_free(w);
}

/* Proves: who is ended so that a lost region can be made again below him is among those who have to be named. */
Test(inject, evicted_victims)
{
	struct world *w = two_vms();
	char record[192];

	snprintf(record, sizeof(record), ISOLATED("%s"), w->ports[0].path);
	cr_assert_str_eq(victims(w, NULL, record), "a", "b is waited for");
	w->policy.evict = true;
	world_restart(w);
	world_run(w, WORLD_SECOND);
	cr_assert_str_eq(victims(w, NULL, record), "a b");
	snprintf(record, sizeof(record), ISOLATED("%s"), w->ports[1].path);
	cr_assert_str_eq(victims(w, NULL, record), "b", "nobody is above it");
	world_free(w);
}

/* Proves: what makes no sense is refused with words. */
Test(inject, refused)
{
	refuses("[]", "is an object");
	refuses("{}", "a source and a kind");
	refuses("{\"source\":\"trace\"}", "a source and a kind");
	refuses("{\"source\":\"trace\",\"kind\":\"sched_switch\"}", "no event of the trace ring");
	refuses("{\"source\":\"x\",\"kind\":\"y\",\"colour\":1}", "no member colour");
	refuses("{\"source\":\"x\",\"kind\":\"y\",\"severity\":\"loud\"}", "severity must be");
	refuses("{\"source\":\"x\",\"kind\":\"y\",\"unit\":\"a\\nb\"}", "do not print");
	refuses("{\"source\":\"x\",\"kind\":\"y\",\"fields\":[]}", "fields must be an object");
	refuses("{\"source\":\"x\",\"kind\":\"y\",\"dpa\":\"here\"}", "dpa must be a number");
	refuses("{\"source\":\"trace\",\"kind\":\"aer_event\",\"fields\":{\"severity\":\"bad\"}}",
		"severity must be a number");
	refuses("{\"source\":\"trace\",\"kind\":\"aer_event\",\"fields\":{\"dev_name\":7}}",
		"dev_name must be a text");
}
