#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A random life of one file: falloc.py PATH SEED STEPS BLOCK mbfs|kernel

Prints each operation with its errno, and now and then the file's size, digest, and data and holes. The same seed
gives the same operations everywhere: two outputs are compared. COLLAPSE and INSERT go to mbfs by its ioctl.
"""
import ctypes
import errno
import fcntl
import hashlib
import os
import random
import struct
import sys

KEEP, PUNCH, COLLAPSE, ZERO, INSERT = 1, 2, 8, 16, 32
MODES = [0, KEEP, PUNCH | KEEP, PUNCH | KEEP, ZERO, ZERO | KEEP, COLLAPSE, COLLAPSE, INSERT, INSERT,
         PUNCH, COLLAPSE | KEEP, INSERT | COLLAPSE, ZERO | PUNCH | KEEP]
MAX = 1 << 20
IOC_FALLOCATE = 1 << 30 | 24 << 16 | 0xEF << 8 | 2  # MBFS_IOC_FALLOCATE

path, seed, steps, block, kind = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate64.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
rand = random.Random(seed)


def fallocate(fd, mode, off, size):
    """0 or the errno."""
    if kind == "mbfs" and mode & (COLLAPSE | INSERT):
        try:
            fcntl.ioctl(fd, IOC_FALLOCATE, struct.pack("QQII", off, size, mode, 0))
        except OSError as e:
            return e.errno
        return 0
    return ctypes.get_errno() if libc.fallocate64(fd, mode, off, size) else 0


def somewhere():
    """Block boundaries and their neighbours more often than other places."""
    at = rand.randrange(MAX)
    near = rand.randrange(4)
    return at if near == 0 else at // block * block + (block - 1 if near == 1 else 0)


def step(fd):
    what, off, size = rand.randrange(20), somewhere(), 1 + rand.randrange(rand.choice([3 * block, MAX // 4]))
    if rand.randrange(2):
        size = (size + block - 1) // block * block
    data = bytes([1 + rand.randrange(255)]) * size
    mode = rand.choice(MODES)
    if what < 7:
        os.pwrite(fd, data, off)
        print("write", off, size)
    elif what < 8:
        os.ftruncate(fd, off)
        print("truncate", off)
    elif mode == INSERT and os.fstat(fd).st_size + size > 2 * MAX:
        pass
    else:
        print("fallocate", mode, off, size, errno.errorcode.get(fallocate(fd, mode, off, size), "0"))


def show(fd):
    end = os.fstat(fd).st_size
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # a page of zeros over reserved blocks counts as data
    runs, at = [], 0
    while at < end:
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            break
        at = os.lseek(fd, data, os.SEEK_HOLE)
        runs.append((data, at))
    print("is", end, hashlib.sha256(os.pread(fd, end, 0)).hexdigest(), runs)


fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
for i in range(steps):
    step(fd)
    if i % 8 == 7:
        show(fd)
show(fd)
