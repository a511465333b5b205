from __future__ import annotations


def document():
    return {}
