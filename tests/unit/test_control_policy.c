/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules, reloads and injected records as a client sees them: above all the interlock. */
#include "control_client.h"

#include "decisions.h"
#include "verb.h"

#define LOSS                                                                                       \
	"\"record\":{\"source\":\"trace\",\"kind\":\"aer_event\",\"fields\":"                      \
	"{\"dev_name\":\"0000:10:00.0\",\"severity\":1,\"status\":32}}"

static void refused(struct fixture *f, const char *parameters, const char *error, const char *words)
{
	struct client_failure failure;

	cr_assert_null(ask(f, CLIENT_METHOD("Inject"), parameters, &failure));
	cr_assert_str_eq(failure.error, error, "%s", failure.text);
	cr_assert(strstr(failure.text, words), "%s", failure.text);
}

/* Proves: a dry run says who would die; for real nothing is done unless the host allows it. */
Test(control_policy, dry_run)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	struct fixture f;

	setup(&f);
	reply = expect_reply(&f, CLIENT_METHOD("Inject"), "{" LOSS "}");
	cr_assert_str_eq(text(reply, "outcome"), "dry-run");
	cr_assert_str_eq(sd_json_variant_string(sd_json_variant_by_index(get(reply, "victims"), 0)),
			 "web");
	refused(&f, "{" LOSS ",\"live\":true,\"vms\":[\"web\"]}", "Refused", "[Inject] Allow=no");
	refused(&f, "{\"record\":{\"source\":\"trace\"}}", "BadRecord", "a source and a kind");
	refused(&f, "{\"raw\":\"AA==\"}", "BadRecord", "its system and the text of its format");
	refused(&f, "{\"id\":99}", "NoSuchName", "there is no record 99");
	teardown(&f);
}

/* Proves: where it is allowed all who would die have to be named, and others may be. */
Test(control_policy, interlock)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	struct fixture f;

	serve_may_inject = true;
	setup(&f);
	refused(&f, "{" LOSS ",\"live\":true}", "Refused", "were not named: web");
	refused(&f, "{" LOSS ",\"live\":true,\"vms\":[\"web2\",\"we\"]}", "Refused", "web");
	reply = expect_reply(&f, CLIENT_METHOD("Inject"),
			     "{" LOSS ",\"live\":true,\"vms\":[\"web2\",\"web\"]}");
	cr_assert_str_eq(text(reply, "outcome"), "done");
	teardown(&f);
}

/* Proves: rules are listed and reloaded; a refused set is an error with its first messages. */
Test(control_policy, rules)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *list = NULL, *loaded = NULL, *why = NULL;
	struct client_failure failure;
	struct fixture f;

	setup(&f);
	list = expect_reply(&f, CLIENT_METHOD("ListRules"), "{}");
	cr_assert_eq(sd_json_variant_elements(get(list, "rules")), 0);
	loaded = expect_reply(&f, CLIENT_METHOD("ReloadPolicy"), "{}");
	cr_assert_eq(format_number(loaded, "rules"), 3);
	why = expect_reply(&f, CLIENT_METHOD("ExplainRecord"), "{" LOSS "}");
	cr_assert_eq(sd_json_variant_elements(get(why, "rules")), 0);
	teardown(&f);
	serve_refuses_rules = true;
	setup(&f);
	cr_assert_null(ask(&f, CLIENT_METHOD("ReloadPolicy"), "{}", &failure));
	cr_assert_str_eq(failure.error, "Refused");
	cr_assert(strstr(failure.text, "stay as they were: a.conf:2: Action=fly"), "%s",
		  failure.text);
	teardown(&f);
}

static void decides(const char *timeline, const char *expected)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *incident = NULL;
	struct decisions decisions = {0};
	char all[1024] = "", json[4096];

	snprintf(
		json, sizeof(json),
		"{\"unit\":\"hb0/00.0\",\"cause\":\"surprise-down\",\"killed\":2,\"timeline\":[%s]}",
		timeline);
	cr_assert_geq(sd_json_parse(json, 0, &incident, NULL, NULL), 0, "%s", json);
	cr_assert(decisions_add(&decisions, incident));
	for (size_t i = 0; i < decisions.n; i++)
		strcat(strcat(all, i ? " | " : ""), decisions.lines[i]);
	cr_assert_str_eq(all, expected);
	decisions_clear(&decisions);
}

#define NOTE(kind, text) "{\"kind\":\"" kind "\",\"text\":\"" text "\"}"
#define KILL(vm)         "{\"kind\":\"kill\",\"lease\":\"" vm "\",\"text\":\"" vm ": process 7 is killed\"}"

/* Proves: what was decided is left of a timeline, without processes, times, reasons and what was only seen. */
Test(control_policy, decisions)
{
	decides(NOTE("fault", "hb0/00.0: surprise-down (synthetic)") "," KILL("b") "," KILL("a") "," NOTE("correlated", "again") "," KILL("c") "," NOTE("domain", "domain hb0/00.0: healthy -> containing: 2 VMs") "," NOTE("exit", "a: process 7 is gone") "," NOTE(
			"contained",
			"x") "," NOTE("domain",
				      "domain hb0/00.0: containing -> recovering: r") "," NOTE("waiting",
											       "domain hb0/00.0: recovering -> waiting: memdev") "," NOTE("domain",
																			  "domain hb0/00.0: waiting -> recovering: r") "," NOTE("region",
																										"region low: refilled") "," NOTE("policy",
																														 "rule r: fence hb0/00.0: 3 records within 1 h (synthetic)") "," NOTE("domain",
																																						      "domain hb0/00.0: recovering -> healthy") "," NOTE("recovered",
																																													 "hb0/00.0"),
		"fault hb0/00.0: surprise-down | kill a | kill b | kill c | "
		"domain hb0/00.0: containing | contained: 2 killed | domain hb0/00.0: recovering | "
		"rule r: fence hb0/00.0 | domain hb0/00.0: healthy | recovered");
	/* Whether recovery waits before or after the last VM has gone is chance. */
	decides(NOTE("domain", "domain hb0/00.0: containing -> recovering: r") "," NOTE("contained", "x") "," NOTE(
			"waiting",
			"domain hb0/00.0: recovering -> waiting: memdev") "," NOTE("domain",
										   "domain hb0/01.0: healthy -> recovering: r"),
		"domain hb0/00.0: recovering | contained: 2 killed | domain hb0/01.0: recovering");
	decides("", "");
}
