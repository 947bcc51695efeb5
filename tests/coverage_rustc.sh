#!/bin/sh
# Compiles the project's own crates so that they count what they execute; see tests/coverage.sh.
exec "$@" -C instrument-coverage
