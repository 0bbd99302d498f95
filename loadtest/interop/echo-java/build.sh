#!/bin/sh
# Builds the server of grpc-java into a folder: echo.jar, and what it needs under lib.
#
#     build.sh FOLDER
#
# Ends with 77 where Java, Maven or the packages cannot be had, and says which.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
jar="$folder/echo.jar"

for tool in java mvn; do
    command -v "$tool" >/dev/null || {
        echo "skipped: the server of grpc-java needs Java 17 and Maven; there is no $tool on PATH"
        exit 77
    }
done
if [ -f "$jar" ] && [ -z "$(find "$here" -newer "$jar" -type f)" ]; then
    exit 0
fi
log="$folder/maven.log"
mvn -B -q -f "$here/pom.xml" -Dbuilt.in="$folder" package >"$log" 2>&1 || {
    if grep -qE "Could not (resolve|transfer|find)|could not be resolved" "$log"; then
        grep -m 1 ERROR "$log" | cut -c 1-300
        echo "skipped: the packages of grpc-java could not be fetched (all that Maven says: $log)"
        exit 77
    fi
    cat "$log"
    exit 1
}
