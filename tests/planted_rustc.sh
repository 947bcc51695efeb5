#!/bin/sh
# Compiles the project's own crates with their planted bugs; see src/planted.rs.
exec "$@" --cfg sparsely_planted
