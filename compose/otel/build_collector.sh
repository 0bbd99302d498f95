#!/bin/sh
# Builds the OpenTelemetry Collector of a manifest: build_collector.sh MANIFEST FOLDER, from the root.
# The manifest names FOLDER/source as its output. It takes some minutes on two cores, and nothing is
# installed outside of FOLDER and Go's own caches.
set -eu
manifest=${1:?"usage: build_collector.sh MANIFEST FOLDER"}
folder=${2:?"usage: build_collector.sh MANIFEST FOLDER"}

version=$(sed -n 's/^  version: *//p' "$manifest")
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

echo "==> Building the OpenTelemetry Collector $version into $folder"
GOBIN="$folder/bin" go install "go.opentelemetry.io/collector/cmd/builder@v$version"
"$folder/bin/builder" --config "$manifest" --skip-compilation
cd "$folder/source"
nice go build -trimpath -ldflags="-s -w" -o "$folder/otelcol" .
