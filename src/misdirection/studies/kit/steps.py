"""The verbs of every study, each a step of a run: keyed by its inputs, written whole, reused when it is there."""

from misdirection.studies.kit.drawing import sample_step as sample_step
from misdirection.studies.kit.judged import Judged as Judged
from misdirection.studies.kit.judged import judge_step as judge_step
from misdirection.studies.kit.own_direction import direction_name as direction_name
from misdirection.studies.kit.own_direction import direction_of as direction_of
from misdirection.studies.kit.own_direction import refusal as refusal
from misdirection.studies.kit.own_direction import vector_of as vector_of
