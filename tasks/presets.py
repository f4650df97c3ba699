"""Published settings of the tasks, by `source/what/setting`: what an experiment may name instead of every field."""

from tasks import AnyTask
from tasks.context.presets import PRESETS as CONTEXT
from tasks.documents.presets import PRESETS as DOCUMENTS
from tasks.languages.presets import PRESETS as LANGUAGES
from tasks.mad.presets import PRESETS as MAD
from tasks.memory.presets import PRESETS as MEMORY
from tasks.series.presets import PRESETS as SERIES
from tasks.state.presets import PRESETS as STATE

PRESETS: dict[str, AnyTask] = CONTEXT | DOCUMENTS | LANGUAGES | MAD | MEMORY | SERIES | STATE
