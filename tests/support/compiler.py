"""Where a machine has no C compiler, tests of compiled code are skipped for that one reason."""

from __future__ import annotations

import pytest

from gru_scratch.engines.native.compiler import CompilerError
from gru_scratch.engines.native.toolchain import find_compiler


def skip_without_compiler() -> None:
    """Skip the test that calls this, with the sentence that the library itself says, where there is none."""
    try:
        find_compiler()
    except CompilerError as error:
        pytest.skip(str(error))
