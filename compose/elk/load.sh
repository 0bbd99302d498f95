#!/bin/sh
# Loads the templates into Elasticsearch and the saved objects into Kibana, and waits for both.
#
#   ELASTICSEARCH_URL=http://127.0.0.1:9200 KIBANA_URL=http://127.0.0.1:5601 compose/elk/load.sh
#
# KIBANA_URL may be left empty. It may run any number of times; `curl` is all that it needs.
set -eu

elasticsearch=${ELASTICSEARCH_URL:?name Elasticsearch, such as http://127.0.0.1:9200}
kibana=${KIBANA_URL:-}
here=$(dirname "$0")

# Tried again while a server is not there, or not ready: it answers 503 until it is.
ask() {
  curl --fail-with-body --silent --show-error --max-time 30 \
    --retry 60 --retry-delay 2 --retry-connrefused "$@"
  echo
}

ask "$elasticsearch/_cluster/health?wait_for_status=yellow"
for kind in component index; do
  for file in "$here"/elasticsearch/${kind}_templates/*.json; do
    name=$(basename "$file" .json)
    echo "$kind template $name"
    ask --request PUT --header 'content-type: application/json' --data-binary "@$file" \
      "$elasticsearch/_${kind}_template/$name"
  done
done

if [ -n "$kibana" ]; then
  ask "$kibana/api/status" > /dev/null
  echo "saved objects"
  ask --header 'kbn-xsrf: tailrace' --form "file=@$here/kibana/saved_objects.ndjson" \
    "$kibana/api/saved_objects/_import?overwrite=true"
fi
