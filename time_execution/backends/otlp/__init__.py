"""OpenTelemetry: `OTLPBackend` sends metrics to a collector over OTLP/HTTP."""

from time_execution.backends.otlp.backend import OTLPBackend

__all__ = ["OTLPBackend"]
