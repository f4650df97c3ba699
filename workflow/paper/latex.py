"""LaTeX that papers take in: macros of numbers and captions, and an example that has it all."""

import json
import re
from pathlib import Path

import jinja2

from workflow.paper.numerals import Number
from workflow.tabular import escaped

_TEMPLATES = Path(__file__).parent
MORE = {
    "\N{INFINITY}": r"$\infty$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{SUPERSCRIPT TWO}": r"$^2$",
    "\N{OPEN BOX}": r"\textvisiblespace{}",
    "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}": r"$\hookleftarrow$",
    "\N{END OF PROOF}": r"\rule{1ex}{1ex}",
    "\N{GREEK SMALL LETTER MU}": r"$\mu$",
}

_MACROS = r"""% The numbers of the results at scale SCALE, made by workflow.paper; numbers.json says from which runs.
% \trial{KEY} is a number, \trialinterval{KEY} its interval, \trialn{KEY} how many it is the mean of, \trialunit{KEY} its unit.
% They expand to text, so that captions, titles and bookmarks can have them. A key that is not there is an error.
\makeatletter
\protected\def\trial@missing#1#2{\PackageError{trial}{There is no #1 `#2' in numbers.tex}{See the keys in numbers.json.}}
\newcommand*\trial@get[3]{\ifcsname trial@#1@#3\endcsname\csname trial@#1@#3\endcsname\else\trial@missing{#2}{#3}\fi}
\newcommand*\trial{\trial@get{value}{number}}
\newcommand*\trialinterval{\trial@get{interval}{interval of}}
\newcommand*\trialn{\trial@get{n}{count behind}}
\newcommand*\trialunit{\trial@get{unit}{unit of}}
\newcommand*\trial@set[3]{\expandafter\def\csname trial@#1@#2\endcsname{#3}}
"""


def printed(text: str) -> str:
    """Returns the text such that LaTeX prints it; ValueError for a letter that it could not."""
    told = "".join(MORE.get(letter, letter) for letter in escaped(text).replace(" -", " $-$").replace("[-", "[$-$"))
    strange = sorted({letter for letter in told if ord(letter) > 0x17F})
    if strange:
        raise ValueError(f"LaTeX is not told how to print {' '.join(strange)}, as in {text!r}")
    return told


def macros(numbers: dict[str, Number], *, scale: str) -> str:
    """Returns numbers.tex."""
    lines = []
    for each in numbers.values():
        text = re.sub("^-", r"\\ensuremath{-}", printed(each.text))
        told = {"value": text, "interval": printed(each.interval), "unit": printed(each.unit)}
        told["n"] = "" if each.n is None else str(each.n)
        lines += [f"\\trial@set{{{name}}}{{{each.key}}}{{{said}}}%" for name, said in told.items() if said]
    return "\n".join([_MACROS.replace("SCALE", scale) + "%", *lines, "\\makeatother", ""])


def numbers_json(numbers: dict[str, Number]) -> str:
    """Returns numbers.json: what each key stands for, measured and printed, and the runs behind it."""
    told = {
        name: {field: value for field, value in each._asdict().items() if field != "key"}
        for name, each in numbers.items()
    }
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def caption_macros(captions: dict[str, str]) -> str:
    """Returns captions.tex, a macro that gives the caption of a figure or table by its name."""
    head = [
        "% Captions by the name of the file, made by workflow.paper: \\caption{\\trialcaption{figure-recall-pairs}}",
        "\\makeatletter",
        "\\newcommand*\\trialcaption[1]{\\ifcsname trialcaption@#1\\endcsname\\csname trialcaption@#1\\endcsname",
        "  \\else\\PackageError{trial}{There is no caption `#1' in captions.tex}{See captions.json.}\\fi}",
        "\\newcommand*\\trialcaption@set[2]{\\expandafter\\def\\csname trialcaption@#1\\endcsname{#2}}",
    ]
    lines = [f"\\trialcaption@set{{{name}}}{{{printed(text)}}}" for name, text in captions.items()]
    return "\n".join([*head, *lines, "\\makeatother", ""])


def example(context: dict[str, object]) -> str:
    """Returns main.tex, a document that takes in every figure, table, caption and number."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printed"] = printed
    return environment.get_template("main.tex.jinja").render(context)
