"""What is compared: `Mixer` is every architecture there is, told apart in a specification by its `name`."""

from typing import Annotated

from pydantic import Field

from models.attention import AttentionSpec
from models.lstm import LSTMSpec
from models.mamba2 import Mamba2Spec
from models.mlstm import MLSTMSpec
from models.slstm import SLSTMSpec

Mixer = Annotated[AttentionSpec | MLSTMSpec | SLSTMSpec | Mamba2Spec | LSTMSpec, Field(discriminator="name")]
