#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# shell.sh - shellcheck over all shell scripts; exit 77 when it is not installed.
set -euo pipefail

command -v shellcheck >/dev/null || { echo "shellcheck is not installed: skipped"; exit 77; }
cd "$(dirname "$0")/../.."
mapfile -t scripts < <(grep -rIlE '^#!.*\b(ba)?sh\b' --exclude-dir=.git --exclude-dir='build*' .)
shellcheck -x -S warning -P SCRIPTDIR "${scripts[@]}"
