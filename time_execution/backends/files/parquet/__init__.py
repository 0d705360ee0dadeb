"""Parquet: one file that any number of processes write to, through a journal beside it."""

from time_execution.backends.files.parquet.backend import ParquetBackend
from time_execution.backends.files.parquet.reading import open_rows

__all__ = ["ParquetBackend", "open_rows"]
