"""Words to sing: sentences by chance, in English, or in syllables that a language's letters can spell."""

from __future__ import annotations

import numpy as np

_ENGLISH = tuple(  # who does what how
    tuple(part.split(", "))
    for part in (
        "i, you, we, they, she, nobody, somebody, the river, the city, the night, my heart, your "
        "shadow, the morning, a stranger, every mother, the driver, the moon, our summer, the radio, "
        "this feeling",
        "follow, carry, hold, remember, leave, break, find, call, watch, change, forget, believe, hear, "
        "need, shake, lose, wash, burn, save, want, miss, chase, open, paint, feel, know, catch, turn, "
        "will choose",
        "me, you, it, the light, the fire, a house of stone, my name, your eyes, the long road, the "
        "rain, the truth, all that noise, those years, the wild horses, a picture, the window, our "
        "song, the last train, your hands, a dream, blue sky, the door, such joy, these voices, a "
        "thousand miles, the sugar",
        "again, tonight, slowly, forever, in the dark, over and over, by the sea, without a sound, for "
        "so long, oh yeah, on the other side, like a child, when the sun goes down, under the bridge, "
        "before you go, out of time, in my head, right now, far away, so hard",
    )
)
_ALPHABETS = {  # consonants, vowels that follow them, and those that stand alone
    "latin": ("m n l r s t k v p d f b g z m n l r", "a e i o u", "a e i o"),
    "cyrillic": ("м н л р с т к в п д ф б г з х ш", "а е и о у ы я ю", "а и о"),
    "devanagari": ("म न ल र स त क व प द ब ग ज ह श च", "ा े ी ो ू ि", "आ ए ओ"),
    "telugu": ("మ న ల ర స త క వ ప ద బ గ జ హ శ చ", "ా ే ీ ో ూ ి", "ఆ ఏ ఓ"),
}
ALPHABETS = ("english", *_ALPHABETS)
"""What `sentence` knows."""


def sentence(alphabet: str, rng: np.random.Generator) -> str:
    """Make up a line of six to ten syllables or so.

    Examples
    --------
    >>> sentence("english", np.random.default_rng(1))
    'the night shake a dream so hard'
    >>> sentence("latin", np.random.default_rng(1))
    'mamuse mevo izudu'
    """
    if alphabet == "english":
        return " ".join(str(rng.choice(part)) for part in _ENGLISH)
    consonants, vowels, alone = (part.split() for part in _ALPHABETS[alphabet])
    words = []
    for _ in range(int(rng.integers(3, 5))):
        word = str(rng.choice(alone)) if rng.uniform() < 0.25 else ""
        for _ in range(int(rng.integers(2, 4)) - bool(word)):
            word += str(rng.choice(consonants)) + str(rng.choice(vowels))
        words.append(word)
    return " ".join(words)
