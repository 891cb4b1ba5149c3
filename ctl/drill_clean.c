/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a drill leaves behind is taken away again, and nothing else: what was so before it is not its own. */
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "drill_run.h"

#define MS     UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

enum { CLEANUP_SECONDS = 60, CLEANUP_POLL_MS = 500 };

/* One look at what is left. */
struct cleaning {
	struct drill_run *run;
	struct drill_look now;
	bool done; /* all is as before */
	bool asked; /* something was asked of the daemon for it */
	bool blocked; /* there is what a person has to take back */
};

int drill_look(struct drill_run *run, struct drill_look *ret)
{
	int status = drill_ask(run, CLIENT_METHOD("GetTopology"), NULL, &ret->topology);

	if (status == CLIENT_OK)
		status = drill_ask(run, CLIENT_METHOD("ListPoison"), NULL, &ret->poison);
	return status;
}

void drill_look_clear(struct drill_look *look)
{
	look->topology = sd_json_variant_unref(look->topology);
	look->poison = sd_json_variant_unref(look->poison);
}

static bool is(sd_json_variant *object, const char *key, const char *text)
{
	return !strcmp(format_text(object, key), text);
}

static sd_json_variant *port_of(const struct drill_look *look, const char *path)
{
	sd_json_variant *port;

	FORMAT_EACH(port, format_list(look->topology, "ports"))
	{
		if (is(port, "path", path))
			return port;
	}
	return NULL;
}

static bool is_out_of_use(sd_json_variant *port)
{
	return is(port, "state", "isolated") || is(port, "state", "quarantined");
}

/* ---- recovering ---- */

static bool is_cleaned(const struct drill_run *run, const char *object)
{
	sd_json_variant *name;

	FORMAT_EACH(name, run->cleaned)
	{
		if (!strcmp(sd_json_variant_string(name), object))
			return true;
	}
	return false;
}

static void recover(struct cleaning *c, const char *object)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL, *name = NULL;

	c->done = false;
	c->asked = true;
	snprintf(c->run->why, sizeof(c->run->why), "%.128s has to be recovered", object);
	if (drill_ask(c->run, CLIENT_METHOD("Recover"), verb_parameter("port", object), &reply) ==
		    CLIENT_OK &&
	    !is_cleaned(c->run, object) && sd_json_variant_new_string(&name, object) >= 0)
		sd_json_variant_append_array(&c->run->cleaned, name);
}

/*
 * Recover() gives back all of a domain. Where something of it was out of use before
 * the drill began that is for whoever took it: a person has to look.
 */
static bool was_taken(const struct drill_look *before, const char *domain)
{
	sd_json_variant *port, *fence;

	if (!domain[0])
		return false;
	FORMAT_EACH(port, format_list(before->topology, "ports"))
	{
		if (is(port, "domain", domain) &&
		    (format_flag(port, "held") || is_out_of_use(port)))
			return true;
	}
	FORMAT_EACH(fence, format_list(before->topology, "fences"))
	{
		if (is(fence, "domain", domain))
			return true;
	}
	return false;
}

static void recover_in_domain(struct cleaning *c, const char *object, const char *domain)
{
	sd_json_variant *before = port_of(&c->run->before, object);

	if (!was_taken(&c->run->before, domain) &&
	    (!before || !was_taken(&c->run->before, format_text(before, "domain")))) {
		recover(c, object);
		return;
	}
	c->done = false;
	c->blocked = true;
	snprintf(c->run->why, sizeof(c->run->why),
		 "%.128s is left as it is: its domain was not in use before the drill", object);
}

/* ---- what policy has fenced ---- */

static bool was_fenced(const struct drill_look *before, sd_json_variant *fence)
{
	sd_json_variant *other;

	FORMAT_EACH(other, format_list(before->topology, "fences"))
	{
		if (is(other, "kind", format_text(fence, "kind")) &&
		    is(other, "unit", format_text(fence, "unit")) &&
		    is(other, "serial", format_text(fence, "serial")))
			return true;
	}
	return false;
}

static void clean_fences(struct cleaning *c)
{
	sd_json_variant *fence;

	FORMAT_EACH(fence, format_list(c->now.topology, "fences"))
	{
		if (was_fenced(&c->run->before, fence))
			continue;
		if (format_has(fence, "serial")) /* of a memdev, which is recovered alone */
			recover(c, format_text(fence, "unit"));
		else
			recover_in_domain(c, format_text(fence, "unit"),
					  format_text(fence, "domain"));
	}
}

/* ---- ports and domains ---- */

/* By itself, as a port of several in its domain may be held that does not name it. */
static void clean_held(struct cleaning *c)
{
	sd_json_variant *port;

	FORMAT_EACH(port, format_list(c->now.topology, "ports"))
	{
		if (format_flag(port, "held") &&
		    !format_flag(port_of(&c->run->before, format_text(port, "path")), "held"))
			recover_in_domain(c, format_text(port, "path"),
					  format_text(port, "domain"));
	}
}

/* Given up: nothing tells which port of the domain it was, so all are tried again. */
static void clean_given_up(struct cleaning *c)
{
	sd_json_variant *port;

	FORMAT_EACH(port, format_list(c->now.topology, "ports"))
	{
		if (is(port, "kind", "root-port") && is_out_of_use(port) &&
		    !is_out_of_use(port_of(&c->run->before, format_text(port, "path"))))
			recover_in_domain(c, format_text(port, "path"),
					  format_text(port, "domain"));
	}
}

/* What was on its way before has to have arrived. */
static bool is_as_before(sd_json_variant *port, sd_json_variant *before)
{
	const char *state = format_text(port, "state");

	if (!strcmp(state, "healthy"))
		return true;
	return strcmp(state, "recovering") && strcmp(state, "containing") &&
	       is(before, "state", state);
}

static void compare_states(struct cleaning *c)
{
	sd_json_variant *before, *port;

	/* A daemon that has just started knows no port yet. */
	FORMAT_EACH(before, format_list(c->run->before.topology, "ports"))
	{
		port = port_of(&c->now, format_text(before, "path"));
		if (port && is_as_before(port, before))
			continue;
		c->done = false;
		snprintf(c->run->why, sizeof(c->run->why), "%.128s is %.32s: %.200s",
			 format_text(before, "path"),
			 port ? format_text(port, "state") : "not there",
			 format_text(port, "reason"));
	}
}

/* ---- bad memory ---- */

static bool is_injected(sd_json_variant *range)
{
	sd_json_variant *evidence;

	FORMAT_EACH(evidence, format_list(range, "evidence"))
	{
		if (!strcmp(sd_json_variant_string(evidence), "synthetic"))
			return is(range, "state", "bad");
	}
	return false;
}

static bool is_same_range(sd_json_variant *a, sd_json_variant *b)
{
	if (format_has(a, "dpa") != format_has(b, "dpa"))
		return false;
	if (format_has(a, "dpa"))
		return is(a, "serial", format_text(b, "serial")) &&
		       format_number(a, "dpa") == format_number(b, "dpa");
	return is(a, "region", format_text(b, "region")) &&
	       format_number(a, "offset") == format_number(b, "offset");
}

/* Somebody has injected it before the drill. */
static bool was_injected(const struct drill_look *before, sd_json_variant *range)
{
	sd_json_variant *other;

	FORMAT_EACH(other, format_list(before->poison, "ranges"))
	{
		if (is_injected(other) && is_same_range(other, range))
			return true;
	}
	return false;
}

/* The record of a clearing. NULL: nothing tells where the range lies now, or no memory. */
static sd_json_variant *antidote(sd_json_variant *range)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *fields = NULL;
	bool by_dpa = format_has(range, "dpa");
	sd_json_variant *ret = NULL;

	if (!by_dpa && !format_has(range, "hpa"))
		return NULL;
	if (sd_json_buildo(
		    &fields,
		    SD_JSON_BUILD_PAIR_CONDITION(
			    by_dpa, "serial", SD_JSON_BUILD_STRING(format_text(range, "serial"))),
		    SD_JSON_BUILD_PAIR_UNSIGNED(by_dpa ? "dpa" : "hpa",
						format_number(range, by_dpa ? "dpa" : "hpa")),
		    SD_JSON_BUILD_PAIR_UNSIGNED("dpa_length", format_number(range, "bytes")),
		    SD_JSON_BUILD_PAIR_UNSIGNED("trace_type", 2)) < 0 ||
	    sd_json_buildo(&ret, SD_JSON_BUILD_PAIR_STRING("source", "trace"),
			   SD_JSON_BUILD_PAIR_STRING("kind", "cxl_poison"),
			   SD_JSON_BUILD_PAIR_VARIANT("fields", fields)) < 0)
		return NULL;
	return ret;
}

static void clean_poison(struct cleaning *c)
{
	sd_json_variant *range;

	FORMAT_EACH(range, format_list(c->now.poison, "ranges"))
	{
		_cleanup_(sd_json_variant_unrefp) sd_json_variant *record = NULL, *reply = NULL;

		if (!is_injected(range) || was_injected(&c->run->before, range))
			continue;
		c->done = false;
		snprintf(c->run->why, sizeof(c->run->why), "memory of %.128s is bad in this drill",
			 format_text(range, format_has(range, "dpa") ? "serial" : "region"));
		record = antidote(range);
		c->asked |= record != NULL;
		if (record)
			drill_inject(c->run, record, &reply);
	}
}

static bool was_closed(const struct drill_look *before, sd_json_variant *memdev)
{
	sd_json_variant *other;

	FORMAT_EACH(other, format_list(before->topology, "memdevs"))
	{
		if (is(other, "path", format_text(memdev, "path")))
			return format_has(other, "closed");
	}
	return false;
}

/* A memdev takes nobody more since memory of it is bad, nobody knows where: its list tells. */
static void clean_closed(struct cleaning *c)
{
	sd_json_variant *memdev;

	FORMAT_EACH(memdev, format_list(c->now.topology, "memdevs"))
	{
		_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
		const char *path = format_text(memdev, "path");

		if (!format_has(memdev, "closed") || was_closed(&c->run->before, memdev))
			continue;
		c->done = false;
		c->asked = true;
		snprintf(c->run->why, sizeof(c->run->why), "%.128s: %.200s", path,
			 format_text(memdev, "closed"));
		drill_ask(c->run, CLIENT_METHOD("ReadPoison"), verb_parameter("memdev", path),
			  &reply);
	}
}

/* ---- all of it ---- */

/* A daemon that cannot be reached, or says no, is asked again in the next look. */
static void clean_once(struct cleaning *c)
{
	if (drill_look(c->run, &c->now) != CLIENT_OK)
		return;
	c->done = true;
	compare_states(c);
	clean_fences(c);
	clean_held(c);
	if (!c->asked)
		clean_given_up(c);
	clean_poison(c);
	clean_closed(c);
}

int drill_clean_up(struct drill_run *run)
{
	uint64_t end_ns = drill_now_ns() + CLEANUP_SECONDS * SECOND;

	run->cleaning = true;
	run->why[0] = '\0';
	for (;;) {
		struct cleaning c = {.run = run};

		clean_once(&c);
		drill_look_clear(&c.now);
		if (c.done)
			return CLIENT_OK;
		if (drill_now_ns() >= end_ns || (c.blocked && !c.asked))
			break;
		drill_pause_ns(CLEANUP_POLL_MS * MS);
	}
	fprintf(stderr, "daxmgrctl: not all is as before: %s; see 'daxmgrctl status'\n", run->why);
	return CLIENT_TIMED_OUT;
}
