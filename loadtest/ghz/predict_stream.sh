#!/bin/sh
# Predictions of flight-delay on streams, with four messages of 16 requests each.
#
#     sh loadtest/ghz/predict_stream.sh [HOST:PORT [FLAGS]]
#
# Runs ghz, or what GHZ names: GHZ="tailrace load" sh loadtest/ghz/predict_stream.sh
set -eu
here=$(dirname -- "$0")
target=${1:-127.0.0.1:50050}
[ $# -eq 0 ] || shift
exec ${GHZ:-ghz} --config "$here/predict_stream.json" --data-file "$here/flight_stream.json" "$@" "$target"
