// SPDX-License-Identifier: GPL-2.0-only
/*
 * A self-contained page: the interleaving as a table of columns, a slider through the steps, and
 * beside it the scenario's values as they were after that step. The rows are written out here, so
 * that the page reads and prints without its script; the script (draw_page.c) adds stepping, the
 * values and the arrows. By default only what matters is shown.
 */
#include "draw.h"

#include <string.h>

enum { PAGE_LINES = 60, WHERE_MAX = 24 };

static void put_text(FILE *out, const char *open, const char *text, const char *close)
{
	fputs(open, out);
	ex_draw_xml(out, text);
	fputs(close, out);
}

static void put_colours(FILE *out)
{
	fputs("<style>:root{", out);
	for (unsigned c = 0; c < DRAW_CLASSES; c++)
		fprintf(out, "--%s:%s;", ex_draw_classes[c].id, ex_draw_classes[c].light);
	fputs("}@media (prefers-color-scheme:dark){:root{", out);
	for (unsigned c = 0; c < DRAW_CLASSES; c++)
		fprintf(out, "--%s:%s;", ex_draw_classes[c].id, ex_draw_classes[c].dark);
	/* paper is white */
	fputs("}}@media print{:root{", out);
	for (unsigned c = 0; c < DRAW_CLASSES; c++)
		fprintf(out, "--%s:%s;", ex_draw_classes[c].id, ex_draw_classes[c].light);
	fputs("}}", out);
	for (unsigned c = 0; c < DRAW_CLASSES; c++)
		fprintf(out, ".k-%s{color:var(--%s)}", ex_draw_classes[c].id,
			ex_draw_classes[c].id);
	fputs("</style>", out);
}

static void put_head(FILE *out, const struct ex_drawing *d)
{
	const struct explore_result *res = d->res;

	fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
	      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
	      "<meta name=\"color-scheme\" content=\"light dark\"><title>",
	      out);
	put_text(out, "", explore_verdict_name(res->verdict), " - mbfs schedule</title>\n<style>");
	fputs(ex_page_style, out);
	fputs("</style>", out);
	put_colours(out);
	put_text(out, "</head>\n<body><header><h1>", explore_verdict_name(res->verdict), "</h1>");
	put_text(out, "<p class=\"what\">", res->text, "</p>");
	put_text(
		out, "<p class=\"token\">repeat it: <code>mbfs-race replay ", res->token,
		"</code></p></header>\n"
		"<div id=\"bar\"><div class=\"steps\">"
		"<button id=\"back\" title=\"one step back (left arrow)\" aria-label=\"step back\">"
		"&#9664;</button>"
		"<input type=\"range\" id=\"at\" min=\"0\" value=\"0\" aria-label=\"step\">"
		"<button id=\"on\" title=\"one step on (right arrow)\" aria-label=\"step on\">"
		"&#9654;</button></div>"
		"<fieldset><label><input type=\"radio\" name=\"rows\" id=\"some\" checked> only "
		"what "
		"matters</label> <label><input type=\"radio\" name=\"rows\" id=\"all\"> all steps"
		"</label></fieldset><p class=\"keys\"><kbd>&larr;</kbd> <kbd>&rarr;</kbd> step, "
		"<kbd>a</kbd> all steps</p></div>\n");
}

/* What the source lines take: 8 a character and the cell's rim. */
static unsigned source_px(const struct ex_drawing *d)
{
	unsigned widest = 6;

	for (uint32_t i = 0; i < d->event_nr; i++) {
		const struct explore_event *ev = &d->res->events[i];
		const char *base = ev->file ? strrchr(ev->file, '/') : NULL;
		char text[WHERE_MAX + 2];
		unsigned n;

		if (!ev->file)
			continue;
		n = (unsigned)ex_print(text, sizeof(text), "%s:%d", base ? base + 1 : ev->file,
				       ev->line);
		widest = n > widest ? n : widest;
	}
	return (widest < WHERE_MAX ? widest : WHERE_MAX) * 8 + 12;
}

static void put_heads_of_columns(FILE *out, const struct ex_drawing *d)
{
	const struct explore_result *res = d->res;

	fprintf(out,
		"<main><div id=\"trace\"%s><svg id=\"arrows\" aria-hidden=\"true\"></svg><table>"
		"<colgroup><col class=\"n\"><col span=\"%u\"><col class=\"w\" "
		"style=\"width:%upx\">",
		d->columns > 2 ? " class=\"many\"" : "", d->columns ? d->columns : 1, source_px(d));
	if (d->briefs)
		fprintf(out, "<col class=\"b\" span=\"%u\">", d->briefs);
	fputs("</colgroup><thead><tr><th scope=\"col\" class=\"n\">step</th>", out);
	for (unsigned c = 0; c < d->columns; c++) {
		const char *name = res->thread_name[d->thread[c]];

		put_text(out, "<th scope=\"col\">", name ? name : "?", "");
		if (d->thread[c] != EX_RCU)
			fprintf(out, " <small>cpu%u</small>", d->thread[c] - EX_FIRST);
		fputs("</th>", out);
	}
	fputs("<th scope=\"col\" class=\"w\">source</th>", out);
	for (unsigned b = 0; b < d->briefs; b++) {
		put_text(out, "<th scope=\"col\" class=\"b\" title=\"",
			 res->values[d->brief[b]].name, "\">");
		put_text(out, "", res->values[d->brief[b]].brief, "</th>");
	}
	fputs("</tr></thead>\n<tbody id=\"rows\">\n", out);
}

/* Lines break at blanks, not in an arrow. */
static void put_label(FILE *out, char *text)
{
	for (char *arrow; (arrow = strstr(text, "->")); text = arrow + 2) {
		*arrow = '\0';
		ex_draw_xml(out, text);
		fputs("<span class=\"nb\">-&gt;</span>", out);
	}
	ex_draw_xml(out, text);
}

static void put_cell(FILE *out, const struct ex_drawing *d, uint32_t i)
{
	const struct explore_event *ev = &d->res->events[i];
	unsigned depth = ev->depth < 8 ? ev->depth : 8;
	char text[DRAW_LABEL_BYTES];

	/* indented by what all steps show: there every section is seen */
	if (depth > 0 && (ex_draw_leaves(ev->kind) || ev->kind == EX_RCU_UNLOCK))
		depth--;
	fprintf(out, "<td class=\"k-%s\" style=\"--d:%u\">",
		ex_draw_classes[ex_draw_class(ev->kind)].id, depth);
	if (d->row[i].cut)
		fputs("<b class=\"cut\" title=\"the thread before was preempted\">!</b> ", out);
	ex_draw_label(d, i, text, sizeof(text));
	put_label(out, text);
	if (d->row[i].times > 1)
		fprintf(out, " <i class=\"times\">%u times</i>", d->row[i].times);
	if (ex_draw_moves(d->res, i, text, sizeof(text)))
		put_text(out, " <span class=\"moves\">", text, "</span>");
	fputs("</td>", out);
}

static void put_row(FILE *out, const struct ex_drawing *d, uint32_t i, struct ex_state *st)
{
	const struct explore_event *ev = &d->res->events[i];
	const char *base = ev->file ? strrchr(ev->file, '/') : NULL;

	ex_state_go(d, st, i + 1);
	fprintf(out, "<tr id=\"e%u\"%s><td class=\"n\">%u</td>", i,
		d->row[i].shown && d->row[i].times ? "" : " class=\"m\"", ev->step);
	for (unsigned c = 0; c < d->columns; c++) {
		if (c == d->row[i].column)
			put_cell(out, d, i);
		else
			fputs("<td></td>", out);
	}
	fputs("<td class=\"w\"", out);
	if (ev->file) {
		fprintf(out, " title=\"%s:%d %s()\"", ev->file, ev->line, ev->func);
		fprintf(out, ">%s:%d", base ? base + 1 : ev->file, ev->line);
	} else {
		fputc('>', out);
	}
	fputs("</td>", out);
	for (unsigned b = 0; b < d->briefs; b++) {
		const struct explore_change *c = st->now[d->brief[b]];

		put_text(out, c && c->after == i + 1 ? "<td class=\"b ch\">" : "<td class=\"b\">",
			 c ? c->text : "", "</td>");
	}
	fputs("</tr>\n", out);
}

static void put_rows(FILE *out, const struct ex_drawing *d)
{
	struct ex_state st = { .at = 0 };

	for (uint32_t i = 0; i < d->event_nr; i++) {
		if (d->cycle_len && i == d->cycle_from)
			fprintf(out,
				"<tr class=\"say\"><td class=\"n\"></td><td colspan=\"%u\">from "
				"here "
				"again and again: %u steps a round, %u rounds</td></tr>\n",
				d->columns, d->cycle_len, d->cycle_times);
		if (d->row[i].column != DRAW_NO_COLUMN)
			put_row(out, d, i, &st);
	}
	put_text(out, "</tbody></table>\n<p class=\"what end\">&rArr; ", d->res->text, "</p>\n");
}

static void put_legend(FILE *out)
{
	fputs("<ul class=\"legend\">", out);
	for (unsigned c = 0; c < DRAW_CLASSES; c++)
		fprintf(out, "<li class=\"k-%s\">%s</li>", ex_draw_classes[c].id,
			ex_draw_classes[c].what);
	fputs("<li><b class=\"cut\">!</b> the thread before was preempted</li>"
	      "<li><span class=\"moves\">so</span> what changed in words</li>"
	      "<li>&#8628; a lock or a callback passed on, or waited for</li></ul></div>\n",
	      out);
}

static void put_side(FILE *out, const struct ex_drawing *d)
{
	fputs("<aside><section><h2>This step</h2><div id=\"step\" aria-live=\"polite\"></div>"
	      "</section><section><h2>State after it</h2><table "
	      "id=\"state\"><tbody></tbody></table>"
	      "</section><section><details><summary>Objects, as last seen</summary>"
	      "<table id=\"objects\"><tbody></tbody></table></details></section>",
	      out);
	if (d->res->detail[0])
		put_text(out,
			 "<section><details open><summary>Where the threads stand in the "
			 "end</summary><pre>",
			 d->res->detail, "</pre></details></section>");
	fputs("</aside></main>\n", out);
}

static void put_json_text(FILE *out, const char *text)
{
	fputc('"', out);
	ex_draw_json(out, text);
	fputc('"', out);
}

/* E: each event [thread, enabled, source, object, value, from]; V: names; S: changes. */
static void put_data(FILE *out, const struct ex_drawing *d)
{
	const struct explore_result *res = d->res;
	char text[300];

	fputs("<script>\nconst T=[", out);
	for (unsigned i = 0; i < res->thread_nr; i++) {
		fputs(i ? "," : "", out);
		put_json_text(out, res->thread_name[i] ? res->thread_name[i] : "");
	}
	fputs("],E=[\n", out);
	for (uint32_t i = 0; i < d->event_nr; i++) {
		const struct explore_event *ev = &res->events[i];

		fprintf(out, "%s[%u,%u,", i ? ",\n" : "", ev->thread, ev->enabled);
		text[0] = '\0';
		if (ev->file)
			ex_print(text, sizeof(text), "%s:%d %s()", ev->file, ev->line, ev->func);
		put_json_text(out, text);
		fputc(',', out);
		put_json_text(out, d->row[i].name ? d->row[i].name : "");
		if (ev->has_value)
			fprintf(out, ",\"%llu\"", (unsigned long long)ev->value);
		else
			fputs(",null", out);
		fprintf(out, ",%d]", (int)d->row[i].from - 1);
	}
	fputs("],V=[", out);
	for (uint32_t v = 0; v < res->value_nr; v++) {
		fputs(v ? "," : "", out);
		put_json_text(out, res->values[v].name);
	}
	fputs("],S=[\n", out);
	for (uint32_t c = 0; c < res->change_nr && res->changes[c].after <= d->event_nr; c++) {
		fprintf(out, "%s[%u,%u,", c ? ",\n" : "", res->changes[c].after,
			res->changes[c].value);
		if (res->changes[c].text)
			put_json_text(out, res->changes[c].text);
		else
			fputs("null", out);
		fputc(']', out);
	}
	fputs("];\n", out);
}

int explore_draw_html(FILE *out, const struct explore_result *res)
{
	struct ex_drawing d;
	int err = ex_draw_begin(&d, res, PAGE_LINES);

	if (err)
		return err;
	d.short_names = true;
	put_head(out, &d);
	put_heads_of_columns(out, &d);
	put_rows(out, &d);
	put_legend(out);
	put_side(out, &d);
	put_data(out, &d);
	fputs(ex_page_script, out);
	fputs("</script></body></html>\n", out);
	ex_draw_end(&d);
	return ex_draw_result(out);
}
