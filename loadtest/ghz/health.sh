#!/bin/sh
# The health check that balancers and Kubernetes make, at 100 a second.
#
#     sh loadtest/ghz/health.sh [HOST:PORT [FLAGS]]
#
# Runs ghz, or what GHZ names: GHZ="tailrace load" sh loadtest/ghz/health.sh
set -eu
here=$(dirname -- "$0")
target=${1:-127.0.0.1:50050}
[ $# -eq 0 ] || shift
exec ${GHZ:-ghz} --config "$here/health.toml" "$@" "$target"
