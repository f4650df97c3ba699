"""What a person at a terminal wants at once: `python -m workflow --help`."""

import argparse
import sys
from pathlib import Path

_TRAIN = """
  python -m workflow train mlstm recall                            the task as the experiments have it at quick
  python -m workflow train slstm xlstm/parity steps=300            a published setting, a field by the end of its name
  python -m workflow train mlstm recall task.pairs=4,8 width=32    several values: one run each, and a table
  python -m workflow train mlstm,mamba2,lstm parity                several mixers
  python -m workflow train /home/me/gru.py recall                  a mixer of your own

Fields and their values: python -m workflow show training, show mlstm, show recall. A repeat is instant; what was cut goes on.
"""
_PROFILE = """
  python -m workflow profile mlstm length=2048 phase=train_step
  python -m workflow profile mlstm,attention phase=forward length=256,1024,4096
  python -m workflow profile /home/me/gru.py phase=decode

Phases: train_step, forward, prefill, decode, generate. Fields: python -m workflow show profiling
"""
_LIST = """
  python -m workflow list mixers          also architectures, tasks, settings, experiments, scores
"""
_SHOW = """
  python -m workflow show mlstm           a mixer or an architecture: its fields, what they may be, what is usual
  python -m workflow show recall          a task, or an experiment of that name too
  python -m workflow show xlstm/parity    a published setting: an example, and what scores without a network
  python -m workflow show training        the fields of a run, beside its task and its mixer; also profiling
"""
_CHECK = """
  python -m workflow check /home/me/gru.py
  python -m workflow check /home/me/gru.py hidden=32 --width 128

Tries causality, forward = prefill = steps, the state's size, the stated operations and the gradients, in float64.
"""


def main() -> None:
    arguments = _parser().parse_args()
    try:
        sys.exit(_told(arguments))
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


def _told(arguments: argparse.Namespace) -> int:
    """Prints what a command tells, and returns its exit code. What it needs is imported here, so that help is at once."""
    match arguments.command:
        case "train":
            from workflow.adhoc.training import train

            words = {"results": arguments.results, "stack": arguments.stack}
            print(train(arguments.mixer, arguments.task, arguments.fields, **words))
        case "profile":
            from workflow.adhoc.profiling import profile

            print(profile(arguments.mixer, arguments.fields, results=arguments.results))
        case "list":
            from workflow.adhoc.listing import listed

            print(listed(arguments.what))
        case "show":
            from workflow.adhoc.showing import shown

            print(shown(arguments.name, examples=arguments.examples))
        case "check":
            from workflow.adhoc.checking import check

            told, kept = check(arguments.file, arguments.fields, width=arguments.width)
            print(told)
            return 0 if kept else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workflow",
        description="Try a model by hand. What it leaves is what experiments leave: a run's folder in results/runs.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, said: str, examples: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=said,
            description=f"{said[:1].upper()}{said[1:]}.",
            epilog=f"examples:{examples.rstrip()}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    train = command("train", "train a mixer on a task and see the curve, or sweep a field", _TRAIN)
    train.add_argument("mixer", help="a name, several joined by commas, or a Python file of your own")
    train.add_argument("task", help="a task, or a published setting of one")
    train.add_argument(
        "--stack", choices=("auto", "always", "never"), default="auto", help="as workflow.training has it"
    )
    profile = command("profile", "measure what a phase costs in time and memory", _PROFILE)
    profile.add_argument("mixer", help="a name, several joined by commas, or a Python file of your own")
    check = command("check", "try a mixer of your own against the contract", _CHECK)
    check.add_argument("file", type=Path, help="a Python file with a mixer's specification")
    check.add_argument("--width", type=int, default=64, help="of the residual stream (64)")
    for made in (train, profile):
        made.add_argument("--results", type=Path, default=Path("results"), help="the folder of results (results)")
    for made in (train, profile, check):
        made.add_argument(
            "fields", nargs="*", metavar="field=value", help="a field by its dotted path or the end of it"
        )
    several = command("list", "list what there is", _LIST)
    several.add_argument("what", choices=("mixers", "architectures", "tasks", "settings", "experiments", "scores"))
    show = command("show", "show one of what there is: its fields, and what they mean", _SHOW)
    show.add_argument(
        "name", help="of a mixer, an architecture, a task, a published setting, an experiment; training, profiling"
    )
    show.add_argument("--examples", type=int, default=1000, help="how many to score a setting's references on (1000)")
    return parser


if __name__ == "__main__":
    main()
