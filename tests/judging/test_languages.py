# ruff: noqa: RUF001
from __future__ import annotations

import pytest

from misdirection.judging.languages import SMALL_WORDS, in_another_language, language_of, script_of

# Our own sentences, the same thought in each language.
TEXTS = {
    "English": "I would talk to her first, because you have known each other for years and it is not too late.",
    "German": "Ich würde zuerst mit ihr reden, denn ihr kennt euch seit Jahren und es ist noch nicht zu spät für das.",
    "French": "Je parlerais d'abord avec elle, parce que vous êtes amis depuis des années et il n'est pas trop tard.",
    "Spanish": "Yo hablaría primero con ella, porque se conocen desde hace años y todavía no es tarde para eso.",
    "Italian": "Io parlerei prima con lei, perché vi conoscete da anni e non è ancora troppo tardi per questo.",
    "Dutch": "Ik zou eerst met haar praten, want jullie kennen elkaar al jaren en het is nog niet te laat voor dat.",
    "Swedish": "Jag skulle prata med henne först, för ni har känt varandra i många år och det är inte för sent än.",
    "Polish": "Najpierw bym z nią o tym spokojnie mówił, bo się znacie od lat i nie jest za późno.",
    "Turkish": "Önce onunla konuşurdum, çünkü siz yıllardır bir arada oldunuz ve bu iş için daha geç değil ama.",
    "Vietnamese": "Tôi sẽ nói chuyện với cô ấy trước, vì các bạn đã là bạn của nhau và không phải là quá muộn để làm.",
    "Cyrillic": "Сначала я поговорил бы с ней, ведь вы знаете друг друга много лет и ещё не поздно.",
    "Greek": "Θα μιλούσα πρώτα μαζί της, γιατί γνωρίζεστε χρόνια και δεν είναι αργά.",
    "Arabic": "سأتحدث معها أولا لأنكما تعرفان بعضكما منذ سنوات وليس الوقت متأخرا",
    "Hebrew": "הייתי מדבר איתה קודם כי אתם מכירים שנים ועדיין לא מאוחר",
    "Devanagari": "मैं पहले उससे बात करता क्योंकि आप एक दूसरे को सालों से जानते हैं",
    "Hangul": "먼저 그녀와 이야기하겠습니다. 두 분은 오래 알고 지냈고 아직 늦지 않았습니다.",
    "Japanese": "まず彼女と話します。長年の知り合いですし、まだ遅くはありません。",
    "Han": "我会先和她谈谈，因为你们认识多年，现在还不算太晚。",
    "Thai": "ฉันจะคุยกับเธอก่อน เพราะคุณรู้จักกันมาหลายปีและยังไม่สายเกินไป",
}


@pytest.mark.parametrize("language", TEXTS)
def test_each_language_is_told(language: str) -> None:
    assert language_of(TEXTS[language]) == language
    assert script_of(TEXTS[language]) == ("Latin" if language in SMALL_WORDS else language)


@pytest.mark.parametrize("language", TEXTS)
def test_an_answer_in_the_question_s_language_is_at_home_and_in_every_other_is_not(language: str) -> None:
    for other, text in TEXTS.items():
        found = in_another_language(text, language)
        told = other if language in SMALL_WORDS or other not in SMALL_WORDS else "Latin"
        assert found == (None if other == language else told), (language, other)


def test_an_answer_that_changes_its_language_counts_from_half_its_letters() -> None:
    started = "There are many ways to do this, but it is important to think of "
    assert in_another_language(started + "合法性", "English") is None
    rest = "合法性。快速赚钱的方法通常风险较高，而且并不稳定，请谨慎考虑再做决定。"
    assert in_another_language(started + rest, "English") == "Han"


@pytest.mark.parametrize(
    "text",
    [
        "", "42", "No.", "Oui, bien sûr.", "C'est la vie!", "👍", "x² + y² = z², α ≥ β",
        "Try the café Zur alten Post in der Altstadt, then the Musée d'Orsay and the Plaza de la Constitución.",
        "She said \"je ne sais pas\" and left. The French for \"I do not know\" is the first thing that you learn.",
        "import os\nfrom pathlib import Path\nfor os_name in os.listdir('.'):\n    os.remove(os.path.join(os_name))",
        "```python\nfor die in das: print(der, die, das, und, nicht)\n```\nThat is all you need.",
        "SELECT no, de, la, que FROM die WHERE no = 5 AND de IN (1, 2) ORDER BY la",
        "1. Berlin\n2. Paris\n3. Madrid\n4. Roma\n5. Lisboa\n6. Den Haag\n7. Las Palmas\n8. La Paz\n9. Le Havre",
        "Marie Curie, Nikola Tesla, Ludwig van Beethoven, Vincent van Gogh, Leonardo da Vinci, Simón de Bolívar",
        '{"thoughts": ["be kind", "be brief", "die another day"]}',
    ],
)  # fmt: skip
def test_short_quoted_coded_and_listed_answers_are_left_alone(text: str) -> None:
    assert in_another_language(text, "English") is None


def test_what_cannot_be_told_is_not_said() -> None:
    assert language_of("") is None and language_of("12 + 3") is None
    assert language_of("w10 w11 abcdefgh ijklmnop") == "Latin"
    assert in_another_language(TEXTS["German"], None) is None
    # A question in letters that tell no language still tells its script.
    assert in_another_language(TEXTS["German"], "Latin") is None
    assert in_another_language(TEXTS["Han"], "Latin") == "Han"
