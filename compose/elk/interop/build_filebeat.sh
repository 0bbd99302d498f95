#!/bin/sh
# Builds Filebeat from its source, as the Go module proxy has it: build_filebeat.sh FOLDER.
# 7.17 is the newest line that is published as a Go module.
set -eu

version=v7.17.28
folder=${1:?name a folder to build in}
mkdir -p "$folder"
source=$(cd / && go mod download -json "github.com/elastic/beats/v7@$version" |
  sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p')
out=$(cd "$folder" && pwd)/filebeat
# Within the module, so that its own replacements of other modules count.
rm -rf "$folder/source"
cp -R "$source" "$folder/source"
chmod -R u+w "$folder/source"
# Its libraries reach into Go's own, which newer linkers refuse unless told.
(cd "$folder/source" && CGO_ENABLED=0 GOFLAGS=-mod=mod \
  go build -ldflags=-checklinkname=0 -o "$out" ./filebeat)
rm -rf "$folder/source"
"$out" version
