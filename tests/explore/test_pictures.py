#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""test_pictures.py BIN_DIR TEST_PICTURES - the pictures of failures are whole and fit to be read

Goal: what mbfs-race draws can be pasted into a commit message, opened in a browser without a network,
      and loaded by Perfetto; names cannot break it; colours can be told from their ground.
Method: pictures of every variant that loses in each scenario of mbfs-race, and of all failing toys of
      the explorer (test_pictures DIR): lines and columns are counted, HTML and SVG parsed, each flow
      of the trace has both ends and slices nest, contrast is computed. With chromium the page is also
      run: keys, the slider, "all steps", and that nothing runs over its box.
"""
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

SCENARIOS = ["enospc", "enospc-3", "enospc-discard", "enospc-discard-3", "enospc-busy", "enospc-busy-3"]
LOSERS = ["pre-5.8", "bb-free", "rfc-2020", "5.17", "6.0"]
# in some only; whether the last is found within the budget depends on the draw
MORE = [("enospc-discard", "5.10", True), ("enospc-discard-3", "5.10", True),
        ("enospc-discard", "5.8", False), ("enospc-locked", "5.17", True), ("enospc-cap", "6.0", True)]
# a file waits for what the writer holds back, and the writer spins
LIVELOCKS = [("enospc-abba", "5.10"), ("enospc-abba-discard", "5.8")]
LINES, COLUMNS = 25, 100
SVG_NS = "{http://www.w3.org/2000/svg}"
problems = []


def bad(where, what):
    problems.append(f"{where}: {what}")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def is_stacks(line):
    """Of the lines below a diagram that say where threads stand."""
    return re.match(r"wait-for cycle|\S+ (waits|goes on with):|    (holds|in) ", line) is not None


def check_text(where, text):
    lines = [x for x in text.rstrip("\n").split("\n") if not is_stacks(x)]
    if len(lines) > LINES:
        bad(where, f"{len(lines)} lines, at most {LINES}")
    verdict = [i for i, x in enumerate(lines) if x.startswith("=> ")]
    if len(verdict) != 1:
        bad(where, f"{len(verdict)} verdicts")
        return
    if "--" not in lines[1] or verdict[0] < 3 and "leak" not in lines[verdict[0]]:
        bad(where, "no head, or nothing between it and the verdict")
    for x in lines:
        if len(x) > COLUMNS:
            bad(where, f"{len(x)} columns: {x}")
        if x != x.rstrip():
            bad(where, f"blanks at the end of: {x}")


class Page(html.parser.HTMLParser):
    VOID = {"meta", "input", "col", "br"}

    def __init__(self, where):
        super().__init__()
        self.where, self.open, self.rows, self.ids, self.scripts = where, [], 0, [], 0
        self.headings, self.labelled = 0, True

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        for name in ("src", "href", "data", "action", "srcset", "poster"):
            if name in attrs:
                bad(self.where, f"<{tag} {name}={attrs[name]}>: a reference to elsewhere")
        if any(name.startswith("on") for name in attrs):
            bad(self.where, f"<{tag}> has a handler of its own")
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag == "input" and attrs.get("type") == "range" and "aria-label" not in attrs:
            bad(self.where, "the slider has no name")
        self.rows += tag == "tr"
        self.scripts += tag == "script"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            bad(self.where, f"</{tag}> closes nothing")


def check_html(where, text, names=()):
    page = Page(where)
    page.feed(text)
    page.close()
    if page.open:
        bad(where, f"left open: {page.open}")
    if len(page.ids) != len(set(page.ids)):
        bad(where, "an id is there twice")
    if page.scripts != 1:
        bad(where, f"{page.scripts} scripts")
    for need in ("at", "all", "some", "rows", "state", "step", "arrows"):
        if need not in page.ids:
            bad(where, f"no #{need}")
    if re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\((?!#)", text):
        bad(where, "a reference to elsewhere")
    if not all(x in text for x in ("prefers-color-scheme:dark", "@media print", 'lang="en"')):
        bad(where, "no dark, printed or language form")
    for data, name in re.findall(r"(const T=|,E=|,V=|,S=)(\[.*?\])(?=,E=|,V=|,S=|;\n)", text, re.S):
        try:
            json.loads(name)
        except ValueError as err:
            bad(where, f"{data}: {err}")
    for name in names:
        if name in re.sub(r"<style>.*?</style>", "", text, flags=re.S):
            bad(where, f"{name} is not escaped")


def luminance(colour):
    parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a, b):
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def wide(colour):
    return colour if len(colour) == 7 else "#" + "".join(c + c for c in colour[1:])


def check_contrast(where, text):
    """Words against each ground they may stand on, light and dark."""
    schemes = re.findall(r":root\{([^}]*)\}", text)
    light = dict(re.findall(r"--([a-z]+):(#[0-9a-f]+)", schemes[0] + schemes[3]))
    dark = {**light, **dict(re.findall(r"--([a-z]+):(#[0-9a-f]+)", schemes[1] + schemes[4]))}
    words = ["fg", "dim", "bad", "lock", "unlock", "read", "write", "rcu", "other"]
    for scheme, c in (("light", light), ("dark", dark)):
        for word in words:
            for ground in ("bg", "past", "now", "bar"):
                ratio = contrast(wide(c[word]), wide(c[ground]))
                if ratio < 4.5:
                    bad(where, f"{scheme}: {word} on {ground} has a contrast of {ratio:.2f}")
        if contrast(wide(c["fg"]), wide(c["ch"])) < 4.5:
            bad(where, f"{scheme}: changed values")


def check_svg(where, text):
    root = ET.fromstring(text)
    width, height = (float(x) for x in root.get("viewBox").split()[2:])
    if root.tag != SVG_NS + "svg" or not root.findtext(SVG_NS + "title"):
        bad(where, "no <svg> with a title")
    words = [e.text or "" for e in root.iter(SVG_NS + "text")]
    for need in ("takes a lock", "reads", "preempts the other", "step", "source"):
        if need not in words:
            bad(where, f"no '{need}' in legend or head")
    if re.search(r"https?://(?!www\.w3\.org/2000/svg)|href|<script|@import", text):
        bad(where, "a reference to elsewhere")
    rows = {}
    for e in root.iter(SVG_NS + "text"):
        x, y, shown = float(e.get("x")), float(e.get("y")), e.text or ""
        end = "r" in e.get("class", "").split()
        left, right = (x - 7.3 * len(shown), x) if end else (x, x + 7.3 * len(shown))
        if right > width + 1 or y > height or left < 0:
            bad(where, f"outside of the picture: {shown}")
        rows.setdefault(y, []).append((left, right, shown))
    for row in rows.values():
        row.sort()
        for a, b in zip(row, row[1:]):
            if a[1] > b[0] + 1:
                bad(where, f"'{a[2]}' runs into '{b[2]}'")


def check_nesting(where, slices):
    """Slices of one thread: each ends before the next begins, or holds it."""
    slices.sort(key=lambda s: (s[0], -s[1]))
    outer = []
    for begin, end in slices:
        while outer and outer[-1] <= begin:
            outer.pop()
        if outer and end > outer[-1]:
            bad(where, f"slices overlap at {begin}")
        outer.append(end)


def check_trace(where, text):
    events = json.loads(text)["traceEvents"]
    flows, spans, slices = {}, {}, {}
    for e in events:
        if e["ph"] in "sf":
            flows.setdefault(e["id"], []).append((e["ph"], e["ts"], e["tid"]))
        elif e["ph"] in "be":
            spans.setdefault((e["cat"], e["id"]), []).append((e["ph"], e["ts"]))
        elif e["ph"] == "X":
            slices.setdefault(e["tid"], []).append((e["ts"], e["ts"] + e["dur"]))
        elif e["ph"] == "C" and not isinstance(e["args"]["value"], int):
            bad(where, f"a counter that does not count: {e}")
    for pair in flows.values():
        kinds = [p[0] for p in pair]
        if kinds != ["s", "f"] or pair[0][1] >= pair[1][1] or pair[0][2] == pair[1][2]:
            bad(where, f"a flow without two ends in two threads: {pair}")
        for _, ts, tid in pair:
            if not any(a <= ts <= b for a, b in slices.get(tid, [])):
                bad(where, f"a flow at {ts} that no slice holds")
    for pair in spans.values():
        if [p[0] for p in pair] != ["b", "e"] or pair[0][1] > pair[1][1]:
            bad(where, f"a span without two ends: {pair}")
    for tid, of_thread in slices.items():
        check_nesting(f"{where}, thread {tid}", of_thread)
    if sum(e["ph"] == "i" for e in events) != 1:
        bad(where, "no verdict")
    return events


def check_all(where, stem, names=()):
    check_text(where + ", columns", read(stem + ".txt"))
    text = read(stem + ".html")
    check_html(where + ", page", text, names)
    check_contrast(where + ", page", text)
    check_svg(where + ", svg", read(stem + ".svg"))
    return check_trace(where + ", trace", read(stem + ".json"))


def race(bin_dir, tmp, scenario, variant, must=True):
    stem = f"{tmp}/{scenario}-{variant}"
    run = subprocess.run(
        [f"{bin_dir}/mbfs-explore", "run", scenario, "--variant", variant, "--explore", "portfolio",
         "--trace", stem + ".json", "--svg", stem + ".svg", "--html", stem + ".html"],
        stdout=subprocess.PIPE, timeout=120, check=False, text=True)
    if run.returncode == 3 and not must:
        return None
    if run.returncode != 10:
        bad(f"{scenario} {variant}", f"exit status {run.returncode}: nothing found")
        return None
    with open(stem + ".txt", "w", encoding="utf-8") as f:
        f.write(run.stdout.split("\n\n", 1)[1].rstrip("\n") + "\n")
    return stem


def check_race(where, stem):
    """What the scenario's observer tells must add up, and be in all pictures."""
    events = check_all(where, stem)
    last = {}
    for e in sorted((e for e in events if e["ph"] == "C"), key=lambda e: e["ts"]):
        last[e["name"]] = e["args"]["value"]
    blocks = [last.get(f"group 0: {x}") for x in
              ("free on disk", "free in the buddy", "free in PAs on its list", "free, on the way")]
    if None in blocks or blocks[0] != sum(blocks[1:]) or blocks[0] == 0:
        bad(where, f"free blocks do not add up, or are none: {blocks}")
    text = read(stem + ".txt")
    if not re.search(r"^=> false ENOSPC for [ABC]: ", text, re.M) or "{pa#1: " not in text:
        bad(where, "no PA in the columns, or not the domain's verdict")
    told = re.search(r"free blocks: (\d+), of them (\d+) in the buddy, (\d+) in \d+ PAs? "
                     r"\(\d+ deleted\), (\d+)", text.replace("\n   ", " "))
    if not told or [int(x) for x in told.groups()] != blocks:
        bad(where, f"the verdict's blocks are not the counters': {blocks}")


PAGE_TEST = """
<script>
const out=[],say=(what,ok)=>out.push((ok?'ok ':'NOT ')+what);
const key=(k,t)=>(t||document.body).dispatchEvent(new KeyboardEvent('keydown',{key:k,bubbles:true}));
const now=()=>document.querySelectorAll('tr.now').length===1?document.querySelector('tr.now').id:'';
const first=now();
say('a row is current',first!=='');
key('ArrowRight');say('right steps on',now()!==first);
key('ArrowLeft');say('left steps back',now()===first);
const some=document.querySelectorAll('#rows tr:not(.m):not(.say)').length;
say('the slider knows the rows',+at.max===some-1);
at.value=at.max;at.dispatchEvent(new Event('input'));
say('the slider goes to the end',now()===[...document.querySelectorAll('#rows tr:not(.m):not(.say)')].pop().id);
const end=stateAt(E.length);
say('values are the last ones',[...document.querySelectorAll('#state tr')].filter(r=>!r.textContent.endsWith('gone')&&r.cells.length>1).length===end.filter(x=>x!==null).length);
key('a');say('all steps',document.body.classList.contains('all')&&+at.max>=some-1&&rows.filter(r=>r&&r.getClientRects().length).length===rows.filter(r=>r).length);
key('a');say('and back',!document.body.classList.contains('all')&&+at.max===some-1);
document.querySelector('#rows tr:not(.m):not(.say)').click();say('a click goes there',now()===first);
say('nothing wider than the window',document.documentElement.scrollWidth<=innerWidth);
say('no cell runs over',[...document.querySelectorAll('td,th')].every(c=>c.scrollWidth<=c.clientWidth+1||getComputedStyle(c).textOverflow==='ellipsis'));
const hidden=()=>{const r=document.querySelector('tr.now').getBoundingClientRect(),a=document.querySelector('aside');
return r.top<document.querySelector('thead th').getBoundingClientRect().bottom-1||r.bottom>(getComputedStyle(a).position==='fixed'?a.getBoundingClientRect().top:innerHeight)+1;};
key('a');go(seen.length>>1,true);say('a row in the middle is in sight',!hidden());
go(0,true);say('the first is in sight',!hidden());go(seen.length-1,true);say('the last is in sight',!hidden());
key('a');scrollTo(0,1e6);say('the bar stays',document.getElementById('bar').getBoundingClientRect().top>=-1);
const pair=seen.filter(i=>E[i][5]>=0&&seen.includes(E[i][5])).length;
say('arrows are drawn',document.querySelectorAll('#arrows>path').length===pair);
document.body.innerHTML='';document.body.append('RESULT\\n'+out.join('\\n')+'\\nEND');
</script></body>"""


def check_in_browser(chromium, tmp, stem, width):
    page = f"{tmp}/page.html"
    with open(page, "w", encoding="utf-8") as f:
        f.write(read(stem + ".html").replace("</body>", PAGE_TEST))
    run = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp}/chromium",
         f"--window-size={width},900", "--dump-dom", "file://" + page],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=120, check=False, text=True)
    said = re.search(r"RESULT\n(.*)\nEND", run.stdout, re.S)
    where = f"{os.path.basename(stem)} in chromium, {width} px"
    if not said or "NOT" in said.group(1):
        bad(where, said.group(1) if said else f"the page's script broke: {run.stdout[-300:]}")


def main():
    if len(sys.argv) != 3:
        print(__doc__.split("\n")[0], file=sys.stderr)
        return 2
    bin_dir, test_pictures = sys.argv[1:]
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    tmp = tempfile.mkdtemp()
    seen = 0
    try:
        subprocess.run([test_pictures, tmp], check=True, timeout=120)
        for name in sorted(x[:-4] for x in os.listdir(tmp) if x.endswith(".txt")):
            hostile = ["<b>", "<i>", "<A>", "B</script>"] if name == "shelf" else []
            check_all(name, f"{tmp}/{name}", hostile)
            seen += 1
        for scenario, variant, must in [(s, v, True) for s in SCENARIOS for v in LOSERS] + MORE:
            stem = race(bin_dir, tmp, scenario, variant, must)
            if stem:
                check_race(f"{scenario} {variant}", stem)
                seen += 1
        for scenario, variant in LIVELOCKS:
            stem = race(bin_dir, tmp, scenario, variant)
            if stem:
                check_all(f"{scenario} {variant}", stem)
                if "-- from here again and again, " not in read(stem + ".txt"):
                    bad(f"{scenario} {variant}", "no round")
                seen += 1
        if chromium:
            for stem, width in ((f"{tmp}/enospc-pre-5.8", 1200), (f"{tmp}/enospc-3-6.0", 1200),
                                (f"{tmp}/enospc-3-6.0", 700), (f"{tmp}/shelf", 1200),
                                (f"{tmp}/long", 700)):
                check_in_browser(chromium, tmp, stem, width)
        else:
            print("no chromium: the page's script was not run")
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    for problem in problems:
        print(problem)
    print(f"{seen} failures drawn in four ways, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
