#!/bin/sh
# Predictions of flight-delay, one a call, from 20 callers.
#
#     sh loadtest/ghz/predict.sh [HOST:PORT [FLAGS]]
#
# Runs ghz, or what GHZ names: GHZ="tailrace load" sh loadtest/ghz/predict.sh
set -eu
here=$(dirname -- "$0")
target=${1:-127.0.0.1:50050}
[ $# -eq 0 ] || shift
exec ${GHZ:-ghz} --config "$here/predict.json" --data-file "$here/flights.json" "$@" "$target"
