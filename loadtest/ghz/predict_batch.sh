#!/bin/sh
# Predictions of flight-delay, 32 a call, from 8 callers.
#
#     sh loadtest/ghz/predict_batch.sh [HOST:PORT [FLAGS]]
#
# Runs ghz, or what GHZ names: GHZ="tailrace load" sh loadtest/ghz/predict_batch.sh
set -eu
here=$(dirname -- "$0")
target=${1:-127.0.0.1:50050}
[ $# -eq 0 ] || shift
exec ${GHZ:-ghz} --config "$here/predict_batch.json" --data-file "$here/flight_batch.json" "$@" "$target"
