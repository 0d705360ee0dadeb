"""Reading what a backend stored: per function, over time, call by call. Nothing here prints or writes."""

from time_execution.exceptions import DatabaseError, DatabaseMissingError, NotADatabaseError
from time_execution.report._resources import MOST_ROWS, Resources, resources
from time_execution.report.database import histograms, moments, read, series, slowest, tail
from time_execution.report.opening import Opened, opened
from time_execution.report.statistics import Aggregate, Call, FunctionStats, Point, Series, aggregate_calls

__all__ = [
    "MOST_ROWS",
    "Aggregate",
    "Call",
    "DatabaseError",
    "DatabaseMissingError",
    "FunctionStats",
    "NotADatabaseError",
    "Opened",
    "Point",
    "Resources",
    "Series",
    "aggregate_calls",
    "histograms",
    "moments",
    "opened",
    "read",
    "resources",
    "series",
    "slowest",
    "tail",
]
