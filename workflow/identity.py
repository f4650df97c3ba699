"""The name of a run: two words for the reader, and a digest of its specification and of the code that decides its result."""

import ast
import functools
import hashlib
import inspect
from pathlib import Path

from models import Architecture, Mixer
from models.hybrid import HybridSpec
from models.own import digest_of, kept_file
from workflow.runs import ProfilingRun, ReferenceRun, Run, TrainingRun

_ROOT = Path(__file__).parent.parent

# The modules that decide a result, beside those of the run's own mixer and task.
_DECIDING: dict[str, tuple[str, ...]] = {
    "training": (
        "models/network.py",
        "workflow/batches.py",
        "workflow/evaluation.py",
        "workflow/selection.py",
        "workflow/training/alone.py",
        "workflow/training/loop.py",
        "workflow/training/objective.py",
        "workflow/training/optimizer.py",
        "workflow/training/stacked.py",
    ),
    "profiling": (
        "models/network.py",
        "workflow/profiling/gate.py",
        "workflow/profiling/meters.py",
        "workflow/profiling/rounds.py",
        "workflow/profiling/sampling.py",
        "workflow/profiling/shapes.py",
        "workflow/profiling/streaming.py",
        "workflow/profiling/workloads.py",
        "workflow/training/optimizer.py",
        "workflow/evaluation.py",
        "workflow/memory.py",
    ),
    "reference": ("workflow/references.py",),
}

# What decides beside them in a run that has a pretraining.
_DECIDING_BEFORE = ("models/trunk.py", "workflow/training/pretraining.py")

_FIRST = (
    "amber ashen azure balmy brisk bronze calm cedar civil clear coral crisp dapper dusky eager early ebony fabled fleet "
    "frosty gentle gilded glad golden grand hardy hazel humble ivory jolly jovial keen kindly lively loyal lucid lunar "
    "mellow merry misty modest mossy nimble noble opal pale placid polar proud quiet rapid rosy royal ruby russet rustic "
    "sable serene silver solar spry steady sunny"
).split()
_SECOND = (
    "acorn alder aspen badger beacon birch bison bridge canyon cedar cliff comet condor coral crane creek delta dune eagle "
    "ember falcon fern finch fjord forest fox garnet glacier grove harbor hawk heron hill island ivy jasper juniper lagoon "
    "lake lark lynx maple marsh meadow mesa oak orchid otter owl pebble pine plover prairie quartz raven reef ridge river "
    "robin sparrow spruce stone tern willow"
).split()


def run_id(run: Run) -> str:
    """Returns the run's name. Equal names mean equal specification and equal deciding code."""
    digest = hashlib.sha256(run.model_dump_json().encode())
    digest.update(_code(_deciding_files(run)))
    return _name(digest)


def group_id(ids: list[str]) -> str:
    """Returns the name of a set of runs, whatever their order."""
    return _name(hashlib.sha256("\n".join(sorted(ids)).encode()))


def _name(digest: "hashlib._Hash") -> str:
    number = int.from_bytes(digest.digest()[-4:])
    first, second = _FIRST[number % len(_FIRST)], _SECOND[number // len(_FIRST) % len(_SECOND)]
    return f"{first}-{second}-{digest.hexdigest()[:12]}"


def _deciding_files(run: Run) -> tuple[Path, ...]:
    """Returns the files of the run's code, with all that they import from `models` and `tasks`; registries decide nothing."""
    files = list(_DECIDING[run.kind])
    if isinstance(run, TrainingRun | ProfilingRun):
        files += _specified(run.network.mixer)
    if isinstance(run, TrainingRun | ReferenceRun):
        files.append(inspect.getfile(type(run.task)))
    if isinstance(run, TrainingRun) and (before := run.before) is not None:
        files += [*_DECIDING_BEFORE, inspect.getfile(type(before.task))]
    return _with_imports(tuple(files))


def _specified(mixer: Mixer | Architecture) -> list[str]:
    """Returns the files of a mixer or architecture: for a hybrid its own and those of its pattern.

    For one of a reader's own what its file imports: that itself is in the specification, by the digest of its content.
    """
    if isinstance(mixer, HybridSpec):
        return [inspect.getfile(HybridSpec), *(path for part in mixer.pattern for path in _specified(part))]
    digest = digest_of(mixer)
    return [inspect.getfile(type(mixer))] if digest is None else list(map(str, _imports(kept_file(digest))))


@functools.cache
def _with_imports(files: tuple[str, ...]) -> tuple[Path, ...]:
    found: set[Path] = set()
    waiting = [_ROOT / file for file in files]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imports(path)
    return tuple(sorted(found))


@functools.cache
def _code(files: tuple[Path, ...]) -> bytes:
    """Returns the files' names and sources: made once of the same files, as a plan has many runs of them."""
    return "".join(f"\n{path.relative_to(_ROOT).as_posix()}\n{_meaning(path)}" for path in files).encode()


@functools.cache
def _imports(path: Path) -> list[Path]:
    modules = [
        node.module
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(("models.", "tasks."))
    ]
    return [_ROOT / f"{module.replace('.', '/')}.py" for module in modules]


@functools.cache
def _meaning(path: Path) -> str:
    """Returns the source without comments, docstrings and layout."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body[0] = ast.Pass()
    return ast.unparse(tree)
