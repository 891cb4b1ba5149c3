/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* daxmgrctl doctor: what it finds in which replies, and that it is quiet on a healthy host. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "doctor.h"
#include "format.h"

#define WELL                                                                                           \
	"{\"ready\":true,\"hostMayPanic\":false,\"components\":[{\"name\":\"trace\",\"state\":\"ok\"," \
	"\"text\":\"pci_hp_event: absent\"}]}"
#define WELL_TREE                                                                                        \
	"{\"ports\":[{\"path\":\"hb0/00.0\",\"kind\":\"root-port\",\"held\":false,\"flapping\":false}]," \
	"\"regions\":[{\"name\":\"r\",\"state\":\"live\",\"desired\":true,\"locked\":false},"            \
	"{\"name\":\"old\",\"state\":\"absent\",\"desired\":false}],"                                    \
	"\"leases\":[{\"name\":\"a\",\"state\":\"attached\",\"pid\":7,\"pins\":[],\"revoked\":false},"   \
	"{\"name\":\"b\",\"state\":\"waiting\",\"pins\":[\"vfio\"]}]}"
#define WELL_IF "[{\"path\":\"hb0/00.0\",\"blockers\":[]}]"

static sd_json_variant *parse(const char *json)
{
	sd_json_variant *ret = NULL;

	cr_assert_geq(sd_json_parse(json, 0, &ret, NULL, NULL), 0, "%s", json);
	return ret;
}

/* All findings as lines "TOPIC OBJECT: TEXT". */
static const char *examine(const char *status, const char *topology, const char *what_if, int warn,
			   int oops)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *s = parse(status), *t = parse(topology),
							  *w = parse(what_if), *findings = NULL;
	struct doctor_facts facts = {.status = s,
				     .topology = t,
				     .what_if = w,
				     .panic_on_warn = warn,
				     .panic_on_oops = oops,
				     .vhost_zero_copy = oops};
	static char text[4096];
	sd_json_variant *finding;
	size_t length = 0;

	text[0] = '\0';
	cr_assert_geq(doctor_examine(&facts, &findings), 0);
	FORMAT_EACH(finding, findings)
	{
		cr_assert(*format_text(finding, "consequence"));
		cr_assert(*format_text(finding, "remedy"));
		length += (size_t)snprintf(text + length, sizeof(text) - length, "%s %s: %s\n",
					   format_text(finding, "topic"),
					   format_text(finding, "object"),
					   format_text(finding, "text"));
	}
	return text;
}

static void expect(const char *text, const char *line)
{
	cr_assert(strstr(text, line), "no '%s' in:\n%s", line, text);
}

Test(doctor, says_nothing_of_a_healthy_host)
{
	cr_assert_str_eq(examine(WELL, WELL_TREE, WELL_IF, 0, 0), "");
	cr_assert_str_eq(examine(WELL, WELL_TREE, "[]", DOCTOR_UNKNOWN, DOCTOR_UNKNOWN), "");
}

Test(doctor, names_what_can_take_the_host_down)
{
	const char *text = examine(
		"{\"ready\":true,\"hostMayPanic\":true,\"components\":[{\"name\":\"guard\","
		"\"state\":\"failed\",\"text\":\"kmem took dax1.0\"}]}",
		"{\"leases\":[{\"name\":\"a\",\"state\":\"attached\",\"pid\":7,\"pins\":[\"direct-io\",\"vfio\"],"
		"\"evidence\":\"fd 9: O_DIRECT /x\",\"stranger\":12}]}",
		"[]", 1, 1);

	expect(text, "consent host: VMs that pin their memory are admitted");
	expect(text, "pins a: pins its memory: direct-io,vfio (fd 9: O_DIRECT /x)\n");
	expect(text, "stranger a: process 12 maps its memory");
	expect(text, "component guard: failed: kmem took dax1.0");
	expect(text, "kernel panic_on_warn: kernel.panic_on_warn is 1");
	expect(text, "kernel panic_on_oops: kernel.panic_on_oops is 1");
	expect(text, "kernel vhost_net: vhost_net.experimental_zcopytx is 1");
	cr_assert_eq(strncmp(text, "consent", 7), 0, "the most dangerous first");
}

Test(doctor, tells_pinning_without_consent)
{
	expect(examine(WELL,
		       "{\"leases\":[{\"name\":\"a\",\"state\":\"attached\",\"pid\":7,\"pins\":[\"rdma\"]}]}",
		       "[]", 0, 0),
	       "pins a: pins its memory: rdma, without consent");
}

Test(doctor, names_what_holds_up_recovery)
{
	const char *text = examine(
		"{\"ready\":true,\"components\":[{\"name\":\"uevents\",\"state\":\"missing\",\"text\":\"EPERM\"}]}",
		"{\"ports\":[{\"path\":\"hb0/00.0\",\"held\":true,\"flapping\":true},"
		"{\"path\":\"hb0/01.0\",\"held\":true,\"flapping\":false}],"
		"\"memdevs\":[{\"path\":\"hb0/02.0/00.0\",\"serial\":\"0x5\",\"duplicateSerial\":true}],"
		"\"regions\":[{\"name\":\"r\",\"state\":\"absent\",\"wait\":\"too-small\",\"reason\":\"0x5 has 256M\","
		"\"desired\":true},{\"name\":\"q\",\"state\":\"quarantined\",\"reason\":\"ENOSPC\",\"desired\":true},"
		"{\"name\":\"f\",\"state\":\"live\",\"desired\":true,\"locked\":true}],"
		"\"leases\":[{\"name\":\"a\",\"state\":\"stuck\",\"pid\":7,\"pins\":[],\"revoked\":true},"
		"{\"name\":\"b\",\"state\":\"stuck\",\"waitsFor\":\"process 8, state D, in down_read\",\"pins\":[]}]}",
		"[{\"path\":\"hb0/00.0\",\"blockers\":[{\"name\":\"c\"},{\"name\":\"d\"}]}]", 0, 0);

	expect(text, "component uevents: missing: EPERM");
	expect(text, "flapping hb0/00.0: was lost too often");
	expect(text, "held hb0/01.0: isolated by an operator");
	expect(text, "memdev hb0/02.0/00.0: another device has its serial number 0x5");
	expect(text, "region r: absent, waits for too-small: 0x5 has 256M");
	expect(text, "region q: quarantined: ENOSPC");
	expect(text, "locked f: firmware has locked its decoders");
	expect(text, "stuck a: its memory was taken from it, but process 7 does not exit");
	expect(text, "stuck b: does not go away: process 8, state D, in down_read");
	expect(text,
	       "decoder-order hb0/00.0: if it is lost, its regions wait for VMs above them: c d");
	cr_assert(!strstr(text, "region f"), "it is live");
}

Test(doctor, says_what_a_failing_disk_and_lost_leases_mean)
{
	const char *text = examine(
		"{\"ready\":true,\"hold\":\"the database was damaged\",\"components\":[{\"name\":\"store\","
		"\"state\":\"degraded\",\"text\":\"the database cannot be written: the disk is full\"}]}",
		"{}", "[]", 0, 0);

	expect(text, "hold daxmgrd: leases are not known: the database was damaged");
	expect(text, "component store: degraded: the database cannot be written: the disk is full");
}

Test(doctor, says_when_nothing_is_known_yet)
{
	expect(examine("{\"ready\":false}", "{}", "[]", 0, 0), "start daxmgrd: still looks");
}
