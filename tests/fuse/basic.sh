#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: ordinary programs work on a mount. Method: run them; remount; compare; e2fsck.
. "$(dirname "$0")/lib.sh"
need git setfattr getfattr tar

make_image 600M
mount_image
cd "$MNT"

# attributes and times
echo hello >f
same "$(cat f)" hello
chmod 640 f && chown 4000000000:3999999999 f
touch -d '2001-02-03 04:05:06.123456789' f
same "$(stat -c '%a %u %g %s' f)" "640 4000000000 3999999999 6"
same "$(stat -c %y f | cut -c1-29)" "2001-02-03 04:05:06.123456789"
umask 027; mkdir d; : >g; umask 022
same "$(stat -c %a d) $(stat -c %a g)" "750 640"
mkdir s && chgrp 77 s && chmod 2775 s && mkdir s/sub && : >s/file
same "$(stat -c '%g %a' s/sub) $(stat -c %g s/file)" "77 2755 77" "setgid directory"

# names
ln f hard && same "$(stat -c %h f)" 2
ln -s f soft && same "$(cat soft)" hello
mv f renamed && same "$(cat hard)" hello
mv -n g renamed; same "$(cat renamed)" hello
mkdir -p x/y/z && mv x/y w && [ -d w/z ] && [ ! -e x/y ]
mkdir from to && : >to/inside
mv -T from to 2>/dev/null && fail "a directory replaced one that is not empty"
mv w x/ && ! mv x x/w/ 2>/dev/null || fail "a directory moved into itself"
mkfifo p && mknod c c 1 3 && mknod b b 7 0
same "$(stat -c '%F %t %T' c)" "character special file 1 3"
rmdir x 2>/dev/null && fail "rmdir of a directory that is not empty"
: >"$(printf 'n%.0s' {1..255})"
refused "File name too long" touch "$(printf 'n%.0s' {1..256})"

# sizes
truncate -s 1T big && same "$(stat -c '%s %b' big)" "1099511627776 0"
truncate -s 100 big && truncate -s 5 renamed && same "$(cat renamed)" hello
fallocate -l 3M alloc && same "$(stat -c %s alloc)" 3145728
[ "$(stat -c %b alloc)" -ge 6144 ] || fail "fallocate took no blocks"
same "$(head -c 3145728 alloc | tr -d '\0' | wc -c)" 0 "preallocated bytes are zero"
fallocate -n -o 3M -l 1M alloc && same "$(stat -c %s alloc)" 3145728 "KEEP_SIZE"
fallocate -p -o 0 -l 1M alloc && same "$(stat -c %s alloc)" 3145728 "PUNCH_HOLE"
refused "too large" truncate -s 9223372036854775807 big
echo one >>log && echo two >>log && same "$(wc -l <log)" 2
dd if=/dev/urandom of=direct bs=64k count=20 oflag=direct status=none
dd if=direct of=copy bs=7777 status=none && cmp direct copy

# attributes of all kinds; none of ours is listed
setfattr -n user.a -v 1 renamed && same "$(getfattr --only-values -n user.a renamed)" 1
setfattr -n user.big -v "$(printf 'v%.0s' {1..3000})" renamed
setfattr -n security.x -v y renamed && setfattr -n trusted.z -v w renamed
same "$(getfattr -d -m - renamed | grep -c =)" 4
getfattr -m - renamed | grep -q '^trusted.z$' || fail "trusted names for root"
! setpriv --reuid 65534 --clear-groups getfattr -m - renamed | grep -q trusted || fail "trusted names for all"
setfattr -x user.a renamed && ! getfattr -n user.a renamed 2>/dev/null || fail "removed attribute"
same "$(getfattr -d -m - . | grep -c mbfs || true)" 0
mbfs-stat --json "$MNT" | grep '"alloc":{' >/dev/null || fail "mbfs-stat"
mbfs-stat "$MNT" | grep 'alloc.free_nr' >/dev/null || fail "mbfs-stat table"
mbfs-stat "$MNT" | grep '^endio.converted *[1-9]' >/dev/null || fail "mbfs-stat: endio"
mbfs-stat "$MNT" | grep '^reclaim.buffers.taken *[0-9]' >/dev/null || fail "mbfs-stat: reclaim"
mbfs-stat "$MNT" | grep '^mempool.reads.allocs *[0-9]' >/dev/null || fail "mbfs-stat: pools"
mbfs-stat --groups "$MNT" | grep '^ *0 ' >/dev/null || fail "mbfs-stat groups"
refused "not the root" mbfs-stat "$T"

# setuid bits and capabilities
check_priv

# unlinked but open; rename over open
exec 7>gone && echo still >&7 && rm gone && echo there >&7
same "$(cat /proc/self/fd/7)" "still
there"
exec 7>&-

# exchange
echo 1 >e1; echo 2 >e2
if mv --exchange e1 e2 2>/dev/null; then same "$(cat e1)" 2; fi
rm -f "$MNT"/n*

# real programs
make_tree "$T/tree" 60
cp -a "$T/tree" copied
same "$(manifest copied)" "$(manifest "$T/tree")" "cp -a"
mkdir tarred && tar -C "$T" -cSf - tree | tar -C tarred -xf -
git init -q "$T/repo" && cp "$0" "$(dirname "$0")"/*.sh "$T/repo/"
git -C "$T/repo" add . && git -C "$T/repo" -c user.name=t -c user.email=t@t commit -qm x
git clone -q "$T/repo" clone && git -C clone fsck --full 2>/dev/null && git -C clone status --short
sync
df . >/dev/null && stat -f . >/dev/null
before=$(manifest .)
cd /
unmount_image
check_image
mount_image
same "$(manifest "$MNT")" "$before" "after a remount"
rm -rf "${MNT:?}"/*
same "$(find "$MNT" -mindepth 1 | wc -l)" 0 "rm -rf"
unmount_image
check_image
