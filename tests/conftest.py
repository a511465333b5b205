"""What needs a package that is not installed is not collected.

The environment of Python 3.10 has every package and collects every test; the one of the newest Python has
what separating needs.
"""

import importlib.util

NEEDS = {
    "nnabla": ["graph", "training", "comparison", "engines/test_nnabla.py"],
    "soundfile": ["dataset"],
    "museval": ["evaluation"],
}

collect_ignore_glob = [
    pattern
    for package, patterns in NEEDS.items()
    if importlib.util.find_spec(package) is None
    for pattern in patterns
]
