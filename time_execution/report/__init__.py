"""Reading what a backend stored: per function, over time, call by call. Nothing here prints or writes."""

from time_execution.report._snapshot import DatabaseError, DatabaseMissingError, NotADatabaseError
from time_execution.report.database import read, series, slowest, tail
from time_execution.report.statistics import Aggregate, Call, FunctionStats, Point, aggregate_calls

__all__ = [
    "Aggregate",
    "Call",
    "DatabaseError",
    "DatabaseMissingError",
    "FunctionStats",
    "NotADatabaseError",
    "Point",
    "aggregate_calls",
    "read",
    "series",
    "slowest",
    "tail",
]
