"""Grafana dashboards, written from Python so that queries and layout are said once.

A dashboard is rows of panels; a panel is a title, a description that says how to read it, a unit
and PromQL queries. `dashboard.json_text` gives the file that Grafana reads::

    from tailrace.cli.grafana import panel_kinds, promql
    from tailrace.cli.grafana.dashboard import Dashboard, Row, json_text, query_variable
    from tailrace.cli.grafana.panel import Query
    from tailrace.runtime import telemetry_names as names

    panel = panel_kinds.lines(
        "Requests by pipeline",
        "Requests that were answered, whatever their outcome.",
        [Query(promql.rate(names.PREDICTIONS_TOTAL, by=["pipeline"]), "{{pipeline}}")],
        unit="reqps",
    )
    dashboard = Dashboard(
        uid="tailrace-example",
        title="Tailrace: example",
        description="What it is for.",
        rows=(Row("Requests", (panel,)),),
        variables=(query_variable("pipeline", "Pipeline", names.PREDICTIONS_TOTAL),),
    )
    print(json_text(dashboard))

Panels flow from left to right over 24 columns and wrap; each kind has a usual width and height.
Queries may use `$__rate_interval`, `$__range` and the dashboard's variables. Every panel reads
from the Prometheus that the variable `datasource` names, which every dashboard has.

`python -m tailrace.cli.grafana` writes the committed dashboards (`make dashboards`).
"""
