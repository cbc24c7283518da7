"""Grafana's dashboards as code; ``python -m deploy.grafana.write`` writes the JSON that Grafana is given."""
