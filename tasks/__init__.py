"""What is learnt. `AnyTask` is the registry: to add a task, write its file and name it here."""

from typing import Annotated

from pydantic import Field

from tasks.context.common_words import CommonWords
from tasks.context.frequent_words import FrequentWords
from tasks.context.listops import ListOps
from tasks.context.needle import Needle
from tasks.context.variable_tracking import VariableTracking
from tasks.documents.attribution import DocumentAttribution
from tasks.documents.matching import DocumentMatching
from tasks.documents.needle import TextNeedle
from tasks.documents.variables import TextVariables
from tasks.language.modeling import LanguageModeling
from tasks.languages.arithmetic import ModularArithmetic
from tasks.languages.brackets import ModularArithmeticBrackets, SolveEquation
from tasks.languages.counting import Majority, MajorityCount, Set
from tasks.languages.missing_duplicate import MissingDuplicate
from tasks.languages.regular import CycleNavigation, EvenPairs
from tasks.languages.stack import StackManipulation
from tasks.languages.strings import BucketSort, OddsFirst, Repetition, Reverse
from tasks.mad.compression import Compression
from tasks.mad.fuzzy_recall import FuzzyRecall
from tasks.mad.in_context_recall import InContextRecall
from tasks.mad.memorization import Memorization
from tasks.mad.noisy_recall import NoisyRecall
from tasks.mad.selective_copying import MadSelectiveCopying
from tasks.memory.copying import Copying
from tasks.memory.induction_heads import InductionHeads
from tasks.memory.mixture import RecallMixture
from tasks.memory.ngram_lookup import NgramLookup
from tasks.memory.recall import Recall
from tasks.memory.selective_copying import SelectiveCopying
from tasks.series.forecasting import Forecasting
from tasks.series.lorenz import Lorenz
from tasks.series.mackey_glass import MackeyGlass
from tasks.series.narma import Narma
from tasks.state.anbn import AnBn
from tasks.state.counting import Counting
from tasks.state.parity import Parity
from tasks.state.word_problem import WordProblem

AnyTask = Annotated[
    Recall
    | RecallMixture
    | SelectiveCopying
    | InductionHeads
    | Copying
    | NgramLookup
    | Parity
    | WordProblem
    | AnBn
    | Counting
    | Needle
    | VariableTracking
    | CommonWords
    | FrequentWords
    | ListOps
    | DocumentMatching
    | DocumentAttribution
    | TextNeedle
    | TextVariables
    | BucketSort
    | CycleNavigation
    | EvenPairs
    | Majority
    | MajorityCount
    | MissingDuplicate
    | ModularArithmetic
    | ModularArithmeticBrackets
    | OddsFirst
    | Repetition
    | Reverse
    | Set
    | SolveEquation
    | StackManipulation
    | InContextRecall
    | NoisyRecall
    | FuzzyRecall
    | MadSelectiveCopying
    | Compression
    | Memorization
    | LanguageModeling
    | MackeyGlass
    | Lorenz
    | Narma
    | Forecasting,
    Field(discriminator="name"),
]
