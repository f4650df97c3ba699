"""What is compared, told apart in a specification by its `name`.

`Mixer` is every mixer that the shared block can stand around, also those of a reader's own file (`models.own`), `Architecture`
every architecture with a block of its own.
"""

from typing import Annotated

from pydantic import Discriminator, Field, Tag

from models.attention import AttentionSpec
from models.gated_deltanet import GatedDeltaNetSpec
from models.hybrid import HybridSpec
from models.lstm import LSTMSpec
from models.mamba import MambaSpec
from models.mamba2 import Mamba2Spec
from models.mlstm import MLSTMSpec
from models.native.gated_deltanet import GatedDeltaNetArchitectureSpec
from models.native.llama import LlamaSpec
from models.native.mamba import MambaArchitectureSpec
from models.native.mamba2 import Mamba2ArchitectureSpec
from models.native.xlstm import XLSTMSpec
from models.native.xlstm_7b import XLSTM7BSpec
from models.own import OwnMixer, origin
from models.slstm import SLSTMSpec

_BuiltIn = Annotated[
    AttentionSpec | MLSTMSpec | SLSTMSpec | MambaSpec | Mamba2Spec | GatedDeltaNetSpec | LSTMSpec,
    Field(discriminator="name"),
]
_Own = Annotated[OwnMixer, Tag("own")]
_Mixer = Annotated[Annotated[_BuiltIn, Tag("built-in")] | _Own, Discriminator(origin)]
_OneOrHybrid = Annotated[_BuiltIn | HybridSpec[_Mixer], Field(discriminator="name")]
Mixer = Annotated[Annotated[_OneOrHybrid, Tag("built-in")] | _Own, Discriminator(origin)]

_Architecture = Annotated[
    LlamaSpec
    | MambaArchitectureSpec
    | Mamba2ArchitectureSpec
    | GatedDeltaNetArchitectureSpec
    | XLSTMSpec
    | XLSTM7BSpec,
    Field(discriminator="name"),
]
Architecture = Annotated[_Architecture | HybridSpec[_Architecture], Field(discriminator="name")]
