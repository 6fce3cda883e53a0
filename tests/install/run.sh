#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs a build into a fresh folder, and builds and runs a program that finds it there.
# usage: run.sh BUILD_DIR
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$1" --prefix "$work/prefix" >"$work/install.log"
cmake -S "$here" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/configure.log"
cmake --build "$work/build"
"$work/build/consumer"
"$work/prefix/bin/tickbridge" --version
# The reader's example finds no table of that name, and says so.
if "$work/build/reader" "no-such-table-$$" A 2>"$work/said"; then exit 1; fi
grep -q "No such file" "$work/said"
PYTHONPATH="$work/prefix/share/tickbridge/python" /usr/bin/python3 -c "import tickbridge"
# The publisher's library, by pkg-config and by nothing else of tickbridge.
export PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name tickbridge_publisher.pc)")
read -ra flags <<<"$(pkg-config --cflags --libs tickbridge_publisher)"
gcc -std=c11 -Wall -Wextra -Werror "$here/../../examples/publisher.c" "${flags[@]}" -o "$work/publisher"
LD_LIBRARY_PATH=$(pkg-config --variable=libdir tickbridge_publisher) \
  "$work/publisher" "$work/example.ring" 10
