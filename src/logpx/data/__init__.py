"""Data sets: named ones, users' files and arrays, synthetic ones whose density is known (floor 6)."""

from logpx.data.base import Column, Data, Kind, MappedRows, Rows, Spec, Split
from logpx.data.build import from_array
from logpx.data.columns import check_seen, given_context
from logpx.data.like import rows_like
from logpx.data.sources import PICTURES, load, names

__all__ = [
    "PICTURES",
    "Column",
    "Data",
    "Kind",
    "MappedRows",
    "Rows",
    "Spec",
    "Split",
    "check_seen",
    "from_array",
    "given_context",
    "load",
    "names",
    "rows_like",
]
