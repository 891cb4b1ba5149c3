/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proves that every field of every recorded event comes out, by whatever layout
 * the kernel has: known ones and unknown ones, and that one that is missing is
 * absent and takes nothing else with it.
 */
#include "../data/trace_files.h"
#include "source/trace_fields.h"
#include "source/trace_pump.h"
#include "source/trace_story.h"
#include "source/trace_symbols.h"

#include <criterion/criterion.h>
#include <systemd/sd-json.h>
#include <unistd.h>

enum { PAGE = 4096, RECORD_ROOM = 2048, TEXT_ROOM = 64 * 1024, ZEROS = 1024 };

static struct trace_formats formats;
static uint8_t page[PAGE + TRACE_PAGE_SLACK_BYTES];
static uint8_t raw[RECORD_ROOM];
static struct trace_record record;
static bool seen;
static char json[TRACE_FIELDS_BYTES];

/* The first record of a page of that event; the others are left out. */
static void on_record(void *userdata, const struct trace_record *from)
{
	if (seen || (userdata && strcmp(userdata, from->name) != 0))
		return;
	cr_assert_leq(from->raw_bytes, sizeof(raw));
	memcpy(raw, from->raw, from->raw_bytes);
	seen = true;
	cr_assert_eq(trace_decode(&formats, raw, from->raw_bytes, &record), TRACE_DECODED);
}

static void on_gap(void *userdata, enum trace_gap gap, uint64_t count)
{
	(void)userdata;
	(void)gap;
	(void)count;
}

static void take(const char *version, const char *name, const char *event)
{
	struct trace_pump pump = {0};
	char path[128];

	memset(&formats, 0, sizeof(formats));
	memset(page, 0, sizeof(page));
	seen = false;
	snprintf(path, sizeof(path), "tests/data/trace/%s", version);
	trace_files_formats(path, &formats);
	snprintf(path, sizeof(path), "tests/data/trace/%s/%s.page", version, name);
	cr_assert_eq(trace_file_read(path, page, PAGE), PAGE);
	cr_assert_eq(trace_pump_init(&pump, &formats, PAGE, on_record, on_gap, (void *)event), 0);
	trace_pump_page(&pump, 1, page, PAGE);
	trace_pump_done(&pump);
	cr_assert(seen, "%s %s", version, name);
}

static sd_json_variant *parse(void)
{
	sd_json_variant *object = NULL;
	size_t n = trace_fields_json(&formats, &record, json, sizeof(json));

	cr_assert_eq(n, strlen(json));
	cr_assert_eq(sd_json_parse(json, 0, &object, NULL, NULL), 0, "%s", json);
	cr_assert(sd_json_variant_is_object(object));
	return object;
}

static uint64_t number(sd_json_variant *object, const char *field)
{
	sd_json_variant *value = sd_json_variant_by_key(object, field);

	cr_assert(value, "%s", field);
	return sd_json_variant_unsigned(value);
}

static const char *text(sd_json_variant *object, const char *field)
{
	sd_json_variant *value = sd_json_variant_by_key(object, field);

	cr_assert(value && sd_json_variant_is_string(value), "%s", field);
	return sd_json_variant_string(value);
}

Test(trace_fields, all_of_a_media_event)
{
	struct trace_story story;
	sd_json_variant *object;

	take("6.12", "general-media", "cxl_general_media");
	object = parse();
	cr_assert_str_eq(text(object, "memdev"), "mem0");
	cr_assert_eq(number(object, "serial"), 0x12);
	cr_assert_eq(number(object, "dpa"), 0x1000);
	cr_assert_eq(number(object, "descriptor"), 3);
	cr_assert_eq(strlen(text(object, "hdr_uuid")), 36);
	cr_assert_eq(strlen(text(object, "comp_id")), 32);
	cr_assert(sd_json_variant_by_key(object, "hdr_timestamp"));
	cr_assert_null(sd_json_variant_by_key(object, "hpa_alias0"), "6.12 does not have it");
	cr_assert_null(sd_json_variant_by_key(object, "fields_left_out"));
	sd_json_variant_unref(object);

	trace_describe(&formats, &record, &story);
	cr_assert_eq(story.severity, TRACE_SEVERITY_FATAL);
	cr_assert_str_eq(story.unit, "mem0");
	cr_assert(story.has_serial && story.serial == 0x12);
	cr_assert(story.is_poison && story.has_dpa && story.dpa == 0x1000 && story.bytes == 64);
	cr_assert_not(story.has_hpa);
	cr_assert(strstr(story.text, "fatal, UNCORRECTABLE_EVENT, THRESHOLD_EVENT"), "%s",
		  story.text);
	cr_assert(strstr(story.text, "dpa 0x1000, hpa not known"), "%s", story.text);
}

Test(trace_fields, poison_of_both_kernels)
{
	const char *const versions[] = {"6.12", "7.2"};

	for (size_t i = 0; i < 2; i++) {
		struct trace_story story;
		sd_json_variant *object;

		take(versions[i], "poison", "cxl_poison");
		object = parse();
		cr_assert_eq(number(object, "dpa_length"), 256);
		cr_assert_eq(number(object, "hpa"), UINT64_MAX);
		cr_assert_eq(strlen(text(object, "uuid")), 36);
		cr_assert_str_eq(text(object, "region"), "");
		sd_json_variant_unref(object);

		trace_describe(&formats, &record, &story);
		cr_assert(story.is_poison && !story.cleared && !story.has_hpa);
		cr_assert(story.has_dpa && story.dpa == 0x2000 && story.bytes == 256);
		cr_assert_eq(story.severity, TRACE_SEVERITY_ERROR);
		cr_assert(strstr(story.text, "listed, dpa 0x2000, bytes 256"), "%s", story.text);
		cr_assert(strstr(story.text, "source Internal"), "%s", story.text);
	}
}

Test(trace_fields, a_fault_of_a_port)
{
	struct trace_story story;
	sd_json_variant *object;

	take("7.2", "surprise-down", "aer_event");
	object = parse();
	cr_assert_str_eq(text(object, "dev_name"), "0000:64:00.0");
	cr_assert_str_eq(text(object, "bus_type"), "CXL");
	cr_assert_eq(sd_json_variant_elements(sd_json_variant_by_key(object, "tlp_header")), 14);
	sd_json_variant_unref(object);
	trace_describe(&formats, &record, &story);
	cr_assert_eq(story.severity, TRACE_SEVERITY_FATAL);
	cr_assert_str_eq(story.unit, "0000:64:00.0");
	cr_assert_str_eq(story.text, "CXL fatal, Surprise Down Error, status 0x20");

	take("7.2", "plug", "pci_hp_event");
	trace_describe(&formats, &record, &story);
	cr_assert_eq(story.severity, TRACE_SEVERITY_INFO);
	cr_assert(strstr(story.text, "card present, slot"), "%s", story.text);
}

/* ---- layouts that no kernel has yet ---- */

static void set_format(const char *system, const char *format_text)
{
	memset(&formats, 0, sizeof(formats));
	cr_assert_eq(trace_formats_add(&formats, system, format_text, strlen(format_text)), 0);
}

static void set_raw(const char *hex, size_t bytes)
{
	uint16_t type = 7;

	memset(raw, 0, sizeof(raw));
	memcpy(raw, &type, sizeof(type));
	memcpy(raw + 8, hex, bytes);
	cr_assert_eq(trace_decode(&formats, raw, (uint32_t)(8 + bytes), &record), TRACE_DECODED);
}

#define HEAD                                                                                       \
	"name: cxl_future\nID: 7\nformat:\n"                                                       \
	"\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n"                     \
	"\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n"
#define END "\nprint fmt: \"%d\", REC->common_pid\n"

Test(trace_fields, shapes_of_all_kinds)
{
	sd_json_variant *object, *list;

	set_format("cxl", HEAD "\tfield:s16 cold;\toffset:8;\tsize:2;\tsigned:1;\n"
			       "\tfield:u16 many[2];\toffset:10;\tsize:4;\tsigned:0;\n"
			       "\tfield:__data_loc u8[] data;\toffset:14;\tsize:4;\tsigned:0;\n"
			       "\tfield:char word[4];\toffset:18;\tsize:4;\tsigned:0;\n"
			       "\tfield:u64 behind;\toffset:400;\tsize:8;\tsigned:0;\n" END);
	set_raw("\xff\xff"
		"\x01\x00\x02\x01"
		"\x16\x00\x03\x00"
		"a\"\xe9\x00",
		14);
	object = parse();
	cr_assert_eq(sd_json_variant_integer(sd_json_variant_by_key(object, "cold")), -1);
	list = sd_json_variant_by_key(object, "many");
	cr_assert_eq(sd_json_variant_elements(list), 2);
	cr_assert_eq(sd_json_variant_unsigned(sd_json_variant_by_index(list, 1)), 0x102);
	cr_assert_str_eq(text(object, "word"), "a\"\xc3\xa9");
	cr_assert_null(sd_json_variant_by_key(object, "behind"), "it lies outside");
	sd_json_variant_unref(object);
	cr_assert_null(strstr(json, "data"), "its bytes lie outside: %s", json);
}

Test(trace_fields, what_is_too_long_is_said)
{
	char small[TRACE_FIELDS_ROOM_MIN + 8];
	sd_json_variant *object = NULL;

	set_format("cxl", HEAD "\tfield:u32 header_log[64];\toffset:8;\tsize:256;\tsigned:0;\n"
			       "\tfield:u8 last;\toffset:264;\tsize:1;\tsigned:0;\n" END);
	set_raw((const char[257]){0}, 257);
	cr_assert_leq(trace_fields_json(&formats, &record, small, sizeof(small)), sizeof(small));
	cr_assert_eq(sd_json_parse(small, 0, &object, NULL, NULL), 0, "%s", small);
	cr_assert_eq(number(object, "fields_left_out"), 1);
	cr_assert_eq(number(object, "last"), 0);
	sd_json_variant_unref(object);
}

Test(trace_fields, words_are_the_kernels_own)
{
	char words[64];
	const struct trace_format *format;

	set_format("cxl",
		   HEAD "\tfield:u8 type;\toffset:8;\tsize:1;\tsigned:0;\n"
			"\tfield:u8 flags;\toffset:9;\tsize:1;\tsigned:0;\n"
			"\nprint fmt: \"%s %s\", __print_symbolic(REC->type, { 0x00, \"None\" }, "
			"{ SOME_ENUM, \"Odd\" }, { 3, \"Third\" }), __print_flags(REC->flags, "
			"\" | \", { ((((1UL))) << (2)), \"PERMANENT\" }, { 0x10, \"HOT\" } )\n");
	format = &formats.formats[0];
	cr_assert_str_eq(trace_symbol_of(&formats, format, "type", 0), "None");
	cr_assert_str_eq(trace_symbol_of(&formats, format, "type", 3), "Third");
	cr_assert_null(trace_symbol_of(&formats, format, "type", 4));
	cr_assert_gt(trace_symbols_of_bits(&formats, format, "flags", 0x14, words, sizeof(words)),
		     0);
	cr_assert_str_eq(words, "PERMANENT, HOT");
	cr_assert_eq(trace_symbols_of_bits(&formats, format, "flags", 0x14, words, 6), 0);
}

/* ---- each field dropped in turn ---- */

static size_t drop_line(const char *from, size_t bytes, const char *line, size_t line_bytes,
			char *to)
{
	size_t before = (size_t)(line - from);

	memcpy(to, from, before);
	memcpy(to + before, line + line_bytes, bytes - before - line_bytes);
	return bytes - line_bytes;
}

static void field_name(const char *line, size_t bytes, char name[TRACE_FIELD_NAME_BYTES])
{
	const char *end = memchr(line, ';', bytes), *at = end;
	const char *bracket;

	while (at > line && at[-1] != ' ')
		at--;
	snprintf(name, TRACE_FIELD_NAME_BYTES, "%.*s", (int)(end - at), at);
	bracket = strchr(name, '[');
	if (bracket)
		name[bracket - name] = '\0';
}

/* Dynamic ones are empty texts behind all else. */
static void set_texts(const struct trace_format *format)
{
	uint32_t location = (ZEROS - 1) | 1u << 16;

	for (uint32_t i = 0; i < format->n_layouts; i++) {
		const struct trace_layout *layout = &formats.layouts[format->layouts + i];

		if (layout->is_dynamic)
			memcpy(raw + layout->offset, &location, sizeof(location));
	}
}

/* A record of that event: a recorded one if there is one, else of zeros. */
static uint32_t find_record(const char *version, const char *event)
{
	static const char *const pages[][2] = {
		{"general-media", "cxl_general_media"},
		{"poison", "cxl_poison"},
		{"surprise-down", "aer_event"},
		{"plug", "pci_hp_event"},
	};
	uint16_t type;

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		char path[128];

		snprintf(path, sizeof(path), "tests/data/trace/%s/%s.page", version, pages[i][0]);
		if (!strcmp(pages[i][1], event) && access(path, F_OK) == 0) {
			take(version, pages[i][0], event);
			return record.raw_bytes;
		}
	}
	memset(&formats, 0, sizeof(formats));
	trace_files_formats(version[0] == '6' ? "tests/data/trace/6.12" : "tests/data/trace/7.2",
			    &formats);
	memset(raw, 0, sizeof(raw));
	for (uint32_t i = 0; i < formats.n; i++) {
		const struct trace_format *format = &formats.formats[i];

		if (strcmp(format->name, event) != 0)
			continue;
		type = (uint16_t)format->type;
		memcpy(raw, &type, sizeof(type));
		set_texts(format);
	}
	return ZEROS;
}

static void drop_each(const char *version, const char *system, const char *event, const char *full,
		      size_t bytes)
{
	static char without[TEXT_ROOM];
	uint32_t raw_bytes = find_record(version, event);
	const char *line = strstr(full, "\n\n") + 2;
	struct trace_story story;
	unsigned int all = 0, n = 0;

	for (const char *at = line; *at == '\t'; at = strchr(at, '\n') + 1)
		all++;
	for (; *line == '\t'; line = strchr(line, '\n') + 1) {
		size_t line_bytes = (size_t)(strchr(line, '\n') + 1 - line);
		size_t n_bytes = drop_line(full, bytes, line, line_bytes, without);
		char name[TRACE_FIELD_NAME_BYTES];
		sd_json_variant *object;

		field_name(line, line_bytes, name);
		memset(&formats, 0, sizeof(formats));
		cr_assert_eq(trace_formats_add(&formats, system, without, n_bytes), 0);
		cr_assert_eq(trace_decode(&formats, raw, raw_bytes, &record), TRACE_DECODED,
			     "%s %s without %s", version, event, name);
		object = parse();
		cr_assert_null(sd_json_variant_by_key(object, name), "%s", name);
		cr_assert_eq(sd_json_variant_elements(object) / 2, all - 1, "%s %s without %s: %s",
			     version, event, name, json);
		sd_json_variant_unref(object);
		trace_describe(&formats, &record, &story);
		cr_assert_neq(trace_likeness(&formats, &record), 0);
		n++;
	}
	cr_assert_gt(n, 2, "%s %s", version, event);
}

static void drop_all(const char *version)
{
	static char full[TEXT_ROOM];
	char directory[64], path[PATH_MAX], system[TRACE_NAME_BYTES];
	DIR *files;
	struct dirent *entry;

	snprintf(directory, sizeof(directory), "tests/data/trace/%s", version);
	files = opendir(directory);
	cr_assert(files);
	while ((entry = readdir(files))) {
		size_t n = strcspn(entry->d_name, "-"), bytes;
		char *event = entry->d_name + n + 1, *end = strstr(entry->d_name, ".format");

		if (!end)
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		bytes = trace_file_read(path, full, sizeof(full) - 1);
		full[bytes] = '\0';
		snprintf(system, sizeof(system), "%.*s", (int)n, entry->d_name);
		*end = '\0';
		drop_each(version, system, event, full, bytes);
	}
	closedir(files);
}

Test(trace_fields, each_field_may_be_missing_on_6_12)
{
	drop_all("6.12");
}

Test(trace_fields, each_field_may_be_missing_on_7_2)
{
	drop_all("7.2");
}

/* ---- likeness ---- */

static size_t offset_of(const char *field)
{
	struct trace_value value;

	cr_assert(trace_value_of(&formats, &record, field, &value));
	return (size_t)(value.at - raw);
}

Test(trace_fields, alike_is_what_differs_in_nothing_but_time)
{
	const char *const passing[] = {"hdr_timestamp", "hdr_handle", "hdr_related_handle"};
	const char *const own[] = {"dpa", "descriptor", "serial", "memdev", "comp_id"};
	uint64_t before;

	take("6.12", "general-media", "cxl_general_media");
	before = trace_likeness(&formats, &record);
	for (size_t i = 0; i < 3; i++) {
		raw[offset_of(passing[i])] ^= 1;
		cr_assert_eq(trace_likeness(&formats, &record), before, "%s", passing[i]);
	}
	raw[4] ^= 1; /* common_pid */
	cr_assert_eq(trace_likeness(&formats, &record), before);
	for (size_t i = 0; i < 5; i++) {
		size_t at = offset_of(own[i]);

		raw[at] ^= 1;
		cr_assert_neq(trace_likeness(&formats, &record), before, "%s", own[i]);
		raw[at] ^= 1;
	}
	cr_assert_eq(trace_likeness(&formats, &record), before);
}

Test(trace_fields, a_machine_check_names_memory)
{
	static char full[TEXT_ROOM];
	struct trace_story story;
	uint64_t status = UINT64_C(0xbd80000000000134), address = 0x12345678, misc = 0x8c;
	size_t n = trace_file_read("tests/data/trace/7.2/mce-mce_record.format", full,
				   sizeof(full) - 1);
	uint16_t type;

	full[n] = '\0';
	set_format("mce", full);
	memset(raw, 0, sizeof(raw));
	type = (uint16_t)formats.formats[0].type;
	memcpy(raw, &type, sizeof(type));
	memcpy(raw + 24, &status, sizeof(status));
	memcpy(raw + 32, &address, sizeof(address));
	memcpy(raw + 40, &misc, sizeof(misc));
	cr_assert_eq(trace_decode(&formats, raw, 128, &record), TRACE_DECODED);
	trace_describe(&formats, &record, &story);
	cr_assert(story.is_poison && story.has_hpa && !story.has_dpa);
	cr_assert_eq(story.bytes, 4096);
	cr_assert_eq(story.hpa, 0x12345000);
	cr_assert_eq(story.severity, TRACE_SEVERITY_ERROR);

	raw[114] = 2; /* AMD: it may be an address of the controller's */
	cr_assert_eq(trace_decode(&formats, raw, 128, &record), TRACE_DECODED);
	trace_describe(&formats, &record, &story);
	cr_assert_not(story.is_poison);
	raw[114] = 0;
	raw[24 + 7] = 0x9c; /* corrected */
	cr_assert_eq(trace_decode(&formats, raw, 128, &record), TRACE_DECODED);
	trace_describe(&formats, &record, &story);
	cr_assert_not(story.is_poison);
	cr_assert_eq(story.severity, TRACE_SEVERITY_WARNING);
}

Test(trace_fields, a_failed_page_names_memory)
{
	static char full[TEXT_ROOM];
	struct trace_story story;
	size_t n = trace_file_read("tests/data/trace/6.12/ras-memory_failure_event.format", full,
				   sizeof(full) - 1);
	uint64_t pfn = 0x4242;
	uint32_t dax = 17, recovered = 3;
	uint16_t type;

	full[n] = '\0';
	set_format("ras", full);
	memset(raw, 0, sizeof(raw));
	type = (uint16_t)formats.formats[0].type;
	memcpy(raw, &type, sizeof(type));
	memcpy(raw + 8, &pfn, sizeof(pfn));
	memcpy(raw + 16, &dax, sizeof(dax));
	memcpy(raw + 20, &recovered, sizeof(recovered));
	cr_assert_eq(trace_decode(&formats, raw, 24, &record), TRACE_DECODED);
	trace_describe(&formats, &record, &story);
	cr_assert(story.is_poison && story.has_hpa);
	cr_assert_eq(story.hpa, 0x4242000);
	cr_assert_eq(story.bytes, 4096);
	cr_assert(strstr(story.text, "pfn 0x4242, "), "%s", story.text);
	cr_assert(strstr(story.text, "Recovered"), "%s", story.text);
}
