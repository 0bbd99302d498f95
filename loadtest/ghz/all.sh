#!/bin/sh
# All scripts of this folder, one after the other: what is run before a release.
#
#     sh loadtest/ghz/all.sh [HOST:PORT [FLAGS]]
#
# Runs ghz, or what GHZ names: GHZ="tailrace load" sh loadtest/ghz/all.sh
# Ends with 1 if one of them did not end well. Genuine ghz ends well whatever was answered; ours
# does not, if no call was answered, or if an objective was missed (--slo).
set -u
here=$(dirname -- "$0")
failed=0
for name in health list_pipelines predict predict_open_loop predict_steps predict_batch \
    predict_stream submit; do
    sh "$here/$name.sh" "$@" || failed=1
done
exit $failed
