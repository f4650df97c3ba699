"""What is learnt. `AnyTask` is the registry: to add a task, write its file and name it here."""

from typing import Annotated

from pydantic import Field

from tasks.language import LanguageModeling
from tasks.parity import Parity
from tasks.recall import Recall
from tasks.word_problem import WordProblem

AnyTask = Annotated[Recall | Parity | WordProblem | LanguageModeling, Field(discriminator="name")]
