"""Published settings of the tasks, by `source/what/setting`: what an experiment may name instead of every field."""

from tasks import AnyTask

PRESETS: dict[str, AnyTask] = {}
