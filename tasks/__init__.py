"""What is learnt. `AnyTask` is the registry: to add a task, write its file and name it here."""

from typing import Annotated

from pydantic import Field

from tasks.language.modeling import LanguageModeling
from tasks.memory.recall import Recall
from tasks.state.parity import Parity
from tasks.state.word_problem import WordProblem

AnyTask = Annotated[Recall | Parity | WordProblem | LanguageModeling, Field(discriminator="name")]
