#!/bin/sh
# The list of pipelines, from 10 callers.
#
#     sh loadtest/ghz/list_pipelines.sh [HOST:PORT [FLAGS]]
#
# Runs ghz, or what GHZ names: GHZ="tailrace load" sh loadtest/ghz/list_pipelines.sh
set -eu
here=$(dirname -- "$0")
target=${1:-127.0.0.1:50050}
[ $# -eq 0 ] || shift
exec ${GHZ:-ghz} --config "$here/list_pipelines.json" "$@" "$target"
