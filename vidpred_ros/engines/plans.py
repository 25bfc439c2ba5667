"""The cache of built TensorRT engines ("plans"): built once for a machine, built anew when anything they hang on changes.

Beside each plan lies a sidecar of the same name that ends in .json. It says what the plan was built from and for, which is
also its key; a plan whose sidecar does not bear it out is not used. Knows files and locks, not TensorRT.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from vidpred_ros.engines.base import Progress
from vidpred_ros.errors import EngineError

log = logging.getLogger(__name__)
#: Metadata of a plan that failed its comparison with float32 (``note``): by how much.
REFUSED = "vidpred.refused"
#: How often a process that waits for another's build looks again and says so.
WAIT_S = 0.5


@dataclass(frozen=True)
class PlanKey:
    """All that a plan hangs on. A plan runs on one version of TensorRT and one kind of GPU."""

    onnx_sha256: str
    library: str  # "tensorrt 10.3.0"
    gpu: str  # "Orin"
    compute_capability: str  # "8.7"
    driver: str
    precision: str
    shapes: str  # "frames 2x128x160x3, ..."
    flags: str  # of the builder and the network

    def digest(self) -> str:
        """16 hexadecimal digits, the same on every machine."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def differences(self, other: PlanKey) -> str:
        """What differs, in words: "driver (570.1, now 580.2)" for ``self`` now and ``other`` before; empty when nothing does."""
        pairs = ((f.name, getattr(other, f.name), getattr(self, f.name)) for f in fields(self))
        return ", ".join(f"{name.replace('_', ' ')} ({was}, now {now})" for name, was, now in pairs if was != now)


@dataclass(frozen=True)
class Plan:
    """A built engine on disk, and what the ONNX file that it was built from said of itself."""

    path: Path
    metadata: dict[str, str]


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def ensure(
    folder: Path,
    name: str,
    key: PlanKey,
    metadata: dict[str, str],
    build: Callable[[Path], Any],
    progress: Progress | None = None,
) -> Plan:
    """The plan of that name and key in ``folder``, built now by ``build(path)`` unless a good one is there.

    A plan that is built anew, after an update of the driver say, is refused as the one before it was, until it is compared itself.
    Two processes that ask at once build once: the second waits, and ``progress`` is told so. A plan appears under its name
    only when it is whole. Raises EngineError when the folder cannot be used, and whatever ``build`` raises.
    """
    path = folder / f"{name}-{key.digest()}.plan"
    try:
        try:
            return _load(path, key)
        except _Unusable:
            folder.mkdir(parents=True, exist_ok=True)
        with _locked(path, progress):
            try:
                return _load(path, key)  # another process has built it meanwhile
            except _Unusable as reason:
                if path.exists() or sidecar(path).exists():
                    log.warning("building %s again: %s", path.name, reason)
                else:
                    log.info("building %s: %s", path.name, _why_new(folder, name, key))
            _build(path, key, metadata | _refusal(folder, name, key), build)
            return _load(path, key)
    except _Unusable as reason:
        raise EngineError(f"{path} was built but cannot be read back: {reason}") from None
    except OSError as error:
        raise EngineError(f"the engine cache {folder} cannot be used: {error}; VIDPRED_CACHE moves it") from None


def discard(plan: Plan, reason: str) -> None:
    """Forget a plan that TensorRT refused though its file is whole, so that the next ``ensure`` builds it anew. Its sidecar stays: the
    new plan is no nearer to float32."""
    log.warning("discarding %s: %s", plan.path.name, reason)
    plan.path.unlink(missing_ok=True)


def note(path: Path, found: Mapping[str, Any], refusal: str) -> None:
    """Add to a plan's sidecar how it compares with float32, and to its metadata why it must not run ("": it may)."""
    says = json.loads(sidecar(path).read_text())
    says["parity"] = found
    says["metadata"].pop(REFUSED, None)
    if refusal:
        says["metadata"][REFUSED] = refusal
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        part.write_text(json.dumps(says, indent=2) + "\n")
        _replace(part, sidecar(path))
    finally:
        part.unlink(missing_ok=True)


def sidecar(path: Path) -> Path:
    """Where the description of a plan lies."""
    return path.with_suffix(".json")


def _build(path: Path, key: PlanKey, metadata: dict[str, str], build: Callable[[Path], Any]) -> None:
    part = path.with_suffix(".part")  # one name for all processes: only the one that holds the lock writes
    started = time.monotonic()
    try:
        build(part)
        says = {
            "key": asdict(key),
            "plan": {"sha256": sha256_of(part), "bytes": part.stat().st_size},
            "metadata": metadata,
            "built": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "build_seconds": round(time.monotonic() - started, 1),
        }
        _replace(part, path)
        part.write_text(json.dumps(says, indent=2) + "\n")
        _replace(part, sidecar(path))
    finally:
        part.unlink(missing_ok=True)


def _replace(part: Path, path: Path) -> None:
    """Rename, once the bytes are on the disk: a car loses its power when it is switched off."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


class _Unusable(Exception):
    """Why a plan cannot be used, in words."""


def _load(path: Path, key: PlanKey) -> Plan:
    """The plan, compared with its sidecar and the key. Raises _Unusable."""
    says = _read_sidecar(path)
    built_for = PlanKey(**says["key"])
    if built_for != key:
        raise _Unusable(f"it is of another {key.differences(built_for)}")
    try:
        size, digest = path.stat().st_size, sha256_of(path)
    except FileNotFoundError:
        raise _Unusable("there is only its sidecar") from None
    if size != says["plan"]["bytes"]:
        raise _Unusable(f"it has {size} bytes and not {says['plan']['bytes']}")
    if digest != says["plan"]["sha256"]:
        raise _Unusable("it is damaged: its hash is not the one in its sidecar")
    return Plan(path, says["metadata"])


def _read_sidecar(path: Path) -> dict[str, Any]:
    """What a plan's sidecar says. Raises _Unusable when it is not a sidecar of ours."""
    try:
        says: dict[str, Any] = json.loads(sidecar(path).read_text())
        texts = {*says["key"].values(), *says["metadata"].values(), says["plan"]["sha256"], says["built"]}
        if not all(isinstance(text, str) for text in texts) or not isinstance(says["plan"]["bytes"], int):
            raise TypeError("values of another type")
        PlanKey(**says["key"])
    except FileNotFoundError:
        raise _Unusable("it has no sidecar") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _Unusable(f"its sidecar cannot be read ({error!r})") from None
    return says


def _why_new(folder: Path, name: str, key: PlanKey) -> str:
    """Why no plan has this key: what changed since the newest one of that name was built."""
    others = _sidecars(folder, name)
    if not others:
        return "there is none yet"
    newest = others[-1]
    return f"that of {newest['built']} is of another {key.differences(PlanKey(**newest['key']))}"


def _refusal(folder: Path, name: str, key: PlanKey) -> dict[str, str]:
    """The ``REFUSED`` of the newest plan of the same network for the same library in the same precision; empty if it had none."""
    for says in reversed(_sidecars(folder, name)):
        if _network(PlanKey(**says["key"])) == _network(key):
            return {about: text for about, text in says["metadata"].items() if about == REFUSED}
    return {}


def _network(key: PlanKey) -> tuple[str, ...]:
    """What it is a plan of, and by which library, whatever its version."""
    values = asdict(key)
    return values["onnx_sha256"], values["precision"], values["library"].partition(" ")[0]


def _sidecars(folder: Path, name: str) -> list[dict[str, Any]]:
    """What is said of the plans of that name, oldest first."""
    found = []
    for path in folder.glob(f"{name}-{'[0-9a-f]' * 16}.json"):
        try:
            found.append(_read_sidecar(path))
        except _Unusable:
            continue  # it is looked at, and said to be bad, when its own key is asked for
    return sorted(found, key=lambda says: str(says["built"]))


@contextmanager
def _locked(path: Path, progress: Progress | None) -> Iterator[None]:
    """Alone among all processes with this plan. The system frees the lock when a process dies; the file stays."""
    started = time.monotonic()
    with path.with_suffix(".lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if progress is not None:
                    progress(f"waiting for another process that builds {path.name}: {time.monotonic() - started:.0f} s", None)
                time.sleep(WAIT_S)
        yield
