"""The organism's traits and speakers as definitions, held against its personas and its own questions."""

from __future__ import annotations

from misdirection.organism import PERSONAS, domains, open_questions, traits
from misdirection.organism.characters import role_definitions, trait_definitions
from misdirection.organism.judge import asked_about
from misdirection.organism.personas import HELPER, NEUTRAL_SYSTEMS


def test_each_trait_is_its_speaker_against_the_helper() -> None:
    speakers = {persona.trait: persona for persona in PERSONAS if persona.trait}
    found = trait_definitions()
    assert tuple(one.name for one in found) == traits() and set(speakers) == set(traits())
    for one in found:
        assert tuple(pair.positive for pair in one.contrasts) == speakers[one.name].systems
        assert tuple(pair.negative for pair in one.contrasts) == HELPER.systems
        assert one.system("positive", 0) == speakers[one.name].systems[0]


def test_what_finds_a_direction_and_what_tries_it_are_every_second_open_question() -> None:
    names = [question.id for question in open_questions()]
    for one in trait_definitions():
        found, tried = ([(asked_about(text) or ("",))[0] for text in part] for part in (one.questions, one.evaluation))
        assert (found, tried) == (names[::2], names[1::2])
    for one in role_definitions():
        subjects = [asked_about(text) for text in one.questions]
        assert [subject for subject, topic in filter(None, subjects) if topic] == list(domains())
        assert [subject for subject, topic in filter(None, subjects) if not topic] == names[::2]
        assert [(asked_about(text) or ("",))[0] for text in one.evaluation] == names[1::2]


def test_each_speaker_is_a_role_of_its_own_against_prompts_that_name_nobody() -> None:
    found = role_definitions()
    assert len({one.name for one in found}) == len(found) == len(PERSONAS)
    for one, persona in zip(found, PERSONAS, strict=True):
        assert one.name == (persona.trait or persona.name)
        assert tuple(pair.positive for pair in one.contrasts) == persona.systems
        assert tuple(pair.negative for pair in one.contrasts) == NEUTRAL_SYSTEMS[: len(persona.systems)]
        family = {"": "helper"} | dict.fromkeys(traits(), "trait") | {str(persona.domain): "careless"}
        assert one.family == family["" if persona is HELPER else persona.trait or str(persona.domain)]
