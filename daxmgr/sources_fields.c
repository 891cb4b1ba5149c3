/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sources_internal.h"

#include <stddef.h>

char *sources_fields(sd_json_variant *object)
{
	char *text = NULL;

	if (object && sd_json_variant_format(object, 0, &text) < 0)
		text = NULL;
	sd_json_variant_unref(object);
	return text;
}
