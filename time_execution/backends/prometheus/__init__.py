"""Prometheus: metrics are added up here, and scraped or pushed."""

from time_execution.backends.prometheus.backend import PrometheusBackend

__all__ = ["PrometheusBackend"]
