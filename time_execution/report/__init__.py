"""Reading what a backend stored: per function, over time, call by call. Nothing here prints or writes."""

from time_execution.exceptions import DatabaseError, DatabaseMissingError, NotADatabaseError
from time_execution.report.database import histograms, read, series, slowest, tail
from time_execution.report.statistics import Aggregate, Call, FunctionStats, Point, Series, aggregate_calls

__all__ = [
    "Aggregate",
    "Call",
    "DatabaseError",
    "DatabaseMissingError",
    "FunctionStats",
    "NotADatabaseError",
    "Point",
    "Series",
    "aggregate_calls",
    "histograms",
    "read",
    "series",
    "slowest",
    "tail",
]
