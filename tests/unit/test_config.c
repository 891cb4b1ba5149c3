/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files override each other in the documented order; every error is reported
 * at once with file and line; what is unknown is only warned about.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"

struct fixture {
	char root[64];
	struct config config;
	char *messages;
};

static void run(const char *format, const char *root, const char *rest)
{
	char command[256];

	snprintf(command, sizeof(command), format, root, rest);
	cr_assert_eq(system(command), 0);
}

static void setup(struct fixture *f)
{
	*f = (struct fixture){0};
	snprintf(f->root, sizeof(f->root), "%s/test-config-XXXXXX",
		 access("/run/tmp", W_OK) == 0 ? "/run/tmp" : "/tmp");
	cr_assert(mkdtemp(f->root));
	run("mkdir -p %s%s", f->root, "/usr/lib/daxmgr");
	run("mkdir -p %s%s", f->root, "/etc/daxmgr/daxmgrd.conf.d");
}

static void teardown(struct fixture *f)
{
	config_free(&f->config);
	free(f->messages);
	run("rm -rf '%s%s'", f->root, "");
}

static void put(struct fixture *f, const char *path, const char *text)
{
	char full[160];
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", f->root, path);
	file = fopen(full, "w");
	cr_assert(file);
	fputs(text, file);
	fclose(file);
}

static int load(struct fixture *f)
{
	return config_load(f->root, &f->config, &f->messages);
}

static void expect_message(struct fixture *f, const char *part)
{
	cr_assert(f->messages && strstr(f->messages, part), "'%s' is not in:\n%s", part,
		  f->messages ? f->messages : "(nothing)");
}

Test(config, nothing_is_the_defaults)
{
	struct fixture f;

	setup(&f);
	cr_assert_eq(load(&f), 0);
	cr_assert_null(f.messages, "%s", f.messages);
	cr_assert_str_eq(f.config.socket_path, "/run/daxmgr/org.daxmgr.Manager");
	cr_assert_str_eq(f.config.state_directory, "/var/lib/daxmgr");
	cr_assert(f.config.automatic);
	cr_assert(f.config.refill);
	cr_assert_not(f.config.evict);
	cr_assert_not(f.config.host_may_panic, "consent is given, not assumed");
	cr_assert_eq(f.config.n_regions, 0);
	teardown(&f);
}

Test(config, shipped_file_says_what_the_defaults_are)
{
	struct config defaults, shipped;
	char text[8192], *line, *rest;
	struct fixture f;
	size_t n;
	FILE *file, *messages;

	setup(&f);
	file = fopen("daxmgr/daxmgrd.conf", "r");
	cr_assert(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	fclose(file);
	/* What is commented out, taken in: it must change nothing. The example region is left out. */
	*strstr(text, "# A region is made") = '\0';
	char path[160];
	snprintf(path, sizeof(path), "%s/all.conf", f.root);
	file = fopen(path, "w");
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		fprintf(file, "%s\n", line[0] == '#' && line[1] != ' ' ? line + 1 : line);
	fclose(file);
	config_init(&defaults);
	config_init(&shipped);
	messages = fopen("/dev/null", "w");
	cr_assert_eq(config_read_file(&shipped, path, messages), 0);
	fclose(messages);
	cr_assert_eq(memcmp(&defaults, &shipped, sizeof(defaults)), 0);
	teardown(&f);
}

Test(config, later_files_override_key_by_key)
{
	struct fixture f;

	setup(&f);
	put(&f, "/usr/lib/daxmgr/daxmgrd.conf",
	    "[Manager]\nStateDirectory=/vendor\n[Recovery]\nAttempts=3\n");
	put(&f, "/etc/daxmgr/daxmgrd.conf.d/10-a.conf",
	    "[Recovery]\nSettleSec=250ms\nAutomatic=no\n[Region left]\nMemdevs=0x10 17\nSize=1G\n");
	put(&f, "/etc/daxmgr/daxmgrd.conf.d/20-b.conf",
	    "[Recovery]\nSettleSec=2min\n[Region left]\nGranularity=8K\n[Region right]\nMemdevs=0x12\n");
	cr_assert_eq(load(&f), 0, "%s", f.messages ? f.messages : "");
	cr_assert_str_eq(f.config.state_directory, "/vendor");
	cr_assert_eq(f.config.attempts, 3);
	cr_assert_not(f.config.automatic);
	cr_assert_eq(f.config.settle_ns, UINT64_C(120000000000));
	cr_assert_eq(f.config.n_regions, 2);
	cr_assert_str_eq(f.config.regions[0].name, "left");
	cr_assert_eq(f.config.regions[0].ways, 2);
	cr_assert_eq(f.config.regions[0].serials[0], 0x10);
	cr_assert_eq(f.config.regions[0].serials[1], 17);
	cr_assert_eq(f.config.regions[0].granularity, 8192);
	cr_assert_eq(f.config.regions[0].bytes, UINT64_C(1) << 30);
	cr_assert_str_eq(f.config.regions[1].name, "right");
	cr_assert_eq(f.config.regions[1].ways, 1);
	teardown(&f);
}

Test(config, what_recovery_and_pins_say_reaches_the_policy)
{
	struct iso_policy policy;
	struct fixture f;

	setup(&f);
	put(&f, "/etc/daxmgr/daxmgrd.conf",
	    "[Recovery]\nRefill=no\nDecoderOrder=evict\nFlapLosses=0\nFlapWindowSec=1h\n"
	    "[Pins]\nHostMayPanic=yes\nInspectSec=500ms\n");
	cr_assert_eq(load(&f), 0, "%s", f.messages ? f.messages : "");
	iso_policy_default(&policy);
	config_policy(&f.config, &policy);
	cr_assert_not(policy.refill);
	cr_assert(policy.evict);
	cr_assert_eq(policy.flap_losses, 0);
	cr_assert_eq(policy.flap_window_ns, UINT64_C(3600000000000));
	cr_assert(policy.host_may_panic);
	cr_assert_eq(policy.inspect_ns, UINT64_C(500000000));
	teardown(&f);
	setup(&f);
	cr_assert_eq(load(&f), 0);
	config_policy(&f.config, &policy);
	cr_assert(policy.refill);
	cr_assert_not(policy.evict);
	cr_assert_eq(policy.flap_losses, 3);
	cr_assert_eq(policy.flap_window_ns, UINT64_C(600000000000));
	cr_assert_not(policy.host_may_panic);
	cr_assert_eq(policy.inspect_ns, UINT64_C(10000000000));
	teardown(&f);
	setup(&f);
	put(&f, "/etc/daxmgr/daxmgrd.conf",
	    "[Recovery]\nRefill=soft\nDecoderOrder=perhaps\nFlapLosses=17\nFlapWindowSec=0\n"
	    "[Pins]\nHostMayPanic=maybe\nInspectSec=2d\n");
	cr_assert_eq(load(&f), -EINVAL);
	expect_message(&f, "daxmgrd.conf:2: Refill=soft: must be yes or no");
	expect_message(&f, "daxmgrd.conf:3: DecoderOrder=perhaps: must be wait or evict");
	expect_message(&f, "daxmgrd.conf:4: FlapLosses=17: must be a number from 0 to 16");
	expect_message(&f, "daxmgrd.conf:5: FlapWindowSec=0: must be more than nothing");
	expect_message(&f, "daxmgrd.conf:7: HostMayPanic=maybe: must be yes or no");
	expect_message(&f, "daxmgrd.conf:8: InspectSec=2d: must be more than nothing");
	teardown(&f);
}

Test(config, a_drop_in_may_change_how_many_memory_devices)
{
	struct fixture f;

	setup(&f);
	put(&f, "/etc/daxmgr/daxmgrd.conf", "[Region r]\nMemdevs=1\n");
	put(&f, "/etc/daxmgr/daxmgrd.conf.d/1.conf", "[Region r]\nMemdevs=1 2 3\n");
	cr_assert_eq(load(&f), 0, "%s", f.messages ? f.messages : "");
	cr_assert_eq(f.config.regions[0].ways, 3);
	teardown(&f);
}

Test(config, all_errors_at_once_with_file_and_line)
{
	struct fixture f;

	setup(&f);
	put(&f, "/etc/daxmgr/daxmgrd.conf",
	    "# comment\n[Manager]\nSocketPath=relative\nTraceBufferSize=1Q\n[Recovery]\nSettleSec=soon\n"
	    "Attempts=0\nAutomatic=perhaps\n[Lease]\nAlign=4K\n[Region bad name]\nMemdevs=1\n"
	    "[Region r]\nMemdevs=0x10 zz\nGranularity=100\nSize=100M\n[Region twice]\nMemdevs=1 1\n"
	    "[Region w]\nWays=4\nMemdevs=1 2\n[Region empty]\nSize=256M\n");
	cr_assert_eq(load(&f), -EINVAL);
	expect_message(&f, "daxmgrd.conf:3: SocketPath=relative: not an absolute path");
	expect_message(&f, "daxmgrd.conf:4: TraceBufferSize=1Q");
	expect_message(&f, "daxmgrd.conf:6: SettleSec=soon: not a time");
	expect_message(&f, "daxmgrd.conf:7: Attempts=0: must be a number");
	expect_message(&f, "daxmgrd.conf:8: Automatic=perhaps: must be yes or no");
	expect_message(&f, "daxmgrd.conf:10: Align=4K");
	expect_message(&f, "[Region bad name]: the name of a region");
	expect_message(&f, "daxmgrd.conf:14: Memdevs=0x10 zz: 'zz' is not a serial number");
	expect_message(&f, "daxmgrd.conf:15: Granularity=100");
	expect_message(&f, "daxmgrd.conf:16: Size=100M");
	expect_message(&f, "daxmgrd.conf:18: Memdevs=1 1: the same memory device twice");
	expect_message(&f, "[Region w]: Ways=4, but Memdevs= names 2");
	expect_message(&f, "[Region empty]: Memdevs= is missing");
	teardown(&f);
}

Test(config, unknown_keys_and_sections_only_warn)
{
	struct fixture f;

	setup(&f);
	put(&f, "/etc/daxmgr/daxmgrd.conf", "[Manager]\nColour=blue\n[Weather]\nRain=no\n");
	cr_assert_eq(load(&f), 0);
	expect_message(&f, "daxmgrd.conf:2: warning: nothing is called Colour= in [Manager]");
	expect_message(&f, "there is no section [Weather]");
	teardown(&f);
}

Test(config, lines_that_are_no_assignment_are_errors)
{
	struct fixture f;

	setup(&f);
	put(&f, "/etc/daxmgr/daxmgrd.conf", "[Recovery]\nAttempts=3\nand more\n");
	cr_assert_eq(load(&f), -EINVAL);
	expect_message(&f, "is not KEY=VALUE");
	teardown(&f);
	setup(&f);
	put(&f, "/etc/daxmgr/daxmgrd.conf", "[Recovery\nAttempts=3\n");
	cr_assert_eq(load(&f), -EINVAL);
	expect_message(&f, "daxmgrd.conf:1: Missing bracket");
	teardown(&f);
	setup(&f);
	put(&f, "/etc/daxmgr/daxmgrd.conf", "Attempts=3\n");
	cr_assert_eq(load(&f), -EINVAL);
	expect_message(&f, "before any [Section]");
	teardown(&f);
	setup(&f);
	put(&f, "/etc/daxmgr/daxmgrd.conf", "[Recovery]\nAttempts=3\nAttempts=4\n");
	cr_assert_eq(load(&f), -EINVAL);
	expect_message(&f, "more than once");
	teardown(&f);
}
