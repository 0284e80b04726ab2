#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Goal: a file system that grew while mounted is what an offline resize2fs makes of the same image.

resize_layout.py PREFIX...: of each growth three outputs of dumpe2fs, PREFIX.online, .offline, .before, and what it was
in PREFIX.what. Equal have to be the counts of the superblock, and of
each group its blocks, flags, backups, free counts, and where its bitmaps and table are. But resize2fs puts the
metadata of groups that are added to a flex group into the old groups of it, which online are in use: there it is in
the new ones, and free counts and flags of those groups follow. Old groups keep their flags online.
"""
import re
import sys

SUPER = ("Inode count", "Block count", "Reserved block count", "Reserved GDT blocks", "Free blocks", "Free inodes",
         "First meta block group", "Filesystem features")


def read(path):
    head, groups, now = {}, {}, None
    for line in open(path, encoding="utf-8", errors="replace"):
        m = re.match(r"Group (\d+): \(Blocks (\d+-\d+)\)(?: csum \S+)? ?(?:\[(.*)\])?", line)
        if m:
            now = groups[int(m.group(1))] = {"blocks": m.group(2), "flags": m.group(3) or ""}
        elif now is None:
            key, _, value = line.partition(":")
            if key in SUPER:
                head[key] = value.strip()
        else:
            text = re.sub(r", csum \S+", "", line.strip())
            for key in ("Block bitmap", "Inode bitmap", "Inode table"):
                m = re.match(key + r" at ([\d-]+)", text)
                if m:
                    now[key] = m.group(1)
            if "superblock" in text or text.startswith("Reserved GDT"):
                now.setdefault("backup", []).append(text)
            m = re.match(r"(\d+) free blocks, (\d+) free inodes, (\d+) dir", text)
            if m:
                now["free"] = m.groups()
    return head, groups


def flex_size(path):
    for line in open(path, encoding="utf-8", errors="replace"):
        if line.startswith("Flex block group size:"):
            return int(line.split(":")[1])
    return 1


def compare(prefix):
    online, offline, before = read(prefix + ".online"), read(prefix + ".offline"), read(prefix + ".before")[1]
    old, flex = len(before), flex_size(prefix + ".online")
    whole = -(-old // flex) * flex  # the first group that is not in a flex group with old ones
    shared = range(old, whole)
    bad = ["%s: %s, offline %s" % (key, online[0].get(key), offline[0].get(key)) for key in SUPER
           if online[0].get(key) != offline[0].get(key)]
    if online[1].keys() != offline[1].keys():
        bad.append("%d groups, offline %d" % (len(online[1]), len(offline[1])))
    moved = 0
    for grp in sorted(online[1].keys() & offline[1].keys()):
        a, b = online[1][grp], offline[1][grp]
        for key in sorted(a.keys() | b.keys()):
            if a.get(key) == b.get(key):
                continue
            if grp in shared and key != "blocks" or grp < old and (key == "free" and shared or key == "flags" and
                                                                   a[key] == before[grp][key]):
                moved += 1
                continue
            bad.append("group %d: %s: %s, offline %s" % (grp, key, a.get(key), b.get(key)))
    print("%s: %d groups, %d new, %d differences, %d explained" % (open(prefix + ".what", encoding="utf-8").read().strip(),
                                                                   len(online[1]), len(online[1]) - old, len(bad), moved))
    for line in bad[:20]:
        print("\t" + line)
    return not bad


def main():
    same = [compare(prefix) for prefix in sys.argv[1:]]
    sys.exit(0 if same and all(same) else 1)


main()
