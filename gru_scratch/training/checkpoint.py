"""The files of a run folder with their checksums, and the resumable `state`.

No function here unpickles anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from gru_scratch.text.files import discard_aside, take_places, write_atomically, written_aside

MANIFEST = "manifest.json"
_DIGEST_BYTES = hashlib.sha256().digest_size


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write several files of `folder`, each atomically, and their SHA-256 sums into its manifest.

    The manifest is renamed first. For a file that is about to change it lists the sums of the new and of the old bytes,
    if it had those: if the process is stopped at any moment, the manifest has the sum of every intact file, and still
    none of a file that was damaged before. A damaged manifest is written again from nothing.
    """
    try:
        sums = read_manifest(folder)
    except ValueError:
        sums = {}
    paths = [folder / name for name in files]
    try:
        for name, content in files.items():
            with written_aside(folder / name) as file:
                file.write(content)
            known = sums.get(name, [])
            old = [_sha256((folder / name).read_bytes())] if known and (folder / name).exists() else []
            sums[name] = list(dict.fromkeys([_sha256(content), *(each for each in old if each in known)]))
        write_atomically(folder / MANIFEST, _to_json({"sha256": sums}))
    except OSError:
        discard_aside(paths)
        raise
    take_places(paths)


def read_manifest(folder: Path) -> dict[str, list[str]]:
    """The SHA-256 sums that each file may have, by its name. ValueError if the manifest is missing or damaged."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(f"{folder} is not a finished run folder: it has no {MANIFEST}")
    sums = read_json(path.read_bytes(), path).get("sha256")
    if not isinstance(sums, dict) or not all(isinstance(values, list) for values in sums.values()):
        raise ValueError(f"{path} is damaged: it does not list SHA-256 sums")
    return sums


def read_verified(folder: Path, name: str) -> bytes:
    """The bytes of a file of a run folder. ValueError if it is missing or its sum is not in the manifest."""
    path = folder / name
    # Before the manifest: if the run is training meanwhile, a later manifest still has the sum of these bytes.
    content = path.read_bytes() if path.is_file() else None
    sums = read_manifest(folder).get(name, [])
    if content is None:
        raise ValueError(f"{folder} is not a finished run folder: it has no {name}")
    if _sha256(content) not in sums:
        raise ValueError(f"{path} is damaged: its SHA-256 is not the one in {MANIFEST}")
    return content


def read_json(content: bytes, path: Path) -> dict[str, Any]:
    """A JSON object. ValueError, with the file's path, for anything else."""
    try:
        value = json.loads(content)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: it does not hold a JSON object")
    return value


def read_tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. ValueError, with the file's path, for anything else."""
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"{path} is not a safetensors file ({error})") from None


@dataclass(frozen=True)
class Snapshot:
    """All that a run needs to resume bitwise: tensors, and the rest as JSON values."""

    tensors: dict[str, Tensor]
    record: dict[str, Any]


def pack_snapshot(snapshot: Snapshot) -> bytes:
    """A snapshot as the bytes of a `state` file: the SHA-256 of what follows, then a safetensors file."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in snapshot.tensors.items()}
    payload = safetensors.torch.save(tensors, metadata={"record": json.dumps(snapshot.record)})
    return hashlib.sha256(payload).digest() + payload


def read_snapshot(path: Path) -> Snapshot:
    """The inverse of `pack_snapshot`, from a file. ValueError if any byte has changed since it was written."""
    content = path.read_bytes()
    digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        raise ValueError(f"{path} is damaged: its SHA-256 is not the one it starts with")
    header_size = int.from_bytes(payload[:8], "little")
    metadata = read_json(payload[8 : 8 + header_size], path).get("__metadata__", {})
    if "record" not in metadata:
        raise ValueError(f"{path} is no state of a run: it has no record")
    return Snapshot(read_tensors(payload, path), json.loads(metadata["record"]))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _to_json(value: object) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
