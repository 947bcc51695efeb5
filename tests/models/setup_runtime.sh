#!/bin/sh
# Puts ONNX Runtime where the tests of the feature `onnx-dynamic` find it, and prints the path of
# its library: a Python environment in target/, made once. Used as
#
#     ORT_DYLIB_PATH=$(tests/models/setup_runtime.sh) cargo test --features onnx-dynamic
set -eu
cd "$(dirname "$0")/../.."
version=1.31.1
environment=${CARGO_TARGET_DIR:-target}/onnxruntime-$version
library=$environment/library
if [ ! -e "$library" ]; then
    rm -rf "$environment"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --no-deps \
        "onnxruntime==$version" >&2
    # The newest name first, should there be several.
    found=$(find "$environment" -name 'libonnxruntime.so.*' -o -name 'libonnxruntime.*.dylib' -o -name 'onnxruntime.dll' | sort -r | head -n 1)
    [ -n "$found" ] || { echo "onnxruntime $version brought no library" >&2; exit 1; }
    # Written last, so that an interrupted run starts over.
    printf '%s\n' "$found" > "$library"
fi
path=$(cat "$library")
case $path in
    /*) printf '%s\n' "$path" ;;
    *) printf '%s\n' "$PWD/$path" ;;
esac
