"""Is a cell of one's own right? ``check_cell`` looks for all that an engine relies on and cannot see for itself."""

from gru_scratch.check.cell import check_cell

__all__ = ["check_cell"]
