// SPDX-License-Identifier: GPL-2.0-only
/*
 * A self-contained page: the interleaving as a table of columns, a slider through the steps, and
 * beside it the values of all shared objects as they were at that step. Events left out of the text
 * form can be shown.
 */
#include "draw.h"

static const char page_head[] =
	"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>mbfs "
	"schedule</title>"
	"<style>body{font:13px sans-serif;margin:1em}table{border-collapse:collapse}"
	"td,th{padding:1px 12px 1px 4px;text-align:left;font-family:monospace;"
	"border-left:1px solid #ddd;white-space:pre}tr.past{background:#f4f8ff}"
	"tr.now{background:#ffe9a8}tr.minor{display:none}.all "
	"tr.minor{display:table-row;color:#888}"
	"td.n{color:#999}.pre{color:#c0392b}#side{position:fixed;top:1em;right:1em;width:26em;"
	"max-height:90vh;overflow:auto;background:#fff;border:1px solid #ccc;padding:.5em}"
	".verdict{color:#c0392b;font-weight:bold}</style></head><body>\n";

static const char page_script[] =
	"const tb=document.getElementById('rows'),sl=document.getElementById('at'),"
	"st=document.getElementById('state'),rows=[];\n"
	"E.forEach((e,i)=>{const tr=document.createElement('tr');if(!e.s)tr.className='minor';"
	"const c=[document.createElement('td')];c[0].className='n';c[0].textContent=e.i;"
	"for(let k=0;k<T.length;k++){const td=document.createElement('td');if(k===e.c){"
	"td.textContent=(e.p?'! ':'')+'  '.repeat(e.d)+e.l;td.style.color=e.k;"
	"td.title=e.w;}c.push(td);}tr.append(...c);tr.onclick=()=>{sl.value=i;show();};"
	"tb.append(tr);rows.push(tr);});\n"
	"function show(){const at=+sl.value,v=new Map();rows.forEach((r,i)=>{"
	"r.classList.toggle('past',i<at);r.classList.toggle('now',i===at);if(i<=at&&E[i].v!==null)"
	"v.set(E[i].o,E[i].v);});st.textContent=E.length?E[at].w+'\\n\\n'+[...v].map(x=>x[0]+' = '+"
	"x[1]).join('\\n'):'';}\n"
	"sl.max=Math.max(0,E.length-1);sl.oninput=show;"
	"document.getElementById('all').onchange=e=>document.body.classList.toggle('all',"
	"e.target.checked);sl.value=sl.max;show();\n";

static void event_json(FILE *out, const struct ex_drawing *d, uint32_t i)
{
	const struct explore_event *ev = &d->res->events[i];
	char label[DRAW_LABEL_BYTES];

	ex_draw_label(ev, label, sizeof(label));
	fprintf(out, "%s{\"i\":%u,\"s\":%d,\"c\":%u,\"d\":%u,\"p\":%d,\"k\":\"%s\",\"l\":\"",
		i ? ",\n" : "", ev->step, d->shown[i] == 1, d->column[i], ev->depth, ev->preempted,
		ex_draw_colour(ev->kind));
	ex_draw_json(out, label);
	fputs("\",\"o\":\"", out);
	ex_draw_json(out, ev->name ? ev->name : "");
	if (ev->has_value)
		fprintf(out, "\",\"v\":\"%llu\",\"w\":\"", (unsigned long long)ev->value);
	else
		fputs("\",\"v\":null,\"w\":\"", out);
	if (ev->file) {
		char where[200];

		ex_print(where, sizeof(where), "%s:%d %s()", ev->file, ev->line, ev->func);
		ex_draw_json(out, where);
	}
	fputs("\"}", out);
}

int explore_draw_html(FILE *out, const struct explore_result *res)
{
	struct ex_drawing d;
	int err = ex_draw_begin(&d, res, true);

	if (err)
		return err;
	fputs(page_head, out);
	fprintf(out, "<p class=\"verdict\">%s: ", explore_verdict_name(res->verdict));
	ex_draw_xml(out, res->text);
	fputs("</p><p><code>", out);
	ex_draw_xml(out, res->token);
	fputs("</code></p><p><input type=\"range\" id=\"at\" min=\"0\" style=\"width:40em\"> "
	      "<label><input type=\"checkbox\" id=\"all\"> all operations</label></p>"
	      "<table><thead><tr><th>step</th>",
	      out);
	for (unsigned c = 0; c < d.columns; c++) {
		const char *name = res->thread_name[d.thread[c]];

		fputs("<th>", out);
		ex_draw_xml(out, name ? name : "?");
		fputs("</th>", out);
	}
	fputs("</tr></thead><tbody id=\"rows\"></tbody></table>"
	      "<pre id=\"side\"><span id=\"state\"></span></pre>\n<script>const T=[",
	      out);
	for (unsigned c = 0; c < d.columns; c++)
		fprintf(out, "%s%u", c ? "," : "", d.thread[c]);
	fputs("],E=[\n", out);
	for (uint32_t i = 0; i < res->event_nr; i++)
		event_json(out, &d, i);
	fputs("];\n", out);
	fputs(page_script, out);
	fputs("</script></body></html>\n", out);
	ex_draw_end(&d);
	return ex_draw_result(out);
}
