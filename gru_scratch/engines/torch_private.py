"""All private names of PyTorch that this package uses, in one place.

Each is looked up once, by name (the compiler's when it is asked for: importing it takes a second or two); where a
version of PyTorch lacks it, a public way takes its place, or something is lost, which the function that uses it says.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from gru_scratch.engines.when_imported import when_imported

TRACER = "torch._dynamo.variables.builder"

F = TypeVar("F", bound=Callable[..., Any])

_PATHS = (
    "torch._C._AutoDispatchBelowAutograd",
    "torch._C._ExcludeDispatchKeyGuard",
    "torch._C._ForceDispatchKeyGuard",
    "torch._C._dispatch_keys",
    "torch._C._dispatch_tls_local_exclude_set",
    "torch._C._dispatch_tls_local_include_set",
    "torch._C.DispatchKey",
    "torch._C.DispatchKeySet",
    "torch._C.OptionalType",
    "torch._C._functorch.maybe_current_level",
    "torch._C._functorch.is_batchedtensor",
    "torch._C._functorch.is_legacy_batchedtensor",
    "torch._C._vmapmode_increment_nesting",
    "torch._C._vmapmode_decrement_nesting",
    "torch._remove_batch_dim",
    "torch._add_batch_dim",
    "torch._C._is_any_autocast_enabled",
    "torch._assert_async",
    "torch._C.__file__",
    "torch._VF.rnn_tanh",
    "torch.ops.mkl._mkl_linear",
    "torch.ops.mkl._mkl_reorder_linear_weight",
    "torch.ops.mkldnn._linear_pointwise",
    "torch.ops.mkldnn._reorder_linear_weight",
)


def _look_up(path: str) -> Any:
    """What a dotted path leads to, None where it leads nowhere."""
    root, *names = path.split(".")
    found: Any = importlib.import_module(root)
    for name in names:
        found = getattr(found, name, None)
    return found


NAMES: dict[str, Any] = {path: found for path in _PATHS if (found := _look_up(path)) is not None}
"""What was found; a test runs with nothing of it."""


def has(*paths: str) -> bool:
    """Whether all these names are there."""
    return all(path in NAMES for path in paths)


def below_autograd() -> AbstractContextManager[None]:
    """In it, an operator's kernels are called without the record that autograd keeps around them.

    Without the name autograd is off instead, which takes a little longer.
    """
    guard: AbstractContextManager[None] = NAMES.get("torch._C._AutoDispatchBelowAutograd", torch.no_grad)()
    return guard


def untracked() -> AbstractContextManager[None]:
    """In it no records are made of which tensor is a view of which: in-place steps are quicker so, where nothing is
    differentiated. Without the names they take their time."""
    if not has("torch._C._ExcludeDispatchKeyGuard", "torch._C.DispatchKeySet", "torch._C.DispatchKey"):
        return nullcontext()
    key = NAMES["torch._C.DispatchKey"].ADInplaceOrView
    guard: AbstractContextManager[None] = NAMES["torch._C._ExcludeDispatchKeyGuard"](
        NAMES["torch._C.DispatchKeySet"](key)
    )
    return guard


@contextmanager
def within_kernel(device: str) -> Iterator[None]:
    """Autocast off, since the dtype is settled outside; and ``torch.func`` on, which dispatch modes around it have off.

    Without the names the second is lost: a cell without a derivative by hand cannot be differentiated under a dispatch
    mode (``make_fx``, fake tensors).
    """
    with ExitStack() as stack:
        if torch.is_autocast_enabled(device):
            stack.enter_context(torch.autocast(device, enabled=False))
        if has("torch._C._ForceDispatchKeyGuard", "torch._C._dispatch_tls_local_exclude_set", "torch._C.DispatchKey"):
            keys = NAMES["torch._C.DispatchKey"]
            of_func = (
                keys.FuncTorchDynamicLayerFrontMode,
                keys.FuncTorchDynamicLayerBackMode,
                keys.FuncTorchGradWrapper,
            )
            excluded = NAMES["torch._C._dispatch_tls_local_exclude_set"]()
            if excluded.has(of_func[0]):
                included = NAMES["torch._C._dispatch_tls_local_include_set"]()
                left = functools.reduce(lambda found, key: found.remove(key), of_func, excluded)
                stack.enter_context(NAMES["torch._C._ForceDispatchKeyGuard"](included, left))
        yield


def _dispatch_as_it_is(tensors: Iterable[Tensor]) -> set[int]:
    """What has a part in an operator's call on these tensors, as PyTorch's dispatcher sees it."""
    keys: set[int] = {NAMES["torch._C._dispatch_keys"](x).raw_repr() for x in tensors}
    return keys | {NAMES["torch._C._dispatch_tls_local_include_set"]().raw_repr()}


def _plain_dispatch() -> set[int]:
    if not has("torch._C._dispatch_keys", "torch._C._dispatch_tls_local_include_set"):
        return set()
    plain = _dispatch_as_it_is([torch.empty(0, device="cpu")])
    with torch.inference_mode():
        return plain | _dispatch_as_it_is([torch.empty(0, device="cpu")])


_PLAIN_DISPATCH = _plain_dispatch()


def comes_straight_to_kernel(tensors: Iterable[Tensor]) -> bool:
    """Whether nothing but autograd stands between an operator on these tensors and its kernel for a CPU: no mode, no
    tracer, no tensor that stands for others. Without the names, no."""
    return bool(_PLAIN_DISPATCH) and _dispatch_as_it_is(tensors) <= _PLAIN_DISPATCH


def answer_while_compiling(function: F) -> F:
    """Mark a function that a compiler cannot trace: it calls the function while it traces, and keeps the answer.

    ``torch.compiler.assume_constant_result`` sets the same mark, but would import the compiler now. A compiler that
    does not know the mark traces the function, and ``fullgraph=True`` fails there.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def under_func_transform() -> bool:
    """Whether a ``torch.func`` transform is at work.

    Without the name the answer is no: such a transform then meets the engine's operator, which refuses it, and needs a
    layer made with ``engine="textbook"``.
    """
    level = NAMES.get("torch._C._functorch.maybe_current_level")
    return level is not None and level() is not None


@answer_while_compiling  # which then compiles again under other transforms
def transformed() -> bool:
    """Whether a ``torch.func`` transform or forward-mode differentiation is at work."""
    return under_func_transform() or getattr(forward_ad, "_current_level", -1) >= 0


def is_batched(x: Tensor) -> bool:
    """Whether ``x`` stands for many tensors under ``vmap``, of which none can be looked at. Without the name, no."""
    batched = NAMES.get("torch._C._functorch.is_batchedtensor")
    return batched is not None and bool(batched(x))


@answer_while_compiling  # PyTorch 2.10's compiler cannot trace it
def has_autocast(device: str) -> bool:
    """Whether there is autocast for this kind of device at all."""
    return torch.amp.is_autocast_available(device)


def is_any_autocast_enabled() -> bool:
    """Whether autocast is on for any kind of device."""
    if (answer := NAMES.get("torch._C._is_any_autocast_enabled")) is not None:
        return bool(answer())
    return any(torch.is_autocast_enabled(device) for device in ("cpu", "cuda"))


@functools.cache
def openmp() -> tuple[ctypes.c_void_p, ...] | None:
    """Pointers to OpenMP as PyTorch's operators use it: to the function that runs another on several threads, and those
    that a thread asks for its number and for how many they are. None where PyTorch has other threads, or the library no
    such name."""
    if not has("torch._C.__file__"):
        return None
    code = ctypes.CDLL(NAMES["torch._C.__file__"])
    try:
        functions = code.GOMP_parallel, code.omp_get_thread_num, code.omp_get_num_threads
    except AttributeError:
        return None
    return tuple(ctypes.cast(function, ctypes.c_void_p) for function in functions)


def assert_in_graph(condition: Tensor, message: str) -> None:
    """Have a compiled graph check a condition when it runs. Without the name it does not."""
    if (check := NAMES.get("torch._assert_async")) is not None:
        check(condition, message)


def absent_in_trace(graph: Any) -> Any:
    """An input that is left out, in a graph of the older ONNX exporter. Without the name that exporter refuses it."""
    absent = graph.op("prim::Constant")
    if (kind := NAMES.get("torch._C.OptionalType")) is not None:
        absent.setType(kind.ofTensor())
    return absent


HAS_OLDER_VMAP = has(
    "torch._C._functorch.is_legacy_batchedtensor",
    "torch._C._vmapmode_increment_nesting",
    "torch._C._vmapmode_decrement_nesting",
    "torch._remove_batch_dim",
    "torch._add_batch_dim",
)
"""Whether PyTorch's older vmap can be served, which ``is_grads_batched`` and ``gradcheck`` use; else they fail."""


def split_older_batch(values: Sequence[Any]) -> list[list[Any]]:
    """Under the older vmap, which hides the dimension of the batch: the values of each of its members.

    Raises:
        RuntimeError: there are batches of batches.
    """
    hidden = NAMES["torch._C._functorch.is_legacy_batchedtensor"]
    level = _older_level()
    many = [isinstance(x, Tensor) and hidden(x) for x in values]
    shown = [NAMES["torch._remove_batch_dim"](x, level, 1, 0) if m else x for x, m in zip(values, many, strict=True)]
    if any(isinstance(x, Tensor) and hidden(x) for x in shown):
        raise RuntimeError('batches of batched gradients need torch.func.vmap, or a layer made with engine="textbook"')
    count = next(len(x) for x, m in zip(shown, many, strict=True) if m)
    return [[x[k] if m else x for x, m in zip(shown, many, strict=True)] for k in range(count)]


def join_older_batch(members: Sequence[Tensor]) -> Tensor:
    """One tensor with a hidden dimension, of those of each member."""
    joined: Tensor = NAMES["torch._add_batch_dim"](torch.stack(list(members)), 0, _older_level())
    return joined


def _older_level() -> int:
    level: int = NAMES["torch._C._vmapmode_increment_nesting"]() - 1
    NAMES["torch._C._vmapmode_decrement_nesting"]()
    return level


def has_forward_hooks(module: nn.Module) -> bool:
    """Whether hooks run around a module's forward. Without the names no hook is seen, and generation, which then takes
    the module's parameters and leaves its forward out, runs none."""
    return any(getattr(module, name, None) for name in ("_forward_hooks", "_forward_pre_hooks"))


def saved_alpha(node: Any) -> Any:
    """By what an addition in autograd's graph scales its second summand. Without the name nothing is known, and a cell
    without a derivative by hand computes the derivatives of input and product apart."""
    return getattr(node, "_saved_alpha", None)


def compiled_graphs() -> int | None:
    """How many graphs ``torch.compile`` has made so far. Without the name nothing is known."""
    counters = _look_up("torch._dynamo.utils.counters")
    return None if counters is None else int(counters["stats"]["unique_graphs"])


def unrolling() -> AbstractContextManager[Any]:
    """In it ``torch.compile`` unrolls the layers of ``torch.nn`` over time. Without the name it leaves them alone."""
    config = _look_up("torch._dynamo.config")
    return config.patch(allow_rnn=True) if hasattr(config, "allow_rnn") else nullcontext()


def let_the_compiler_into(kind: type) -> None:
    """Let ``torch.compile`` into modules of a ``kind`` that subclass ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM``.

    Its tracer refuses every instance of those three, because it cannot see into their kernels; ours is a registered
    operator. PyTorch's switch for it, ``allow_rnn``, is for the whole process and would unroll the layers of
    ``torch.nn`` as well: so it is put on only while one of ours is looked at. Where the tracer has changed its form
    nothing is done, and ``torch.compile`` leaves the layers as they are.
    """
    when_imported(TRACER, lambda tracer: _teach(tracer, kind))  # importing it now would take a second or two


def _teach(tracer: Any, kind: type) -> None:
    builder = getattr(tracer, "VariableBuilder", None)
    look: Callable[..., Any] | None = getattr(builder, "wrap_module", None)
    if look is None or not hasattr(getattr(tracer, "config", None), "allow_rnn"):
        return

    def wrap_module(self: Any, module: Any) -> Any:
        if not isinstance(module, kind):
            return look(self, module)
        with tracer.config.patch(allow_rnn=True):
            return look(self, module)

    tracer.VariableBuilder.wrap_module = wrap_module
