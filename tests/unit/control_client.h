/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a test does as a client of control_server.h. */
#ifndef TESTS_CONTROL_CLIENT_H
#define TESTS_CONTROL_CLIENT_H

#include <systemd/sd-varlink.h>

#include "cleanup.h"
#include "client.h"
#include "control_server.h"

static inline sd_varlink *join(struct fixture *f)
{
	struct client_failure failure;
	sd_varlink *link = NULL;

	cr_assert_eq(client_connect(f->socket, &link, &failure), CLIENT_OK, "%s", failure.text);
	return link;
}

/* Calls with parameters written as JSON. Return: the reply, or NULL with the failure filled. */
static inline sd_json_variant *ask(struct fixture *f, const char *method, const char *json,
				   struct client_failure *failure)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL;
	_cleanup_(client_close) sd_varlink *link = join(f);
	sd_json_variant *reply = NULL;

	*failure = (struct client_failure){0};
	cr_assert_geq(sd_json_parse(json, 0, &parameters, NULL, NULL), 0);
	client_call(link, method, parameters, &reply, failure);
	return reply;
}

static inline sd_json_variant *get(sd_json_variant *object, const char *key)
{
	sd_json_variant *value = sd_json_variant_by_key(object, key);

	cr_assert(value, "no '%s' in the reply", key);
	return value;
}

static inline const char *text(sd_json_variant *object, const char *key)
{
	return sd_json_variant_string(get(object, key));
}

static inline void expect_error(struct fixture *f, const char *method, const char *json,
				const char *error)
{
	struct client_failure failure;
	sd_json_variant *reply = ask(f, method, json, &failure);

	cr_assert(!reply, "%s succeeded", json);
	cr_assert_str_eq(failure.error, error, "%s", failure.text);
	cr_assert(failure.text[0]);
}

static inline sd_json_variant *expect_reply(struct fixture *f, const char *method, const char *json)
{
	struct client_failure failure;
	sd_json_variant *reply = ask(f, method, json, &failure);

	cr_assert(reply, "%s %s: %s %s", method, json, failure.error, failure.text);
	return reply;
}

#define WISH(name, size)                                                                           \
	"{\"name\":\"" name "\",\"uid\":1,\"gid\":1,\"wait\":true,\"parts\":[{\"size\":" #size "}]}"

struct steps {
	int n;
	char last_state[32];
	size_t n_parts;
};

static inline void on_step(void *userdata, sd_json_variant *message, bool last)
{
	struct steps *steps = userdata;

	steps->n++;
	snprintf(steps->last_state, sizeof(steps->last_state), "%s", text(message, "state"));
	if (last)
		steps->n_parts = sd_json_variant_elements(get(message, "parts"));
}

static inline void acquire(struct fixture *f, const char *json, struct steps *ret)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL;
	_cleanup_(client_close) sd_varlink *link = join(f);
	struct client_failure failure;

	*ret = (struct steps){0};
	cr_assert_geq(sd_json_parse(json, 0, &parameters, NULL, NULL), 0);
	cr_assert_eq(
		client_stream(link, CLIENT_METHOD("Acquire"), parameters, on_step, ret, &failure),
		CLIENT_OK, "%s", failure.text);
}

/* Attach() with a pidfd sent along; -1: of the caller itself. */
static inline enum client_status attach(struct fixture *f, const char *name, int pidfd,
					struct client_failure *failure)
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *parameters = NULL, *reply = NULL;
	_cleanup_(client_close) sd_varlink *link = join(f);
	int index = pidfd < 0 ? -1 : sd_varlink_push_dup_fd(link, pidfd);

	cr_assert_geq(sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_STRING("name", name),
				     SD_JSON_BUILD_PAIR_CONDITION(index >= 0, "pidfd",
								  SD_JSON_BUILD_INTEGER(index))),
		      0);
	return client_call(link, CLIENT_METHOD("Attach"), parameters, &reply, failure);
}

#endif
