#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: every mode of fallocate does what the kernel's ext4 does, and mbfs-stat extents says what filefrag says.
# Method: the same random operations on a file of each (falloc.py): errors, bytes, data and holes are compared, then
# e2fsck, then the kernel reads the image. Repeat one seed with MBFS_TEST_SEED.
. "$(dirname "$0")/lib.sh"
need python3 losetup filefrag cmp

life=$(dirname "$0")/falloc.py
steps=200

stat_verbs()
{
	local i

	for ((i = 0; i < 10; i++)); do
		head -c 4096 /dev/zero | tr '\0' "$i"
	done >"$MNT/v"
	cp "$MNT/v" "$T/v"
	mbfs-stat insert 8K 12K "$MNT/v"
	same "$(stat -c %s "$MNT/v")" 53248 "size after insert"
	cmp <(cat "$MNT/v") <(head -c 8192 "$T/v"; head -c 12288 /dev/zero; tail -c +8193 "$T/v") || fail "insert"
	mbfs-stat collapse 4096 0x4000 "$MNT/v"
	cmp <(cat "$MNT/v") <(head -c 4096 "$T/v"; tail -c +8193 "$T/v") || fail "collapse"
	refused "multiples of 4096" mbfs-stat insert 1 4096 "$MNT/v"
	refused "inside its 36864 bytes" mbfs-stat collapse 0 36864 "$MNT/v"
	refused "OFF LEN FILE" mbfs-stat insert 4k 4096 "$MNT/v"
	refused "OFF LEN FILE" mbfs-stat collapse 4096 "$MNT/v"
	refused "not on an mbfs mount" mbfs-stat collapse 0 4096 "$T/v"
	refused "not on an mbfs mount" mbfs-stat extents "$T/v"
	refused "of which file" mbfs-stat extents
	refused "No such file" mbfs-stat extents "$MNT/none"
	mbfs-stat --help | grep 'collapse|insert OFF LEN FILE' >/dev/null || fail "no help"
	mbfs-stat collapse --help | grep 'whole blocks' >/dev/null || fail "no help for collapse"
	mbfs-stat extents --help | grep filefrag >/dev/null || fail "no help for extents"
	mbfs-stat extents --json "$MNT/v" | python3 -c '
import json, sys
f = json.load(sys.stdin)
assert f["size_bytes"] == 36864 and f["block_bytes"] == 4096, f
assert sum(e["len_bytes"] for e in f["extents"]) == 36864, f' || fail "--json"
}

# What was changed through a mapping and is not written back yet moves with the rest. Not by mbfs-stat: its open(2)
# makes the kernel write back.
mapped()
{
	python3 - "$MNT/mapped" <<-'END' || fail "changed through a mapping"
		import fcntl, mmap, os, struct, sys
		B, COLLAPSE, INSERT = 4096, 8, 32
		IOC_FALLOCATE = 1 << 30 | 24 << 16 | 0xEF << 8 | 2  # MBFS_IOC_FALLOCATE
		for mode in (COLLAPSE, INSERT):
		    fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_TRUNC)
		    want = [bytes([65 + i]) * B for i in range(10)]
		    os.write(fd, b"".join(want))
		    os.fsync(fd)
		    m = mmap.mmap(fd, 10 * B)
		    m[8 * B:9 * B] = want[8] = b"!" * B
		    fcntl.ioctl(fd, IOC_FALLOCATE, struct.pack("QQII", B, B, mode, 0))
		    want = want[:1] + want[2:] if mode == COLLAPSE else want[:1] + [bytes(B)] + want[1:]
		    got = os.pread(fd, 20 * B, 0)
		    assert got == b"".join(want), (mode, [chr(got[i]) for i in range(0, len(got), B)])
		    os.close(fd)
	END
}

# The kernel zeroes small unwritten neighbours of what is written: then they are data.
kernel_exact()
{
	local dev

	dev=$(basename "$(findmnt -no SOURCE "$KMNT")")
	echo 0 >"/sys/fs/ext4/$dev/extent_max_zeroout_kb" || skip "extent_max_zeroout_kb cannot be set"
}

for block in 4096 1024; do
	for seed in ${MBFS_TEST_SEED:-$RANDOM $RANDOM $RANDOM}; do
		echo "repeat with MBFS_TEST_SEED=$seed (blocks of $block)"
		make_image 64M -b $block
		kernel_mount
		kernel_exact
		python3 "$life" "$KMNT/f" "$seed" $steps $block kernel >"$T/kernel.out" || fail "falloc.py on the kernel's"
		kernel_unmount
		make_image 64M -b $block
		mount_image
		python3 "$life" "$MNT/f" "$seed" $steps $block mbfs >"$T/mbfs.out" || fail "falloc.py"
		same "$(cat "$T/mbfs.out")" "$(cat "$T/kernel.out")" "mbfs and the kernel differ"
		[ $block = 1024 ] || stat_verbs
		[ $block = 1024 ] || mapped
		: >"$MNT/empty"
		truncate -s 3G "$MNT/sparse" && echo end >>"$MNT/sparse"
		python3 -c 'if True: # more extents than one request brings
			import os, sys
			fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
			for i in range(700):
				os.pwrite(fd, b"x", i * 2 * int(sys.argv[2]))' "$MNT/many" $block
		fallocate -n -l 2M "$MNT/many"
		files=(f empty sparse many . lost+found)
		sum=$(sha256sum <"$MNT/f")
		(cd "$MNT" && mbfs-stat extents "${files[@]}") >"$T/extents"
		unmount_image
		check_image
		kernel_mount
		(cd "$KMNT" && filefrag -v "${files[@]}") >"$T/filefrag"
		cmp "$T/extents" "$T/filefrag" || fail "mbfs-stat extents and filefrag -v differ: $(diff "$T/extents" "$T/filefrag")"
		same "$(sha256sum <"$KMNT/f")" "$sum" "read by the kernel"
		kernel_unmount
	done
done

# The kernel waits for pages that are being read while bytes move: nobody waits for ever, with as many moves at once
# as the daemon has threads.
moves_and_reads()
{
	local role pid pids=() sum

	head -c 2M /dev/urandom >"$MNT/f"
	sum=$(sha256sum <"$MNT/f")
	for role in move move move read read; do
		timeout -s KILL 60 python3 - "$MNT/f" $role <<-'END' &
			import fcntl, os, struct, sys, time
			B, COLLAPSE, INSERT = 4096, 8, 32
			IOC_FALLOCATE = 1 << 30 | 24 << 16 | 0xEF << 8 | 2  # MBFS_IOC_FALLOCATE
			fd, end = os.open(sys.argv[1], os.O_RDWR), time.monotonic() + 3
			while time.monotonic() < end:
			    if sys.argv[2] == "read":
			        os.pread(fd, 3 << 20, 0)
			        continue
			    for mode in (INSERT, COLLAPSE):
			        fcntl.ioctl(fd, IOC_FALLOCATE, struct.pack("QQII", B, B, mode, 0))
		END
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || fail "moves and reads at once: a process was killed after a minute, or failed"
	done
	same "$(sha256sum <"$MNT/f")" "$sum" "after moves forth and back"
}

for threads in 1 2; do
	make_image 64M
	mount_image max_threads=$threads
	mapped
	moves_and_reads
	unmount_image
	check_image
done

# The kernel would keep its own size.
make_image 64M
mount_image writeback_cache
head -c 40960 /dev/zero >"$MNT/f"
refused "writeback" mbfs-stat collapse 0 4096 "$MNT/f"
unmount_image
check_image
