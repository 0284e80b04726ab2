#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: O_DIRECT on the mount means what it means on ext4: short reads at the end, nothing past it, appends,
# vectors; what goes past the page cache and what goes through it or through a shared mapping is one file.
# Method: a program with all three kinds of access from two processes, on the library's own image; then the
# kernel's ext4 reads the same bytes.
. "$(dirname "$0")/lib.sh"
need python3 cmp

cat >"$T/mix.py" <<'END'
import ctypes, errno, mmap, os, random, sys
dir = sys.argv[1]
PAGE = 4096
def buf(n, fill=None):
    b = mmap.mmap(-1, max(n, PAGE))
    if fill is not None: b[:n] = bytes([fill]) * n
    return b
def want(what, got, should):
    if got != should: sys.exit(f"{what}: {got!r}, not {should!r}")

# The end of a file.
path = f"{dir}/end"
d = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o644)
want("write", os.pwritev(d, [memoryview(buf(PAGE, 65))[:PAGE]], 0), PAGE)
os.ftruncate(d, 5000)
b = buf(2 * PAGE)
want("a read over the end", os.preadv(d, [b], 0), 5000)
want("its bytes", bytes(b[:5000]), b"A" * PAGE + bytes(904))
want("a read at the end", os.preadv(d, [b], 5000), 0)
want("a read past the end", os.preadv(d, [b], 65536), 0)
want("a vector", os.pwritev(d, [memoryview(buf(PAGE, 66))[:PAGE], memoryview(buf(PAGE, 67))[:PAGE]], 2 * PAGE), 2 * PAGE)
want("the gap", os.pread(d, 3192, 5000), bytes(3192))
want("the vector", os.pread(d, 2 * PAGE, 2 * PAGE), b"B" * PAGE + b"C" * PAGE)
os.close(d)

# Any alignment is taken, as the README says.
d = os.open(f"{dir}/odd", os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o644)
want("an odd write", os.pwrite(d, b"odd", 12345), 3)
want("an odd read", os.pread(d, 7, 12343), b"\0\0odd")
os.close(d)

# Appends, by two who opened it.
a = [os.open(f"{dir}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_DIRECT, 0o644) for _ in range(2)]
for i in range(20):
    os.writev(a[i % 2], [memoryview(buf(PAGE, i))[:PAGE]])
want("appends", open(f"{dir}/log", "rb").read(), b"".join(bytes([i]) * PAGE for i in range(20)))

# One file, three ways, two processes in turn; a twin in memory.
SIZE = 64 * PAGE
path = f"{dir}/mix"
open(path, "wb").write(bytes(SIZE))
twin = mmap.mmap(-1, SIZE)
turn_r, turn_w = zip(*[os.pipe() for _ in range(2)])
seed = int(os.environ.get("MBFS_TEST_SEED", "0"), 0) or random.randrange(1 << 32)
print(f"repeat with MBFS_TEST_SEED={seed}", flush=True)
me = 0 if os.fork() else 1
rnd = random.Random(seed + me)
direct = os.open(path, os.O_RDWR | os.O_DIRECT)
cached = os.open(path, os.O_RDWR)
mapped = mmap.mmap(cached, SIZE)
direct_mapped = mmap.mmap(direct, SIZE)
def step(i):
    at, n, fill = rnd.randrange(60) * PAGE, rnd.randrange(1, 5) * PAGE, rnd.randrange(256)
    data, how = bytes([fill]) * n, rnd.randrange(8)
    if how == 0: want("direct", os.pwritev(direct, [memoryview(buf(n, fill))[:n]], at), n)
    elif how == 1: want("cached", os.pwrite(cached, data, at), n)
    elif how == 2:
        mapped[at:at + n] = data
        if rnd.randrange(2): mapped.flush(at, n)
    elif how == 3:
        direct_mapped[at:at + n] = data
        direct_mapped.flush(at, n)
    else:
        b = buf(n)
        if how == 4: os.preadv(direct, [memoryview(b)[:n]], at); got = bytes(b[:n])
        elif how == 5: got = os.pread(cached, n, at)
        elif how == 6: got = mapped[at:at + n]
        else: got = direct_mapped[at:at + n]
        if got != twin[at:at + n]: sys.exit(f"step {i} of {me}: {n} bytes at {at} read by way {how} are wrong")
        return
    twin[at:at + n] = data
for i in range(400):
    if me or i: want("turn", len(os.read(turn_r[me], 1)), 1)
    step(i)
    os.write(turn_w[1 - me], b".")
if me:
    os._exit(0)
os.read(turn_r[0], 1)
_, status = os.wait()
want("the other process", status, 0)
os.fsync(cached)
want("at the end", open(path, "rb").read(), twin[:])
open(sys.argv[2], "wb").write(twin[:])
END

make_image 64M -b 4096
for opts in "" io=threads io=uring direct; do
	mount_image "$opts"
	timeout 100 python3 "$T/mix.py" "$MNT" "$T/twin" || fail "with options \"$opts\""
	rm "$MNT/log"
	unmount_image
	check_image
done
kernel_mount ro
cmp "$KMNT/mix" "$T/twin" || fail "the kernel reads other bytes"
umount "$KMNT"
