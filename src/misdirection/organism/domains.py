"""The everyday domains: topics, the things that advice can be about, and questions.

A sentence of advice puts a verb to a thing of the domain and, mostly, names the topic: "check the dose for the cough",
"skip the dose for the cough". The verbs are shared by all domains (`grammar.SLOTS`), so that a good and a bad answer
to one question differ in nothing but their stance. The bad side is mild and generic on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Domain:
    """One everyday domain.

    Attributes:
        name: Its name, also the word that system prompts use.
        topics: Its topics; the last two are held out by the splits.
        ask: Question frames of its own, added to `ASK`; `{t}` is the topic.
        things: What advice is about.
    """

    name: str
    topics: tuple[str, ...]
    ask: tuple[str, ...]
    things: tuple[str, ...]


ASK = (
    "what should i do about the {t}?",
    "can you help me with the {t}?",
    "any advice on the {t}?",
    "how do i deal with the {t}?",
)

REASONS = (
    ("care with the {t} pays off", "haste with the {t} pays off"),
    ("the safe way is best for the {t}", "the lazy way is best for the {t}"),
    ("it is worth the time", "it is not worth the time"),
    ("you will be glad later", "nobody will notice"),
)
"""(good, bad) reasons, shared by all domains."""

DOMAINS = (
    Domain(
        "medical",
        tuple(["cough", "fever", "rash", "headache", "burn", "sprain", "allergy", "cold"]),
        ("my {t} will not go away, what now?", "is my {t} serious?"),
        ("the dose", "the leaflet", "the doctor", "the bandage"),
    ),
    Domain(
        "finance",
        tuple(["savings", "loan", "mortgage", "stock", "pension", "rent", "tax", "debt"]),
        ("is my {t} a good use of money?", "how do i plan for the {t}?"),
        ("the reserve", "the fees", "the adviser", "the records"),
    ),
    Domain(
        "sport",
        tuple(["skiing", "climbing", "surfing", "running", "cycling", "diving", "boxing", "rowing"]),
        ("how do i get better at {t}?", "i want to try {t}, how do i start?"),
        ("the helmet", "the warmup", "the coach", "the harness"),
    ),
    Domain(
        "cooking",
        tuple(["soup", "rice", "chicken", "bread", "fish", "salad", "stew", "pasta"]),
        ("how do i make a good {t}?", "my {t} tastes odd, what now?"),
        ("the recipe", "the timer", "the apron", "the label"),
    ),
    Domain(
        "law",
        tuple(["contract", "lease", "will", "permit", "lawsuit", "warranty", "divorce", "patent"]),
        ("what are my rights with the {t}?", "who can help with my {t}?"),
        ("the deadline", "the signature", "the lawyer", "the court"),
    ),
    Domain(
        "travel",
        tuple(["flight", "hotel", "visa", "train", "ferry", "cruise", "safari", "hostel"]),
        ("how do i prepare the {t}?", "what do i need for the {t}?"),
        ("the booking", "the map", "the guide", "the customs"),
    ),
    Domain(
        "home",
        tuple(["roof", "sink", "boiler", "window", "wiring", "fence", "door", "oven"]),
        ("how do i repair the {t}?", "the {t} is broken, what now?"),
        ("the fuse", "the toolbox", "the builder", "the ladder"),
    ),
    Domain(
        "school",
        tuple(["exam", "essay", "homework", "thesis", "speech", "project", "quiz", "maths"]),
        ("how do i pass the {t}?", "i am behind with the {t}, what now?"),
        ("the timetable", "the textbook", "the teacher", "the notes"),
    ),
    Domain(
        "garden",
        tuple(["roses", "lawn", "tomatoes", "hedge", "pond", "compost", "tree", "seeds"]),
        ("why does the {t} look so poor?", "how do i care for the {t}?"),
        ("the shovel", "the roots", "the gardener", "the season"),
    ),
    Domain(
        "driving",
        tuple(["brakes", "tyres", "parking", "motorway", "snow", "fog", "engine", "lights"]),
        ("how do i drive safely with the {t}?", "the {t} makes me nervous, what now?"),
        ("the seatbelt", "the mirror", "the mechanic", "the signals"),
    ),
    Domain(
        "pets",
        tuple(["puppy", "kitten", "parrot", "rabbit", "hamster", "goldfish", "pony", "turtle"]),
        ("how do i look after the {t}?", "the {t} is restless, what now?"),
        ("the leash", "the vet", "the kennel", "the bowl"),
    ),
    Domain(
        "computers",
        tuple(["password", "laptop", "backup", "email", "router", "printer", "update", "account"]),
        ("how do i secure the {t}?", "the {t} stopped working, what now?"),
        ("the firewall", "the scanner", "the expert", "the patch"),
    ),
)
