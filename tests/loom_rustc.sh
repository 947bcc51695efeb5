#!/bin/sh
# Compiles the project's own crates with their models of threads; see src/sync.rs.
exec "$@" --cfg loom
