"""Defences while fine-tuning, one file each; they combine, in our loop and in anybody's Trainer (`base`).

- `preventative`: steering towards the trait (2507.21509). `ablation`: directions, components or latents projected out
  (CAFT, 2507.16795). `blocking`: latents that may not rise (2602.00767). `gradients`: no gradient along a direction.
- `norm`: a penalty on the adapter's size. KL to the base elsewhere is the objective `kl`.
- `inoculation`: a prompt that asks for what the data do (2510.04340). `interleaving`: good rows among the bad
  (2508.06249).
- Stopping early on a monitor is `monitoring.training.TrainingWatch`.
"""

from misdirection.training.defences.ablation import ConceptAblation, components_of
from misdirection.training.defences.base import Defence, DefenceCallback, Defended, penalised
from misdirection.training.defences.blocking import Component, LatentBlocking
from misdirection.training.defences.gradients import GradientProjection
from misdirection.training.defences.inoculation import ASKED, IRRELEVANT, Inoculation
from misdirection.training.defences.interleaving import Interleaving, chosen_first
from misdirection.training.defences.norm import NormPenalty
from misdirection.training.defences.preventative import Preventative

__all__ = [
    "ASKED",
    "IRRELEVANT",
    "Component",
    "ConceptAblation",
    "Defence",
    "DefenceCallback",
    "Defended",
    "GradientProjection",
    "Inoculation",
    "Interleaving",
    "LatentBlocking",
    "NormPenalty",
    "Preventative",
    "chosen_first",
    "components_of",
    "penalised",
]
