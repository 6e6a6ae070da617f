"""Is your own cell right? ``check_cell`` checks all that an engine relies on and cannot see for itself."""

from gru_scratch.check.cell import check_cell

__all__ = ["check_cell"]
