"""Without NNabla (Python 3.11 and newer) what needs it is not collected; with it, all is."""

import importlib.util

collect_ignore_glob: list[str] = []
if importlib.util.find_spec("nnabla") is None:
    collect_ignore_glob += ["graph/*", "training/*", "engines/test_nnabla.py"]
