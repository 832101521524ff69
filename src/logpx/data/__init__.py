"""Data sets: named ones, users' files and arrays, synthetic ones whose density is known (floor 6)."""

from logpx.data.about import check_about, columns_in
from logpx.data.asked import pairs_in
from logpx.data.base import Column, Data, Kind, MappedRows, Rows, Spec, Split
from logpx.data.build import from_array, is_frame
from logpx.data.cells import Cells, cells_of
from logpx.data.columns import check_seen, given_context
from logpx.data.like import array_like, context_like, rows_like
from logpx.data.pieces import Piece, Pieces, pieces_like
from logpx.data.sources import PICTURES, load, names

__all__ = [
    "PICTURES",
    "Cells",
    "Column",
    "Data",
    "Kind",
    "MappedRows",
    "Piece",
    "Pieces",
    "Rows",
    "Spec",
    "Split",
    "array_like",
    "cells_of",
    "check_about",
    "check_seen",
    "columns_in",
    "context_like",
    "from_array",
    "given_context",
    "is_frame",
    "load",
    "names",
    "pairs_in",
    "pieces_like",
    "rows_like",
]
