#!/bin/sh
# Predictions of flight-delay at 200 a second, whatever is in flight.
#
#     sh loadtest/ghz/predict_open_loop.sh [HOST:PORT [FLAGS]]
#
# Runs ghz, or what GHZ names: GHZ="tailrace load" sh loadtest/ghz/predict_open_loop.sh
set -eu
here=$(dirname -- "$0")
target=${1:-127.0.0.1:50050}
[ $# -eq 0 ] || shift
exec ${GHZ:-ghz} --config "$here/predict_open_loop.toml" --data-file "$here/flights.json" "$@" "$target"
