#!/bin/sh
# Predictions submitted to the queue, each under a key of its own.
#
#     sh loadtest/ghz/submit.sh [HOST:PORT [FLAGS]]
#
# Runs ghz, or what GHZ names: GHZ="tailrace load" sh loadtest/ghz/submit.sh
set -eu
here=$(dirname -- "$0")
target=${1:-127.0.0.1:50050}
[ $# -eq 0 ] || shift
exec ${GHZ:-ghz} --config "$here/submit.toml" --data-file "$here/flight_submission.json" "$@" "$target"
