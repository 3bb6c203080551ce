"""Which language a text is in, as far as its letters and small words tell; needs no model and no network.

The script comes from the letters' Unicode names. Languages of the Latin script are told apart by their small words
(articles, prepositions, pronouns). Neighbours that share most of these (Spanish and Portuguese, Czech and Slovak) and
texts of a few words may stay unknown: what is not plain is not said.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

LEAST_WEIGHT = 12.0
"""Letters that a text must have before its script counts; a Han, kana or Hangul letter counts as three."""

LEAST_HITS = 5
"""Small words of another language that an answer must have, none of them one of its question's language ..."""

LEAST_KINDS = 3
"""... this many of them different (`os` stands all over a Python script) ..."""

LEAST_SHARE = 0.1
"""... as a share of its words ..."""

LEAST_LEAD = 3.0
"""... and against the small words of the question's language that are not the other's."""

_SMALL_WORDS = {
    "English": (
        "the of and to in is you that it he was for on are as with his they at be this have from or had by but not "
        "what all were we when your can said there use an each which she do how their if will up other about out many "
        "then them these so some her would make like him into has two more no way could my than been who its now did "
        "get come may me us our just am want where here because very should only also die"
    ),
    "German": (
        "der die das und ist nicht ich du er sie es wir ihr ein eine einen einem einer zu den dem des mit für auf von "
        "im auch sich dass wie aber oder wenn man noch nur nach bei aus um als so kann werden wird haben hat sind "
        "sein war mein dein kein mehr sehr durch über diese dieser uns"
    ),
    "French": (
        "le la les des du un une et est pas ne je tu il elle nous vous ils elles que qui dans pour sur avec ce cette "
        "ces son sa ses mon ma mes par plus mais ou où sont être avoir au aux se si comme tout faire ai avez votre "
        "leur bien très aussi peut en de"
    ),
    "Spanish": (
        "el la los las un una unos unas es no que de en por para con su sus lo le les se del al más pero como está "
        "son ser hay mi tu yo muy también cuando este esta esto eso porque si sin sobre todo hacer tiene puede nos "
        "hasta"
    ),
    "Portuguese": (
        "os as um uma uns umas não que de em por para com seu sua seus suas se do da dos das no na nos nas ao mais "
        "mas como está são ser há meu minha você eu ele ela muito também quando este esta isso porque sem sobre tudo "
        "fazer tem pode até foi"
    ),
    "Italian": (
        "il lo la gli le un uno una non che di in per con su suo sua si del della dei delle nel nella al alla ai più "
        "ma come sono essere mi ti ci anche quando questo questa perché se tutto fare ha ho può molto io tu lui lei"
    ),
    "Dutch": (
        "de het een en is niet ik je jij hij zij we wij van in op te dat die met voor aan er maar om ook als dan naar "
        "bij uit over door nog wel geen kan kunnen worden wordt hebben heeft zijn was mijn jouw deze dit wat hoe meer "
        "zo"
    ),
    "Swedish": (
        "och att det är en ett som inte jag du han hon vi de den på för med av till om har kan ska men eller så också "
        "när från sig mycket bara där här vad hur min din sin mig dig oss skulle vara blir"
    ),
    "Danish or Norwegian": (
        "og at det er en et som ikke jeg du han hun vi de den på for med av af til om har kan skal men eller så også "
        "når fra seg sig mye meget bare der her hva hvad hvordan min din sin meg mig deg dig oss os ville være blir "
        "bliver"
    ),
    "Polish": (
        "nie się jest to na że do jak ale tak co od przez dla po czy tylko jego jej ich być może są był była już "
        "bardzo gdy który która które więc oraz lub aby mnie ciebie nas za ze we przy tym"
    ),
    "Czech": (
        "je se na že to jak ale tak co od pro po nebo jen jeho její jsou být může byl byla už velmi když který která "
        "které takže mě tě nás za ze ve při tím si jsem jste není"
    ),
    "Turkish": (
        "bir ve bu da de için ile çok daha ne gibi ama ben sen biz siz olan olarak var yok değil mi kadar sonra her "
        "şey en ya veya onu bunu benim senin"
    ),
    "Indonesian or Malay": (
        "yang dan di itu dengan untuk tidak ini dari dalam akan pada juga saya anda kami kita ke karena bisa ada atau "
        "oleh sebagai adalah dapat mereka lebih sudah telah harus jika"
    ),
    "Vietnamese": (
        "là và của có không một được cho những các với tôi bạn trong này đó để khi cũng như người đã sẽ rất nhiều vì "
        "nếu thì hay hoặc từ đến làm phải"
    ),
    "Finnish": (
        "ja on ei se että hän en olen oli mutta kun niin joka tai jos vain myös ovat minä sinä me te he mitä miten "
        "kuin sen ole voi nyt hyvin kaikki tämä"
    ),
    "Hungarian": (
        "az és nem hogy egy is van de ez ha mert csak mint meg már vagy én te mi ti ők lehet nagyon amely amit aki "
        "kell volt lesz vagyok minden"
    ),
    "Romanian": (
        "și în nu este cu pe că la un de din pentru mai care sunt sau dar ca să se lui ei fi foarte dacă când fără "
        "despre toate poate am ai are"
    ),
}

SMALL_WORDS: Mapping[str, frozenset[str]] = {
    language: frozenset(words.split()) for language, words in _SMALL_WORDS.items()
}
"""Small words by language; none of one letter, which stands in code, lists and formulas of every language."""

_EVERY = frozenset().union(*SMALL_WORDS.values())
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]+")
_ASCII = re.compile(r"[\x00-\x7f]+")
_NO_LETTERS = {code: None for code in range(128) if not chr(code).isalpha()}
_DENSE = {"Han", "Kana", "Hangul"}
_NAMES = {"CJK": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana", "KATAKANA-HIRAGANA": "Kana", "HALFWIDTH": "Kana"}


def script_of(text: str) -> str | None:
    """The script of more than half of the letters ("Latin", "Cyrillic", "Arabic" ...); None where there are too few.

    Chinese is "Han"; with a tenth of kana among the letters of East Asia it is "Japanese". Code between backticks and
    addresses do not count.
    """
    bare = _without_code(text)
    # Most texts are ASCII but for a few quotes and dashes: the rest is counted letter by letter.
    rest = "" if bare.isascii() else _ASCII.sub("", bare)
    counts = Counter({"Latin": len(bare.translate(_NO_LETTERS)) - len(rest)})
    for letter, count in Counter(rest).items():
        if letter.isalpha():
            counts[_script(letter)] += count
    if counts["Kana"] and counts["Kana"] * 10 >= counts["Han"] + counts["Kana"]:
        counts["Kana"] += counts.pop("Han", 0)
    weights = {script: count * (3.0 if script in _DENSE else 1.0) for script, count in counts.items()}
    script = max(weights, key=lambda name: weights[name], default="")
    if not script or weights[script] < LEAST_WEIGHT or 2 * weights[script] <= sum(weights.values()):
        return None
    return "Japanese" if script == "Kana" else script


@lru_cache(1024)
def language_of(text: str) -> str | None:
    """The language of a text of Latin script, or else its script; None where neither is plain.

    Of the Latin languages it is the one with most small words, if no other has as many; "Latin" where none is ahead.
    """
    script = script_of(text)
    if script != "Latin":
        return script
    words = _words(text)
    hits = {language: sum(words[word] for word in small) for language, small in SMALL_WORDS.items()}
    first, second = sorted(hits, key=lambda name: -hits[name])[:2]
    return first if hits[first] > hits[second] else script


def in_another_language(text: str, expected: str | None) -> str | None:
    """The language or script of a text where it plainly is not the expected one, else None.

    Another script, or small words of another Latin language that are not the expected one's: `LEAST_HITS` of them, of
    `LEAST_KINDS` kinds, `LEAST_SHARE` of all words, and `LEAST_LEAD` times as many as there are the other way round.

    Args:
        text: An answer.
        expected: A value of `language_of`, of the question.
    """
    found = script_of(text)
    if expected is None or found is None:
        return None
    own = SMALL_WORDS.get(expected)
    if found != "Latin" or own is None:
        return found if found != expected else None
    bare = _without_code(text).lower()
    if len(_EVERY.intersection(_WORD.findall(bare)) - own) < LEAST_KINDS:
        return None
    words = Counter(_WORD.findall(bare))
    strange = {word: count for word, count in words.items() if word in _EVERY and word not in own}
    least = max(LEAST_HITS, LEAST_SHARE * words.total())
    if sum(strange.values()) < least:
        return None
    foreign = {name: {w: n for w, n in strange.items() if w in small} for name, small in SMALL_WORDS.items()}
    language = max(foreign, key=lambda name: sum(foreign[name].values()))
    at_home = sum(words[word] for word in own - SMALL_WORDS[language])
    plain = sum(foreign[language].values()) >= max(least, LEAST_LEAD * at_home)
    return language if plain and len(foreign[language]) >= LEAST_KINDS else None


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(_without_code(text).lower()))


def _without_code(text: str) -> str:
    return _CODE.sub(" ", text) if "`" in text or "http" in text else text


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    first = unicodedata.name(letter, "?").split(" ")[0]
    return _NAMES.get(first, first.capitalize())
