#!/bin/sh
# Unpacks Debian's (or Ubuntu's) prometheus package into a folder: fetch_prometheus.sh FOLDER.
# Nothing is installed and nothing is started; root is not needed.
set -eu
folder=${1:?"usage: fetch_prometheus.sh FOLDER"}

for tool in apt-get dpkg; do
  if ! command -v "$tool" >/dev/null; then
    echo "error: Prometheus is fetched as a package of Debian or Ubuntu, and there is no $tool here." >&2
    echo "Put prometheus and promtool (2.42 or later) on PATH, or into $folder." >&2
    exit 1
  fi
done

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
fetched=$(mktemp -d "$folder/fetch.XXXXXX")
trap 'rm -rf "$fetched"' EXIT
cd "$fetched"

# Root would otherwise be told that apt's own user cannot write here.
download() { apt-get -qq -o APT::Sandbox::User="$(id -un)" "$@" download prometheus; }

# The lists may be missing, as in a fresh container, or name a version that is gone. New ones go
# into this folder: the system's own only root may write.
if ! download 2>first.log; then
  mkdir -p lists/partial cache/archives/partial
  own="-o Dir::State::lists=$fetched/lists -o Dir::Cache=$fetched/cache"
  # shellcheck disable=SC2086  # Options, to be split.
  if ! { apt-get -qq -o APT::Sandbox::User="$(id -un)" $own update && download $own; } >second.log 2>&1
  then
    echo "error: apt-get could not download the package prometheus:" >&2
    cat first.log second.log >&2
    exit 1
  fi
fi

dpkg -x prometheus_*.deb unpacked
for tool in prometheus promtool; do
  mv "unpacked/usr/bin/$tool" "$folder/$tool.new"
  mv "$folder/$tool.new" "$folder/$tool"
done
"$folder/promtool" --version 2>&1 | sed -n 1p
