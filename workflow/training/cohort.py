"""The runs of a cohort, in companies that are each trained by one program."""

import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from models.mixer import UnsupportedKernel
from workflow.checkpoints import Checkpoint
from workflow.isolation import attempt, lacks_memory
from workflow.memory import release
from workflow.processes import processes
from workflow.results import Measurement, Outcome
from workflow.runs import Selected, TrainingRun
from workflow.selection import selected_rate, selected_trial
from workflow.serving import Desk, Ended, read_run
from workflow.training.alone import Alone, drawn
from workflow.training.choice import Policy, chosen
from workflow.training.loop import Trainee, Training
from workflow.training.pretraining import Pretrained, pretrained
from workflow.training.stacked import Stacked


class Company(NamedTuple):
    """Who trains together, by name and in order; some of them may have their results already. `step` is where it goes on."""

    names: list[str]
    desks: list[Desk]
    step: int


def execute(desks: list[Desk], *, policy: Policy) -> Iterator[Ended]:
    """Yields how each run ended; the runs differ in learning rate and seed only.

    UnsupportedKernel if this machine lacks a kernel: that says nothing about the architecture, so it is no outcome.
    """
    begun = _begun(desks)
    going = {desk.folder for company in begun for desk in company.desks}
    fresh = [desk for desk in desks if desk.folder not in going]
    companies = [*begun, *_founded(fresh, policy=policy)]
    for company in companies:
        if len(company.names) == 1:
            yield _alone(company)
        else:
            yield from _stacked(company)


def _begun(desks: list[Desk]) -> list[Company]:
    """Returns the companies that checkpoints tell of; one with a member neither here nor done is no company any more.

    Nor is any where several processes train: they take runs in turn.
    """
    by_name = {desk.folder.name: desk for desk in desks}
    steps = {name: desk.checkpoint.steps() for name, desk in by_name.items()}
    if processes().count > 1:
        return [Company([name], [desk], steps[name][0]) for name, desk in by_name.items() if steps[name]]
    companies: dict[str, Company] = {}
    for name, desk in by_name.items():
        if name not in companies and steps[name]:
            company = _company_of(desk, by_name, steps)
            companies |= dict.fromkeys([member.folder.name for member in company.desks], company)
    return list({id(company): company for company in companies.values()}.values())


def _company_of(desk: Desk, by_name: dict[str, Desk], steps: dict[str, list[int]]) -> Company:
    """Returns the company of a run at the last step of which all its members have the checkpoint, the first step if of none."""
    last = steps[desk.folder.name][0]
    for step in (*steps[desk.folder.name], 0):
        names = desk.checkpoint.manifest(step or last)["company"]
        members = [by_name[name] for name in names if name in by_name]
        done = [name for name in names if (desk.folder.parent / name / "result.json").exists()]
        together = all(
            step in steps[member.folder.name] and member.checkpoint.manifest(step)["company"] == names
            for member in members
        )
        if {*done, *(member.folder.name for member in members)} == set(names) and (together or not step):
            return Company(names, members, step)
    return Company([desk.folder.name], [desk], last)


def _founded(desks: list[Desk], *, policy: Policy) -> list[Company]:
    """Returns the companies of runs that have not begun: one of all, or one of each."""
    if not desks:
        return []
    choice = chosen(
        [desk.run for desk in desks],
        learning_rates=[_rate(desk) for desk in desks],
        policy=policy if processes().count == 1 else "never",
        device=desks[0].device,
        records=desks[0].folder.parent / ".choices",
    )
    if len(desks) > 1 and processes().leads:
        how = "together" if choice.stack else "in turn"
        print(
            f"{len(desks)} runs of {desks[0].run.network.mixer.name} {how}: {choice.why}", file=sys.stderr, flush=True
        )
    groups = [desks] if choice.stack else [[desk] for desk in desks]
    return [Company([desk.folder.name for desk in group], group, _inherited(group)) for group in groups]


def _inherited(desks: list[Desk]) -> int:
    """Returns the step at which these runs go on from tuning runs that were cut short on purpose, 0 where they begin anew."""
    names = [desk.folder.name for desk in desks]
    trials = [selected_trial(desk.run, runs=desk.folder.parent) for desk in desks]
    past = [
        Checkpoint(desk.folder.parent / trial / "checkpoints")
        for desk, trial in zip(desks, trials, strict=True)
        if trial
    ]
    steps = {step for checkpoint in past for step in checkpoint.steps()[:1]}
    if len(past) < len(desks) or len(steps) != 1 or not all(checkpoint.steps() for checkpoint in past):
        return 0
    (step,) = steps
    for desk, checkpoint in zip(desks, past, strict=True):
        desk.checkpoint.inherit(checkpoint, step, desk.device, company=names)
    return step


def _alone(company: Company) -> Ended:
    (desk,) = company.desks
    started = time.monotonic()
    answer = attempt(partial(_trained_alone, desk, company.step))
    if answer.status == "unsupported":
        raise UnsupportedKernel(answer.detail)
    rate = Measurement(name="learning_rate", value=_rate(desk), unit="1")
    outcome = answer.value if answer.status == "finished" else Outcome(answer.status, answer.detail, (rate,))
    return Ended(desk, outcome, time.monotonic() - started, 1)


def _trained_alone(desk: Desk, step: int) -> Outcome:
    trainee = _trainee(desk)
    if desk.run.before is None or step:
        network = drawn(desk.run, device=desk.device)
    else:
        network, trainee.curve, failed = _pretrained(desk)
        if failed:
            rate = Measurement(name="learning_rate", value=_rate(desk), unit="1")
            return Outcome("diverged", f"in pretraining: {failed}", (rate, *trainee.curve))
    program = Alone(desk.run, network, learning_rate=_rate(desk))
    training = Training(program, {0: trainee}, company=[desk.folder.name], device=desk.device)
    if step:
        training.resume(step)
    return next(outcome for _, outcome in training.outcomes())


def _pretrained(desk: Desk) -> Pretrained:
    rate = desk.run.pretraining.learning_rate
    return pretrained(
        desk.run,
        learning_rate=selected_rate(rate, runs=desk.folder.parent) if isinstance(rate, Selected) else rate,
        device=desk.device,
        checkpoint=Checkpoint(desk.folder / "checkpoints" / "pretraining", check=desk.checkpoint.check),
        watch=desk.watch,
    )


def _stacked(company: Company) -> Iterator[Ended]:
    """Yields how each ended; where the stack does not fit into memory after all, they go on in turn."""
    waiting = {desk.folder.name: desk for desk in company.desks}
    started = time.monotonic()
    try:
        for name, outcome in _trained_together(company):
            yield Ended(
                waiting.pop(name), outcome, (time.monotonic() - started) / len(company.desks), len(company.names)
            )
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
    if waiting:
        release(company.desks[0].device)
    for name, desk in waiting.items():
        steps = desk.checkpoint.steps()
        yield _alone(Company([name], [desk], steps[0] if steps else 0))


def _trained_together(company: Company) -> Iterator[tuple[str, Outcome]]:
    desks = {desk.folder.name: desk for desk in company.desks}
    someone = company.desks[0]
    runs = [read_run(someone.folder.parent / name, kind=TrainingRun) for name in company.names]
    rates = [_rate(desks[name]) if name in desks else 0.0 for name in company.names]
    program = Stacked(runs, learning_rates=rates, device=someone.device)
    trainees = {place: _trainee(desks[name]) for place, name in enumerate(company.names) if name in desks}
    training = Training(program, trainees, company=company.names, device=someone.device)
    if company.step:
        training.resume(company.step)
    for trainee, outcome in training.outcomes():
        yield trainee.name, outcome


def _trainee(desk: Desk) -> Trainee:
    return Trainee(desk.folder.name, desk.run, _rate(desk), desk.checkpoint, desk.watch)


def _rate(desk: Desk) -> float:
    """Returns the learning rate of the run; one still to be selected is looked up in the results of its tuning runs."""
    rate = desk.run.optimizer.learning_rate
    if not isinstance(rate, Selected):
        return rate
    return selected_rate(rate, runs=desk.folder.parent) * (rate.times or 1.0)
