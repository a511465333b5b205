"""Before any test is collected, in whatever order."""

from __future__ import annotations

import sys
import types

# openunmix asks for torchaudio when it is imported, and uses it for nothing here.
sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))
