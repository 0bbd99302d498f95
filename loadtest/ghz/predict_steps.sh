#!/bin/sh
# Predictions of flight-delay at 50, 100, 150 and 200 a second, for 2 s each.
#
#     sh loadtest/ghz/predict_steps.sh [HOST:PORT [FLAGS]]
#
# Runs ghz, or what GHZ names: GHZ="tailrace load" sh loadtest/ghz/predict_steps.sh
set -eu
here=$(dirname -- "$0")
target=${1:-127.0.0.1:50050}
[ $# -eq 0 ] || shift
exec ${GHZ:-ghz} --config "$here/predict_steps.toml" --data-file "$here/flights.json" "$@" "$target"
