/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* poison list, poison read */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <getopt.h>

#include "cleanup.h"
#include "units.h"
#include "verb.h"

enum {
	COLUMN_SERIAL,
	COLUMN_MEMDEV,
	COLUMN_DPA,
	COLUMN_HPA,
	COLUMN_BYTES,
	COLUMN_STATE,
	COLUMN_EVIDENCE,
	COLUMN_REGION,
	COLUMN_DEVICE,
	COLUMN_VM,
	COLUMNS
};

static void cell_address(struct libscols_line *line, size_t column, sd_json_variant *range,
			 const char *key)
{
	char text[24];

	if (!format_has(range, key))
		return;
	snprintf(text, sizeof(text), "0x%" PRIx64, format_number(range, key));
	format_cell(line, column, text);
}

/* Who has it now; else whose it was when it was found. */
static void cell_vm(struct libscols_line *line, sd_json_variant *range)
{
	const char *vm = format_text(range, "vm"), *hit = format_text(range, "hit");
	char text[2 * 65 + 16];

	if (*vm && *hit && strcmp(vm, hit))
		snprintf(text, sizeof(text), "%s (was %s's)", vm, hit);
	else if (*vm)
		snprintf(text, sizeof(text), "%s", vm);
	else if (*hit)
		snprintf(text, sizeof(text), "(was %s's)", hit);
	else
		return;
	format_cell(line, COLUMN_VM, text);
}

static void show_list(sd_json_variant *reply)
{
	static const char *const columns[COLUMNS] = {
		[COLUMN_SERIAL] = "SERIAL",     [COLUMN_MEMDEV] = "MEMDEV",
		[COLUMN_DPA] = ">DPA",          [COLUMN_HPA] = ">HPA",
		[COLUMN_BYTES] = ">BYTES",      [COLUMN_STATE] = "STATE",
		[COLUMN_EVIDENCE] = "EVIDENCE", [COLUMN_REGION] = "REGION",
		[COLUMN_DEVICE] = "DEVICE",     [COLUMN_VM] = "VM",
	};
	struct libscols_table *table = format_table(columns, COLUMNS);
	sd_json_variant *range;
	char evidence[96];

	FORMAT_EACH(range, format_list(reply, "ranges"))
	{
		struct libscols_line *line = format_line(table, NULL);

		format_cell(line, COLUMN_SERIAL, format_text(range, "serial"));
		format_cell(line, COLUMN_MEMDEV, format_text(range, "memdev"));
		cell_address(line, COLUMN_DPA, range, "dpa");
		cell_address(line, COLUMN_HPA, range, "hpa");
		format_cell_number(line, COLUMN_BYTES, format_number(range, "bytes"));
		format_cell(line, COLUMN_STATE, format_text(range, "state"));
		format_cell(line, COLUMN_EVIDENCE,
			    format_words(format_list(range, "evidence"), ",", evidence,
					 sizeof(evidence)));
		format_cell(line, COLUMN_REGION, format_text(range, "region"));
		format_cell(line, COLUMN_DEVICE, format_text(range, "device"));
		cell_vm(line, range);
	}
	format_print(table, "No memory is known to be bad.");
}

int verb_poison_list(struct context *context, int argc, char *argv[])
{
	return verb_ask_and_show(context, argc, argv, CLIENT_METHOD("ListPoison"), show_list);
}

int verb_poison_read(struct context *context, int argc, char *argv[])
{
	_cleanup_(sd_json_variant_unrefp) sd_json_variant *reply = NULL;
	sd_json_variant *parameters = NULL;
	int status;

	while (verb_option(context, argc, argv, NULL) >= 0)
		return CLIENT_USAGE;
	if (!verb_arguments(argc, argv, 0, 1))
		return CLIENT_USAGE;
	if (optind < argc)
		parameters = verb_parameter("memdev", argv[optind]);
	status = verb_call(context, CLIENT_METHOD("ReadPoison"), parameters, &reply);
	if (reply)
		printf("The poison list%s read; what it says is in 'daxmgrctl poison list'.\n",
		       optind < argc ? " is being" : "s are being");
	return status;
}
